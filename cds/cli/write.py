"""`bedside write`: a finished run's results, written to a FHIR server so that a second time changes nothing."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cds.bulk.tally import SHOWN, Tally
from cds.bulk.write_back import Wanted, write_back
from cds.bulk.writing import BATCH
from cds.cli.common import FAILED, REJECTS, USAGE, JsonOption, SiteOption, err, interruptible, out, stop, told
from cds.cli.export_access import Credentials, access
from cds.cli.write_course import Course
from cds.settings import read_settings
from cds.trust.urls import base_url


def _option(name: str, text: str) -> Any:
    return typer.Option(name, help=text, show_default=False)


def write(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A finished run's folder, with its run.json.")],
    to: Annotated[str, typer.Option("--to", help="The FHIR server's base, which holds the run's patients.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read, and say what would change.")] = False,
    site: SiteOption = None,
    client_id: Annotated[str | None, _option("--client-id", "Our client_id there, without a site.")] = None,
    keys: Annotated[Path | None, _option("--keys", "Our signing keys. Default: the site's.")] = None,
    algorithm: Annotated[str | None, _option("--algorithm", "ES384 (default) or RS384.")] = None,
    token_url: Annotated[str | None, _option("--token-url", "Where tokens are had, if it is not published.")] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="The server asks for no token.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write also what somebody else changed or removed there.")
    ] = False,
    check_patients: Annotated[
        bool, typer.Option("--check-patients/--no-check-patients", help="See first that the patients are there.")
    ] = True,
    provenance: Annotated[
        bool, typer.Option("--provenance/--no-provenance", help="Write a Provenance beside each result.")
    ] = True,
    despite_prior: Annotated[
        bool, typer.Option("--despite-prior", help="Also when the run before was not written there to its end.")
    ] = False,
    batch: Annotated[int, typer.Option("--batch", min=1, max=500, help="Results in one Bundle.")] = BATCH,
    json: JsonOption = False,
) -> None:
    """Write a run's RiskAssessments to a FHIR server. Exit code 3 when a line was not written as asked."""
    base, given = _base(to), Credentials(client_id, keys, algorithm, token_url, (), (), no_auth)
    rights = _rights(patients=check_patients, provenance=provenance)
    wanted = Wanted(
        dry_run=dry_run, overwrite=overwrite, check_patients=check_patients, provenance=provenance,
        despite_prior=despite_prior, batch=batch,
    )  # fmt: skip
    noted = None if dry_run else {"folder": str(folder.resolve()), "to": base}
    with told(), interruptible():
        settings = read_settings(site)
        tokens = access(base, rights, given, settings, site, lambda: datetime.now(UTC))
        course = Course(settings, noted, partial(_show, json=json, provenance=provenance))
        course.begins()
        with course.whatever_comes(), _shown() as report:
            tally = asyncio.run(write_back(folder, base, tokens, wanted, course.hears(report)))
        course.ended(tally)
    if not tally.clean:
        raise typer.Exit(FAILED if tally.stopped else REJECTS)


def _base(to: str) -> str:
    try:
        return base_url(to)
    except ValueError as fault:
        stop(USAGE, f"--to: {fault}")


def _rights(*, patients: bool, provenance: bool) -> dict[str, str]:
    """No more than this command uses: a server may refuse all for one that it does not give."""
    used = {"RiskAssessment": "crus"} | ({"Patient": "rs"} if patients else {})
    return used | ({"Provenance": "crus"} if provenance else {})


@contextmanager
def _shown() -> Iterator[Callable[[Tally], None]]:
    """Progress on standard error, where somebody may be looking at it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as shown:
        task = shown.add_task("Results", total=None)
        yield lambda tally: shown.update(task, total=tally.lines, completed=tally.lines - tally.untried)


def _show(tally: Tally, *, json: bool, provenance: bool) -> None:
    if json:
        typer.echo(msgspec.json.encode(tally.told()).decode())
    else:
        _print(tally, provenance=provenance)


def _print(tally: Tally, *, provenance: bool) -> None:
    would = "would be " if tally.dry_run else ""
    became = tally.became
    out.print(
        f"{tally.lines} results: {would}created {became['created']}, updated {became['updated']}, "
        f"retracted {became['retracted']}; unchanged {tally.unchanged}, changed there {became['changed there']}, "
        f"failed {tally.failed}."
    )
    if became["nothing there"]:
        out.print(f"Of the unchanged, {became['nothing there']} were to be retracted and are not there.")
    if became["retracted later"]:
        out.print(f"Of the unchanged, {became['retracted later']} were left alone: a later run retracts them.")
    for one in tally.listed:
        err.print(f"{one.file}:{one.line}: {f'{one.status}: ' if one.status else ''}{one.why}")
    if (unlisted := tally.failed - tally.untried + became["changed there"] - len(tally.listed)) > 0:
        err.print(f"and {unlisted} more: the first {SHOWN} are listed")
    if tally.provenance["not taken"] and provenance:
        err.print("Without Provenance: this server does not say that it takes one that can be written once only.")
    if tally.provenance["failed"]:
        err.print(f"{tally.provenance['failed']} Provenance were not taken; run this again to write them.")
    if tally.stopped:
        err.print(f"Stopped: {tally.stopped}. {tally.untried} results were not seen to their end; run this again.")
