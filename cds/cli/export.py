"""`bedside export`: a FHIR Bulk Data export into a folder, which the same command resumes after any end."""

import asyncio
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from cds.bulk import AlreadyRunning, Exported, ExportFailed, Pace, cancel, export
from cds.cli.common import FAILED, INTERRUPTED, REJECTS, JsonOption, SiteOption, err, stop, told
from cds.cli.export_access import Credentials, bulk_server
from cds.cli.export_bar import Bar, watched
from cds.cli.export_request import asked_for, level_of
from cds.errors import RequestError
from cds.settings import read_settings

MOST_DAYS = 3650
Words = list[str] | None


def _option(name: str, text: str) -> Any:
    return typer.Option(name, help=text, show_default=False)


def _flag(name: str, text: str) -> Any:
    return typer.Option(name, help=text)


def export_files(
    fhir_base: Annotated[str, typer.Argument(help="The FHIR server's base URL.")],
    folder: Annotated[Path, _option("--out", "The folder to fetch into; the same one goes on where it was.")],
    site: SiteOption = None,
    group: Annotated[str | None, _option("--group", "The patients of this Group (its id).")] = None,
    patient_level: Annotated[bool, _flag("--patient-level", "All patients. The default.")] = False,
    system: Annotated[bool, _flag("--system", "All that the server has.")] = False,
    models: Annotated[str, typer.Option("--models", help="Models to fetch the types of, as kfre-4,meld-3.")] = "kfre-4",
    types: Annotated[Words, _option("--type", "A resource type, instead of the models'; may be repeated.")] = None,
    since: Annotated[str | None, _option("--since", "Changed since a day, an instant, or an export's folder.")] = None,
    until: Annotated[str | None, _option("--until", "What changed before: a day or an instant.")] = None,
    filters: Annotated[Words, _option("--type-filter", "_typeFilter, as Observation?status=final; repeatable.")] = None,
    filter_codes: Annotated[bool, _flag("--filter-codes", "Ask for the models' own codes only.")] = False,
    elements: Annotated[Words, _option("--elements", "_elements; may be repeated.")] = None,
    associated: Annotated[Words, _option("--include-associated", "includeAssociatedData; may be repeated.")] = None,
    patients: Annotated[Path | None, _option("--patients", "A file with a patient's id a line; POST.")] = None,
    output_format: Annotated[str | None, _option("--output-format", "_outputFormat. Default: not said.")] = None,
    by_patient: Annotated[bool, _flag("--by-patient", "organizeOutputBy=Patient.")] = False,
    partial: Annotated[bool, _flag("--partial-manifests", "Fetch files while the export still runs.")] = False,
    post: Annotated[bool, _flag("--post", "Start with a POST instead of a GET.")] = False,
    commas: Annotated[bool, _flag("--commas", "Lists in one parameter, for servers that take none twice.")] = False,
    lenient: Annotated[bool, _flag("--lenient", "Prefer: handling=lenient.")] = False,
    separate_status: Annotated[bool, _flag("--separate-status", "Prefer: separate-export-status.")] = False,
    client_id: Annotated[str | None, _option("--client-id", "Our client_id there, without a site.")] = None,
    keys: Annotated[Path | None, _option("--keys", "Our signing keys. Default: the site's.")] = None,
    algorithm: Annotated[str | None, _option("--algorithm", "ES384 (default) or RS384.")] = None,
    token_url: Annotated[str | None, _option("--token-url", "Where tokens are had, if it is not published.")] = None,
    file_hosts: Annotated[Words, _option("--file-host", "Another origin that files may lie on; repeatable.")] = None,
    scopes: Annotated[Words, _option("--scope", "A scope besides the types', as system/Group.rs; repeatable.")] = None,
    no_auth: Annotated[bool, _flag("--no-auth", "The server asks for no token.")] = False,
    adopt: Annotated[str | None, _option("--adopt", "The status URL of an export that runs already.")] = None,
    cancelling: Annotated[bool, _flag("--cancel", "End the folder's export, or --adopt's, on the server.")] = False,
    keep: Annotated[bool, _flag("--keep", "Leave the files on the server (no DELETE).")] = False,
    at_once: Annotated[int, typer.Option("--at-once", min=1, max=64, help="Files at once, at most.")] = 5,
    days: Annotated[float, typer.Option("--deadline", min=0, help="Days after which to give up waiting.")] = 30.0,
    cap: Annotated[float, typer.Option("--retry-after-cap", min=0.01, help="Longest wait, in seconds.")] = 300.0,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Fetch a FHIR Bulk Data export. After any interruption the same command goes on where it was.

    Exit codes: 0 complete, 1 failed, 2 usage, 3 complete, with errors that the server reports itself.
    """
    pace = Pace(lambda: datetime.now(UTC), cap=cap)
    rest = {"elements": tuple(elements or ()), "associated": tuple(associated or ()), "by_patient": by_patient,
            "partial": partial, "output_format": output_format, "post": post, "commas": commas, "lenient": lenient,
            "separate_status": separate_status}  # fmt: skip
    with told():
        level = level_of(group, patient_level=patient_level, system=system)
        request = asked_for(site, level, group, models, types, since=since, until=until, filters=filters,
                            filter_codes=filter_codes, patients=patients, rest=rest)  # fmt: skip
        given = Credentials(client_id, keys, algorithm, token_url, _all(file_hosts), _all(scopes), no_auth)
        server = bulk_server(fhir_base, request.types, given, read_settings(site), site, pace.clock)
        if cancelling:
            err.print(_run(cancel(server, pace, out=folder if folder.exists() else None, url=adopt), folder))
            raise typer.Exit
        with Bar(quiet=json) as bar:
            work = export(request, folder, server=server, pace=pace, at_once=at_once, deadline=_deadline(days),
                          adopt=adopt, keep=keep, tell=bar.show)  # fmt: skip
            done = _run(work, folder)
    _print(done, json=json)


def fetch_export(
    base: str, folder: Path, *, site: Path | None, models: tuple[str, ...], no_auth: bool, quiet: bool
) -> Exported:
    """All patients of a server, as `bedside export` fetches them when nothing else is said; goes on where it was.

    Who calls it tells of Ctrl-C.
    """
    pace = Pace(lambda: datetime.now(UTC))
    request = asked_for(site, "patient", None, ",".join(models), None, since=None, until=None, filters=None,
                        filter_codes=False, patients=None, rest={})  # fmt: skip
    given = Credentials(None, None, None, None, (), (), no_auth)
    server = bulk_server(base, request.types, given, read_settings(site), site, pace.clock)
    said = ["--out", str(folder), "--models", ",".join(models)]
    said += ["--no-auth"] if no_auth else []
    said += ["--site", str(site)] if site is not None else []
    with Bar(quiet=quiet) as bar, _advised(shlex.join(["bedside", "export", base, *said])):
        return asyncio.run(export(request, folder, server=server, pace=pace, tell=bar.show))


def _deadline(days: float) -> timedelta:
    """Raises RequestError for what no calendar holds."""
    if not days <= MOST_DAYS:
        raise RequestError(f"--deadline {days:g}: 0 to {MOST_DAYS} days")
    return timedelta(days=days)


def _all(words: Words) -> tuple[str, ...]:
    return tuple(words or ())


def _run(work: Any, folder: Path) -> Any:
    """The result; a fault or Ctrl-C ends the command and says how to go on."""
    try:
        with _advised("The same command with"):
            return asyncio.run(work)
    except KeyboardInterrupt:
        stop(
            INTERRUPTED,
            f"Interrupted; what was fetched stays in {folder}. The same command goes on. With --cancel besides, it "
            "ends the export on the server, which may take no other until then.",
        )


@contextmanager
def _advised(command: str) -> Iterator[None]:
    """A fault ends the command and says how to go on; `command`: what stands before --adopt."""
    try:
        yield
    except AlreadyRunning as fault:
        known = fault.url or "STATUS_URL"
        _said(fault)
        stop(
            FAILED,
            f"{fault.message}. {command} --adopt {known} takes that one over, and with --cancel besides it ends "
            "it. The command that began it goes on with it, too.",
        )
    except ExportFailed as fault:
        _said(fault)
        stop(FAILED, fault.message)


def _said(fault: ExportFailed) -> None:
    """The server's own words, for whoever sits here; they are written down nowhere, and so go into no pipe."""
    if fault.said and watched():
        err.print(f"The server says: {fault.said}")


def _print(done: Exported, *, json: bool) -> None:
    for warning in done.warnings:
        err.print(f"Note: {warning}")
    if json:
        typer.echo(msgspec.json.encode({"state": "complete", "partial": done.partial, **_told(done)}).decode())
    else:
        found = ", ".join(f"{number} {severity}" for severity, number in sorted(done.errors.items()))
        issues = f" The server reports: {found} (error/)." if found else ""
        typer.echo(f"{done.folder}: {done.resources} resources, {done.files} files, {done.bytes} bytes.{issues}")
    if done.partial:
        raise typer.Exit(REJECTS)


def _told(done: Exported) -> dict[str, Any]:
    return {
        "out": str(done.folder), "transactionTime": done.transaction_time, "files": done.files,
        "resources": done.resources, "bytes": done.bytes, "deleted": done.deleted, "errors": done.errors,
    }  # fmt: skip
