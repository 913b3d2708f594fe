"""`bedside score`: every patient of some files, scored or refused with a reason."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer
from rich.table import Table

from cds.batch.answers import Answer, Rejected, answer
from cds.batch.asked import refuse_gap, refuse_unasked
from cds.batch.gather import Gathered
from cds.batch.prefilter import Engine
from cds.batch.recorded import asked_in
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
from cds.cli.population import score_population
from cds.features.needs import union
from cds.risk.estimate import NotScored, Outcome
from cds.risk.model import RiskModel
from cds.risk.snapshot import estimates, inputs
from cds.settings import read_settings
from cds.site import Site, load_site


def score_files(
    files: Annotated[
        list[str],
        typer.Argument(
            help="An export: folders, NDJSON files, URLs. Without --out Bundles too, or - for standard input."
        ),
    ],
    models: Annotated[
        list[str] | None,
        typer.Option("--models", "--model", help="Model ids, with commas or repeated. Default: kfre-4."),
    ] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Write scores.parquet, RiskAssessment.ndjson and run.json there.")
    ] = None,
    site: SiteOption = None,
    region: RegionOption = None,
    at: AtOption = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one for each core.")] = None,
    engine: Annotated[
        Literal["local", "spark"], typer.Option(help="local, or spark (needs the extra of that name).")
    ] = "local",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in --out.")] = False,
    prior: Annotated[
        Path | None, typer.Option(help="The --out of the run before: this export brings what changed since.")
    ] = None,
    prefilter: Annotated[Engine, typer.Option(help="How lines are searched for codes: aho, rg, or none.")] = "aho",
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Of a server's URL: it asks for no token.")] = False,
    json: JsonOption = False,
) -> None:
    """Score every patient of an export.

    Exit codes: 0, 1 failed, 2 usage, 3 when something was rejected or the server reported errors in its export.
    """
    names = tuple(dict.fromkeys(name.strip() for given in models or ["kfre-4"] for name in given.split(",")))
    with told():
        settings = read_settings(site, region=region, default_stage="live")
        found = load_site(site, settings)
        chosen = [_model(found, name) for name in names]
    if out_folder is not None:
        score_population(
            files, out_folder, site=site, settings=settings, models=names, at=instant(at), workers=workers,
            spark=engine == "spark", resume=resume, prefilter=prefilter, prior=prior, no_auth=no_auth, as_json=json,
        )  # fmt: skip
        return
    if resume or prior or workers or engine != "local" or prefilter != "aho" or no_auth:
        stop(USAGE, "--resume, --prior, --workers, --engine, --prefilter and --no-auth go with --out")
    with told():
        asked = asked_in(files)
        refuse_gap(asked)
        refuse_unasked(asked, union(n for m in chosen for n in m.predictors.needs()), found.vocabulary)
        gathered = read_export([Path(file) for file in files])
    lines = list(_lines(gathered, found, chosen, instant(at)))
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
            yield {**base, **_told(answer(model, chart, at))}


def _told(outcome: Answer) -> dict[str, Any]:
    if isinstance(outcome, Rejected):
        return {"outcome": "rejected", "reason": outcome.reason, "text": outcome.text}
    said: dict[str, Any] = {"inputs": _inputs(outcome), "cautions": outcome.cautions}
    if isinstance(outcome, NotScored):
        return {"outcome": "not-scored", "reason": outcome.reason, "text": outcome.text, **said}
    return {"outcome": "risk", "estimates": estimates(outcome), **said}


def _inputs(outcome: Outcome) -> list[dict[str, Any]]:
    answers = outcome.row.answers()
    return [{**line, "source": getattr(answers[line["name"]], "source", "")} for line in inputs(outcome)]


def _print(lines: list[dict[str, Any]]) -> None:
    table = Table("Patient", "Model", "Result", "Why not, or what to note", box=None, header_style="bold")
    for line in lines:
        several = len({e["outcome"] for e in line.get("estimates", ())}) > 1
        result = "\n".join(_number(e, named=several) for e in line.get("estimates", ()))
        note = line.get("text") or "; ".join(line.get("cautions", ()))
        note = f"rejected: {note}" if line["outcome"] == "rejected" else note
        table.add_row(line["patient"], line["model"], result, note)
    out.print(table)
    count = Counter(line["outcome"] for line in lines)
    rejected = f", {count['rejected']} rejected" if count["rejected"] else ""
    out.print(f"{count['risk']} scored, {count['not-scored']} not scored{rejected}.")


def _number(told: dict[str, Any], *, named: bool) -> str:
    """A number as a line of the table: "15.4 % in 5 years", "5 points, high"."""
    bound = f"{told['bound']} " if told.get("bound") else ""
    name = f"{told['outcome']}: " if named else ""
    if "value" in told:
        value = f"{name}{bound}{told['value']:.4g} {told['unit']}".rstrip()
        return f"{value}, {told['band']}" if told.get("band") else value
    return f"{name}{bound}{told['probability'] * 100:.1f} % in {told['horizon']:g} years"
