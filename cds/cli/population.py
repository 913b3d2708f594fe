"""`bedside score --out`: a whole export into files, with what became of everybody."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import typer
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from cds.batch.finding import find_export
from cds.batch.finish import SCORES
from cds.batch.local import Progress as Told
from cds.batch.local import Stage, run_before, score_export
from cds.batch.places import is_ndjson
from cds.batch.plan import Plan, planned
from cds.batch.prefilter import Engine
from cds.batch.sources import RANGE_BYTES, Export
from cds.cli.common import REJECTS, err, interruptible, out, told
from cds.cli.export import fetch_export
from cds.cli.noting import note_done, noted
from cds.errors import BedsideError, RequestError
from cds.settings import Settings
from cds.site.recipe import SiteRecipe


def score_population(
    places: list[str],
    folder: Path,
    *,
    site: Path | None,
    settings: Settings,
    models: tuple[str, ...],
    at: datetime,
    workers: int | None,
    spark: bool,
    resume: bool,
    prefilter: Engine,
    prior: Path | None,
    no_auth: bool,
    as_json: bool,
) -> None:
    """Score an export into `folder`, and tell how it went. Exit code 3 when there were rejects."""
    word = f"interrupted: what was done is kept in {folder}; the same command with --resume goes on"
    # A ledger that is not ready is told before hours are spent, not after.
    with told(), interruptible(word), noted(settings, "batch-run", {"folder": str(folder.resolve())}):
        places = [_fetched(p, folder, site, models, no_auth, as_json) if is_server(p) else p for p in places]
        export = _export(places, folder, changes=prior is not None)
        recipe = SiteRecipe.of(site, settings, models)
        before = run_before(prior, at)
        plan = planned(
            recipe(), export, at, engine=prefilter,
            shards=before["shards"] if before else None, prior=str(prior.resolve()) if prior else None,
        )  # fmt: skip
        with _progress(quiet=as_json) as progress:
            report = _scored(plan, recipe, folder, workers, spark, resume, progress)
    with told(), interruptible():
        try:
            clean = _tell(report, folder, as_json)
        finally:  # also into a pipe that nobody reads any more
            _note_end(settings, report, folder)
    if not clean:
        raise typer.Exit(REJECTS)


def _scored(
    plan: Plan, recipe: SiteRecipe, folder: Path, workers: int | None, spark: bool, resume: bool, progress: Told
) -> dict[str, Any]:
    many = workers or _workers_for(plan.export)
    if not spark:
        return score_export(plan, recipe, folder, workers=many, resume=resume, progress=progress)
    from cds.batch.spark import score_on_spark

    return score_on_spark(plan, recipe, folder, workers=workers, resume=resume, progress=progress)


def _export(places: list[str], folder: Path, *, changes: bool) -> Export:
    """Raises RequestError when the run would write among what it reads, and read it at the next --resume."""
    if any("://" not in place and Path(place).resolve() == folder.resolve() for place in places):
        raise RequestError(f"--out {folder}: that is the export itself; choose a folder of its own for the run")
    return find_export(places, changes=changes)


def is_server(place: str) -> bool:
    """Whether this is the address of a FHIR server, and not of a file behind one."""
    return place.startswith(("https://", "http://")) and not is_ndjson(place)


def _fetched(base: str, folder: Path, site: Path | None, models: tuple[str, ...], no_auth: bool, quiet: bool) -> str:
    """The folder with the server's export, fetched first or as far as it was not."""
    target = folder / "export"
    fetch_export(base, target, site=site, models=models, no_auth=no_auth, quiet=quiet)
    return str(target)


def _workers_for(export: Export) -> int:
    """One for each core that this process may use, and none that would have nothing to read."""
    return max(1, min(len(os.sched_getaffinity(0)), export.length // (2 * RANGE_BYTES)))


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Told]:
    """A bar on standard error, with rate and time to go; nothing into a pipe."""
    if quiet or not err.is_terminal:
        yield lambda *_: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rate]}"))
    bar = Progress(*columns, TimeRemainingColumn(), console=err, transient=True)
    tasks: dict[Stage, TaskID] = {}
    began: dict[Stage, tuple[float, int]] = {}

    def told_of(stage: Stage, done: int, total: int) -> None:
        bar.start()  # not sooner: its thread would keep the workers from being forked
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total, rate="")
            began[stage] = (time.monotonic(), done)
        since, first = began[stage]
        rate = (done - first) / max(time.monotonic() - since, 0.001)
        text = f"{rate / 1e6:.0f} MB/s" if stage == "reading" else f"{rate:.1f} shards/s" if total > 1 else ""
        bar.update(tasks[stage], completed=done, total=total, rate=text)

    try:
        yield told_of
    finally:
        bar.stop()


def _noted(report: dict[str, Any], folder: Path) -> dict[str, str]:
    """What the ledger holds of a run: enough to find it, to know it again, and to compute it anew."""
    digests = {name: output["sha256"] for name, output in report["outputs"].items()}
    models = ", ".join(f"{model['id']} {model['version']}" for model in report["models"])
    counts = {"patients": str(report["patients"]), "scored": str(sum(o["scored"] for o in report["outcomes"].values()))}
    return {
        "folder": str(folder.resolve()),
        "state": "ended",
        "how": "whole",
        "at": report["at"],
        "models": models,
        **counts,
        **digests,
    }


def _note_end(settings: Settings, report: dict[str, Any], folder: Path) -> None:
    try:
        note_done(settings, "batch-run", _noted(report, folder))
    except BedsideError as fault:
        fault.message += f". {folder} is whole, and not in the ledger: the same command with --resume records it"
        raise


def _tell(report: dict[str, Any], folder: Path, as_json: bool) -> bool:
    """Returns whether there was nothing to reject, nor anything that the export lacks."""
    rejected = report["lines"]["rejected"] + sum(sum(o["rejected"].values()) for o in report["outcomes"].values())
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        _print(report, folder)
    if errors := report["export"]["errors"]:
        told_of = ", ".join(f"{count} {severity}" for severity, count in sorted(errors.items()))
        err.print(f"the server reported of its own export: {told_of}; what it left out, nobody was scored from")
    return not (rejected or errors)


def _print(report: dict[str, Any], folder: Path) -> None:
    table = Table("Model", "Scored", "Not scored", "Rejected", "Why not, most often first", box=None)
    for model, outcome in report["outcomes"].items():
        reasons = sorted({**outcome["not_scored"], **outcome["rejected"]}.items(), key=lambda r: (-r[1], r[0]))
        why = ", ".join(f"{reason} {count}" for reason, count in reasons[:5])
        sums = (sum(outcome[part].values()) for part in ("not_scored", "rejected"))
        table.add_row(model, str(outcome["scored"]), *map(str, sums), why + (", …" if len(reasons) > 5 else ""))
    exported = report["export"]["transaction_time"]
    of = f", exported as of {exported}" if exported else ""
    out.print(f"{report['patients']} patients of {report['lines']['in']} lines{of}, as of {report['at']}:")
    out.print(table)
    if report["ignored"]:
        err.print(f"not read, for it is no NDJSON: {', '.join(report['ignored'])}")
    if narrowed := report["export"]["narrowed"]:
        err.print(f"the export was asked for less by {', '.join(narrowed)}: what that left out, nobody was scored from")
    if lacking := report["export"]["not_found"]:
        err.print(
            f"nothing that these models read was found of {', '.join(lacking)}: if the export left that out, the "
            "scores rest on less than there is"
        )
    if report["lines"]["rejected"]:
        err.print(f"{report['lines']['rejected']} lines were rejected: {folder / 'rejects.ndjson'} says which and why")
    spent = report["seconds"]
    out.print(f"{folder / SCORES} in {sum(spent.values()):.1f} s")
