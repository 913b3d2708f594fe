"""The ledger: an answer's bytes leave only after `record` has returned them, and it returns what is on the disk."""

import asyncio
import time
import uuid
from asyncio import Future
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from msgspec import structs
from sqlalchemy import Engine

from cds.errors import BedsideError, LedgerUnavailable
from cds.ledger import clock, reading, upkeep
from cds.ledger.beginning import begin_if_empty, upgrade
from cds.ledger.database import Unwritable, connect, refuse_unless_current, refuse_unless_there, unavailable
from cds.ledger.events import Event, Note, note
from cds.ledger.feedback import store
from cds.ledger.group import Statements
from cds.ledger.heads import Head, read_heads, signed_heads
from cds.ledger.outage import Outage
from cds.ledger.reactions import Whose, shown_by_others
from cds.ledger.reactors import Reactors
from cds.ledger.records import AnswerRecord, FeedbackRecord, ScoreRecord, Tally
from cds.ledger.rows import Entry, entry, feedback_row
from cds.ledger.seal import Keyring
from cds.ledger.spool import Spool
from cds.ledger.spool_reading import Spooled
from cds.ledger.verify import Verdict, verify
from cds.ledger.writer import Job, Ticket, Writer

DEADLINE = 2.0  # seconds an answer may wait for its commit, and once more for the spool
RECALL = 0.2  # seconds that an answer may wait to hear what its user was shown before
BACKLOG = 1024  # answers that may wait
PATIENCE = 15.0  # seconds that a group from the spool may take: nobody waits for it


class Ledger:
    """Open it once per process with `Ledger.open`; safe from any thread and any event loop."""

    def __init__(
        self, engine: Engine, keyring: Keyring, *, deadline: float, backlog: int, spool: Spool | None, out: bool
    ) -> None:
        self._engine = engine
        self._deadline = deadline
        self._writer = Writer(engine, keyring, backlog=backlog)
        self._reactors = Reactors()
        self._outage: Outage | None = None
        if spool is not None:
            self._outage = Outage(spool, self._patiently, self._ready, Statements.compiled(engine.dialect))
            if out:
                self._outage.begin()

    @classmethod
    def open(
        cls,
        url: str,
        keyring: Keyring,
        *,
        create: bool = False,
        deadline: float = DEADLINE,
        backlog: int = BACKLOG,
        spool: Path | None = None,
    ) -> Self:
        """SiteError unless the tables are up to date; with `create` they are made so first. An empty ledger begins.

        With `spool`, a folder, what cannot be recorded while the database is out is kept there, and recorded later;
        whether the tables are up to date is then found out later too.
        """
        if create:
            upgrade(url, keyring)
        engine, out = connect(url, busy_ms=int(deadline * 750)), False
        try:
            refuse_unless_current(engine)
            begin_if_empty(engine, keyring)
        except LedgerUnavailable:
            if spool is None:
                raise
            out = True
        opened = Spool.open(spool, keyring) if spool is not None else None
        return cls(engine, keyring, deadline=deadline, backlog=backlog, spool=opened, out=out)

    async def record(self, answer: AnswerRecord) -> bytes:
        """Returns the body to send once it is durable: its own, or that of the identical call it repeats (D21).

        From the spool no body can be repeated: while the database is out, every call gets its own.
        LedgerUnavailable: it was not recorded, or not in time to know; it must not be sent.
        """
        body: bytes = await self._durably(entry(answer, self._writer.keyring), Spooled(answer), answer.body)
        return body

    async def feedback(self, records: Sequence[FeedbackRecord]) -> None:
        """Appends all of them or none. The same report twice is one; a card we never sent is kept as an orphan."""
        keyring = self._writer.keyring
        if self._outage is not None:
            _refuse_unwritable(records, keyring)
        try:
            await self._durably(
                lambda connection: store(connection, records, keyring), Spooled(feedback=tuple(records)), None
            )
        finally:
            self._reactors.outdate()

    async def _durably(self, work: Entry | Note | Job, event: Spooled, kept: Any) -> Any:
        """In the database, or else in the spool: then the outcome is `kept`."""
        if self._outage is None:
            return await self._soon(work, self._deadline)
        # A report waits behind what waits: the answer that it is about may be there, and would be met too late.
        if not (self._outage.spooling or (event.feedback and self._outage.spool.events)):
            try:
                return await self._soon(work, self._deadline)
            except Unwritable:
                raise
            except LedgerUnavailable:
                self._outage.begin()
        try:
            async with asyncio.timeout(DEADLINE):
                await self._outage.keep(event)
        except TimeoutError:
            raise _too_late() from None
        return kept

    async def reacted(self, whose: Whose, since: datetime) -> AnswerRecord | None:
        """The answer to which a user last reacted since, if there is one and the database says so at once.

        What another server recorded in the last half minute may be missed.
        """
        keyring = self._writer.keyring
        if self._reactors.rule_out(keyring.pseudonym(whose.tenant, whose.patient), since):
            return None
        found: AnswerRecord | None = await self._recalled(
            lambda connection: self._reactors.last(connection, whose, since, keyring)
        )
        return found

    async def shown(self, whose: Whose, hook: str, hook_instance: str, since: datetime) -> list[AnswerRecord]:
        """What other services showed a user at one hook's instance since, if the database says so at once."""
        keyring = self._writer.keyring
        found: list[AnswerRecord] | None = await self._recalled(
            lambda connection: shown_by_others(connection, whose, hook, hook_instance, since, keyring)
        )
        return found or []

    async def _recalled(self, job: Job) -> Any:
        if self._outage is not None and self._outage.spooling:
            return None
        try:
            return await self._soon(job, RECALL)
        except LedgerUnavailable:
            return None

    def _ready(self) -> None:
        """What `open` could not find out or do while the database was out."""
        refuse_unless_there(self._engine)
        begin_if_empty(self._engine, self._writer.keyring)

    async def _patiently(self, job: Job) -> Any:
        return await self._soon(job, PATIENCE)

    async def _soon(self, work: Entry | Note | Job, deadline: float) -> Any:
        loop = asyncio.get_running_loop()
        future: Future[Any] = loop.create_future()
        self._writer.submit(Ticket(work, future, loop))
        timer = loop.call_later(deadline, _expire, future)
        try:
            return await future
        finally:
            timer.cancel()

    def answers(
        self, since: datetime | None = None, service: str | None = None, batch: int = 500
    ) -> Iterator[AnswerRecord]:
        """Every answer in the order of recording, opened. Read in batches: no transaction spans the whole walk."""
        return reading.answers_of(self._engine, self._writer.keyring, since, service, batch)

    def scores(
        self, since: datetime | None = None, service: str | None = None, batch: int = 500
    ) -> Iterator[tuple[AnswerRecord, ScoreRecord]]:
        """Every score with the answer it stood in."""
        return ((answer, score) for answer in self.answers(since, service, batch) for score in answer.scores)

    def feedback_records(self, since: datetime | None = None, batch: int = 500) -> Iterator[FeedbackRecord]:
        """Every feedback received since, in that order, opened."""
        return reading.feedback_of(self._engine, self._writer.keyring, since, batch)

    def tallies(self) -> list[Tally]:
        """Reactions by service, model, version, outcome and reason, sorted so."""
        return reading.tallies(self._engine)

    def purge(self, before: datetime, at: datetime | None = None) -> int:
        """Deletes the answers recorded before, with their scores, cards and feedback, and orphans and events before.

        The chain's links stay; `at` (by default `before`) is when its event says that this was done.
        """
        return upkeep.purge(self._engine, before, at or before, self._writer.keyring)

    def rotate(self, new: Keyring) -> int:
        """Reseals every row under the new ring's current key; returns how many. Pseudonyms stay.

        Other servers on this database must hold the new ring first (`Keyring.rotated`), or they add rows it missed.
        """
        old, self._writer.keyring = upkeep.succession(self._writer.keyring, new), new
        if self._outage is not None:
            self._outage.spool.keyring = new
        return upkeep.rotate(self._engine, old, new)

    def check(self) -> None:
        """For readiness: the tables are at head, a write is taken, and the key opens the newest row. Raises if not."""
        refuse_unless_there(self._engine)
        upkeep.check(self._engine, self._writer.keyring)

    def clock_ahead(self, host: Callable[[], datetime]) -> timedelta | None:
        """How far the database's clock is ahead of `host`'s; None on SQLite, which has no clock of its own."""
        return clock.ahead(self._engine, host)

    def state(self) -> Literal["ok", "spooling", "failed"]:
        """For readiness. spooling: the database is out, or has not caught up, and answers are kept in the spool.

        spooling, too, as long as one lies there that the database did not take, for it stands in no ledger: a person
        must look, and one bad record must not take the server from everybody. failed: what is answered now would not
        be recorded, or what waits in the spool cannot be.
        """
        outage = self._outage
        if outage is not None and outage.fault is not None:
            return "failed"
        try:
            self.check()
        except LedgerUnavailable:
            return "spooling" if outage is not None and outage.spool.usable() else "failed"
        except BedsideError:
            return "failed"
        if outage is None or not (outage.spooling or outage.spool.aside()):
            return "ok"
        return "spooling" if outage.spool.usable() else "failed"

    def spooled(self) -> int:
        """Events of this process that wait to be recorded in the database."""
        return self._outage.spool.events if self._outage is not None else 0

    def close(self, timeout: float = 10.0) -> None:
        """Writes everything that has been accepted, then lets go of the database."""
        end = time.monotonic() + timeout
        quiet = self._outage is None or self._outage.close(timeout / 2)
        finished = self._writer.close(end - time.monotonic())
        if self._outage is not None:
            self._outage.spool.close(max(end - time.monotonic(), 0.5), let_go=quiet)
        if not finished:
            raise LedgerUnavailable("the ledger did not finish writing in time")
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def note(self, event: Event) -> None:
        """Appends an event to its tenant's chain. LedgerUnavailable as for `record`."""
        named = structs.replace(event, id=str(uuid.uuid4()))
        await self._durably(note(named, self._writer.keyring), Spooled(event=named), None)

    def events(self, since: datetime | None = None, batch: int = 500) -> Iterator[Event]:
        """Every event since, in the order of recording, opened."""
        return reading.events_of(self._engine, self._writer.keyring, since, batch)

    def heads(self, at: datetime) -> list[Head]:
        """Where each tenant's chain ends, signed, to be kept in a second place."""
        return signed_heads(self._engine, self._writer.keyring, at)

    def read_heads(self, text: str) -> list[Head]:
        """The heads that were kept, one JSON line each. SiteError names a line that this ledger did not sign."""
        return read_heads(text, self._writer.keyring)

    def tenants(self) -> list[str]:
        """Everybody who has a chain, or rows from before there were chains."""
        return reading.tenants(self._engine)

    def verify(self, anchored: Sequence[Head] = ()) -> list[Verdict]:
        """Walks every tenant's chain against its rows, in one snapshot; stops in each at the first broken place."""
        return verify(self._engine, self._writer.keyring, anchored)


def _refuse_unwritable(records: Sequence[FeedbackRecord], keyring: Keyring) -> None:
    """LedgerUnavailable for one of which no row can be made: in the spool it would be in the way of the others."""
    try:
        for record in records:
            feedback_row(record, None, keyring)
    except (TypeError, ValueError, OverflowError) as error:
        raise unavailable(error) from None


def _too_late() -> LedgerUnavailable:
    return LedgerUnavailable("the ledger did not commit in time: nothing is answered unrecorded")


def _expire(future: Future[Any]) -> None:
    if not future.done():
        future.set_exception(_too_late())
