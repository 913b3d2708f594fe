"""`bedside audit …`: whether anybody has changed the ledger, where its chains end, and who read whom."""

import asyncio
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import typer

from cds.cli.common import FAILED, USAGE, SiteOption, err, instant, open_ledger, out, since_option, stop, told
from cds.cli.ledger import DemoOption
from cds.cli.noting import who
from cds.errors import SiteError
from cds.ledger import Event, Head, Ledger, Verdict
from cds.ledger.audit_event import line, names, of_answer, of_event
from cds.ledger.heads import torn_lines
from cds.settings import read_settings

_PATIENT = re.compile(r"(\S+[|/])?Patient/[^\s/|]+|(?P<id>[A-Za-z0-9.-]{1,64})")

_UNANCHORED = (
    "Without --head nobody can tell whether the newest rows were cut off, a tenant or the whole ledger was taken away, "
    "or the ledger was made to look older than its chain and upgraded."
)
_EARLIER = "what they say in the clear is not covered."

app = typer.Typer(
    no_args_is_help=True, help="Check the ledger's chains, and export who read whom.", rich_markup_mode=None
)


@app.command()
def verify(
    site: SiteOption = None,
    demo: DemoOption = False,
    head: Annotated[
        Path | None, typer.Option(help="Heads that `bedside audit head --out` kept in a second place.")
    ] = None,
) -> None:
    """Walk every chain. Exit code 1 and the first broken place when a row was changed, deleted, added or moved.

    That the newest rows were cut off together with their links shows only with --head, from the last head kept.
    """
    with told(), open_ledger(read_settings(site), demo=demo) as ledger:
        kept = _heads(ledger, head)
        verdicts = ledger.verify(kept)
    for verdict in verdicts:
        out.print(_sentence(verdict))
    if not verdicts:
        out.print("The ledger is empty.")
    if head is None:
        err.print(_UNANCHORED)
    else:
        for tenant in sorted({verdict.tenant for verdict in verdicts} - {one.tenant for one in kept} - {""}):
            err.print(
                f"{tenant}: {head} holds no head of its chain: nobody can tell whether its newest rows were cut off."
            )
    for verdict in verdicts:
        if verdict.earlier:
            err.print(f"{verdict.tenant}: {verdict.earlier} rows are from before the chain: {_EARLIER}")
    if any(verdict.broken for verdict in verdicts):
        raise typer.Exit(FAILED)


def _sentence(verdict: Verdict) -> str:
    earlier = f", {verdict.earlier} rows from before the chain" if verdict.earlier else ""
    counts = f"{verdict.links} links, {verdict.rows} rows, {verdict.purged} purged{earlier}"
    if verdict.broken is None:
        return f"{verdict.tenant}: whole: {counts}"
    place = f" at {verdict.place}" if verdict.place else ""
    kind = f" ({verdict.kind})" if verdict.kind else ""
    return f"{verdict.tenant or 'ledger'}: broken{place}{kind}: {verdict.broken}; before it {counts}"


def _heads(ledger: Ledger, file: Path | None) -> list[Head]:
    if file is None:
        return []
    try:
        # Half a letter belongs to a torn line, or to one whose signature will not fit.
        text = file.read_text(encoding="utf-8", errors="replace")
        heads = ledger.read_heads(text)
    except OSError:
        stop(USAGE, f"{file}: the heads cannot be read")
    except SiteError as error:
        stop(FAILED, f"{file}: {error.message}")
    for number in torn_lines(text):
        err.print(f"{file}: line {number} was torn off when it was written, and is passed over.")
    if not heads:
        stop(FAILED, f"{file}: there is no head in it: nothing was compared")
    return heads


@app.command("head")
def head_(
    site: SiteOption = None,
    demo: DemoOption = False,
    file: Annotated[Path | None, typer.Option("--out", help="Append to this file, and print nothing.")] = None,
) -> None:
    """Print where each tenant's chain ends, signed. Keep it in a second place, every few minutes.

    Whoever can write to the database can cut off its newest rows; only a head kept elsewhere shows that.
    """
    with told(), open_ledger(read_settings(site), demo=demo) as ledger:
        lines = [msgspec.json.encode(found).decode() for found in ledger.heads(datetime.now(UTC))]
    if file is None:
        for found in lines:
            typer.echo(found)
        return
    try:
        with file.open("a+b") as kept:
            kept.write("".join(f"{found}\n" for found in (*_ending(kept), *lines)).encode())
            kept.flush()
            os.fsync(kept.fileno())
    except OSError as error:
        stop(FAILED, f"{file}: {error.strerror}")


def _ending(kept: BinaryIO) -> list[str]:
    """What must stand before a new line: an end for one that a full disk or a power cut has torn off."""
    if not kept.seek(0, os.SEEK_END):
        return []
    kept.seek(-1, os.SEEK_END)
    return [] if kept.read(1) == b"\n" else [""]


@app.command()
def export(
    site: SiteOption = None,
    demo: DemoOption = False,
    since: Annotated[str | None, typer.Option(help="Only from this day or instant on.")] = None,
    until: Annotated[str | None, typer.Option(help="Only up to this day or instant.")] = None,
    patient: Annotated[
        str | None, typer.Option(help="Only about this patient: Patient/ID or ID, or with its server.")
    ] = None,
) -> None:
    """Print every answer and event as a FHIR AuditEvent, one a line. It names patients; the export is recorded."""
    with told():
        patient = _patient(patient) if patient is not None else None
        first, last = since_option(since), (instant(until, "--until") if until else None)
        with open_ledger(read_settings(site), demo=demo) as ledger:
            _note(ledger, {"since": since or "", "until": until or ""}, patient)
            for said in _said(ledger, first, last, patient):
                typer.echo(line(said))


def _patient(text: str) -> str:
    """As a reference. What can name no patient ends the command: it would find nothing, and look like an answer."""
    found = _PATIENT.fullmatch(text)
    if found is None:
        stop(USAGE, "--patient: write Patient/ID, ID, or https://server/Patient/ID")
    return f"Patient/{text}" if found["id"] is not None else text


def _note(ledger: Ledger, detail: dict[str, str], patient: str | None) -> None:
    """Before anything is shown: who reads the audit is audited, in every chain that is read."""
    now, reader = datetime.now(UTC), f"command line: {who()}"
    events = [Event("audit-read", tenant, now, "success", reader, patient, detail) for tenant in ledger.tenants()]

    async def note() -> None:
        await asyncio.gather(*map(ledger.note, events))

    asyncio.run(note())


def _said(
    ledger: Ledger, since: datetime | None, until: datetime | None, patient: str | None
) -> Iterator[dict[str, Any]]:
    for answer in ledger.answers(since):
        if _wanted(answer.recorded_at, until, answer.patient, patient):
            yield of_answer(answer)
    for event in ledger.events(since):
        if _wanted(event.at, until, event.patient, patient):
            yield of_event(event)


def _wanted(at: datetime, until: datetime | None, patient: str | None, asked: str | None) -> bool:
    return (until is None or at <= until) and (asked is None or names(patient, asked))
