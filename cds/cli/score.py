"""`bedside score`: every patient of some files, scored or refused with a reason."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

from cds.batch.gather import Gathered
from cds.cli.common import (
    REJECTS,
    USAGE,
    AtOption,
    JsonOption,
    RegionOption,
    SiteOption,
    instant,
    out,
    read_export,
    stop,
    tell_rejects,
    told,
)  # fmt: skip
from cds.errors import BedsideError, DataUnavailable, WrongPatient
from cds.fhir.chart import Chart
from cds.risk.estimate import NotScored, Outcome
from cds.risk.model import RiskModel
from cds.risk.scoring import score
from cds.risk.snapshot import estimates, inputs
from cds.settings import read_settings
from cds.site import Site, load_site


def score_files(
    files: Annotated[
        list[Path],
        typer.Argument(help="Bundles, NDJSON files, folders of them, or - for standard input."),
    ],
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A model id; may be repeated. Default: kfre-4.")
    ] = None,
    site: SiteOption = None,
    region: RegionOption = None,
    at: AtOption = None,
    json: JsonOption = False,
) -> None:
    """Score every patient of bundles or NDJSON files. Exit code 3 when something had to be rejected."""
    with told():
        found = load_site(site, read_settings(site, region=region, default_stage="live"))
        models = [_model(found, name) for name in model or ["kfre-4"]]
    gathered = read_export(files)
    lines = list(_lines(gathered, found, models, instant(at)))
    if json:
        for line in lines:
            typer.echo(msgspec.json.encode(line).decode())
    else:
        _print(lines)
    tell_rejects(gathered)
    if gathered.rejects or any(line["outcome"] == "rejected" for line in lines):
        raise typer.Exit(REJECTS)


def _model(site: Site, name: str) -> RiskModel:
    if name not in site.models:
        known = ", ".join(site.models)
        stop(USAGE, f"{name}: {site.unavailable.get(name, f'there is no such model; there are {known}')}")
    return site.models[name]


def _lines(gathered: Gathered, site: Site, models: list[RiskModel], at: datetime) -> Iterator[dict[str, Any]]:
    for patient_id, chart in gathered.charts(site.vocabulary):
        for model in models:
            base = {"patient": patient_id, "model": model.id, "version": model.version, "at": at}
            yield {**base, **_outcome(model, chart, at)}


def _outcome(model: RiskModel, chart: Chart | DataUnavailable, at: datetime) -> dict[str, Any]:
    """One patient under one model; what fails here fails for nobody else."""
    if isinstance(chart, DataUnavailable):
        return _rejected(chart)
    try:
        return _told(next(score(model, (chart,), at)))
    except BedsideError as error:
        return _rejected(error)


def _rejected(error: BedsideError) -> dict[str, Any]:
    reason = "unavailable" if isinstance(error, DataUnavailable) else "failed"
    reason = "identity" if isinstance(error, WrongPatient) else reason
    return {"outcome": "rejected", "reason": reason, "text": error.message}


def _told(outcome: Outcome) -> dict[str, Any]:
    said: dict[str, Any] = {"inputs": _inputs(outcome), "cautions": outcome.cautions}
    if isinstance(outcome, NotScored):
        return {"outcome": "not-scored", "reason": outcome.reason, "text": outcome.text, **said}
    return {"outcome": "risk", "estimates": estimates(outcome), **said}


def _inputs(outcome: Outcome) -> list[dict[str, Any]]:
    answers = outcome.row.answers()
    return [{**line, "source": getattr(answers[line["name"]], "source", "")} for line in inputs(outcome)]


def _print(lines: list[dict[str, Any]]) -> None:
    table = Table("Patient", "Model", "2 years", "5 years", "Why not, or what to note", box=None, header_style="bold")
    for line in lines:
        risks = {
            e["horizon"]: f"{e.get('bound', '')} {e['probability'] * 100:.1f} %".strip()
            for e in line.get("estimates", ())
        }
        note = line.get("text") or "; ".join(line.get("cautions", ()))
        note = f"rejected: {note}" if line["outcome"] == "rejected" else note
        table.add_row(line["patient"], line["model"], risks.get(2, ""), risks.get(5, ""), note)
    out.print(table)
    count = Counter(line["outcome"] for line in lines)
    rejected = f", {count['rejected']} rejected" if count["rejected"] else ""
    out.print(f"{count['risk']} scored, {count['not-scored']} not scored{rejected}.")
