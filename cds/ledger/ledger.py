"""The ledger: an answer's bytes leave only after `record` has returned them, and it returns what is on the disk."""

import asyncio
from asyncio import Future
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import Engine

from cds.errors import LedgerUnavailable
from cds.ledger import clock, reading, upkeep
from cds.ledger.database import connect, refuse_unless_current, upgrade
from cds.ledger.events import Event, Note, note
from cds.ledger.feedback import store
from cds.ledger.heads import Head, read_heads, signed_heads
from cds.ledger.records import AnswerRecord, FeedbackRecord, ScoreRecord, Tally
from cds.ledger.rows import Entry, entry
from cds.ledger.seal import Keyring
from cds.ledger.verify import Verdict, verify
from cds.ledger.writer import Job, Ticket, Writer

DEADLINE = 2.0  # seconds an answer may wait for its commit
BACKLOG = 1024  # answers that may wait


class Ledger:
    """Open it once per process with `Ledger.open`; safe from any thread and any event loop."""

    def __init__(self, engine: Engine, keyring: Keyring, *, deadline: float, backlog: int) -> None:
        self._engine = engine
        self._deadline = deadline
        self._writer = Writer(engine, keyring, backlog=backlog)

    @classmethod
    def open(
        cls, url: str, keyring: Keyring, *, create: bool = False, deadline: float = DEADLINE, backlog: int = BACKLOG
    ) -> Self:
        """SiteError unless the tables are up to date; with `create` they are made so first."""
        if create:
            upgrade(url)
        engine = connect(url, busy_ms=int(deadline * 750))
        refuse_unless_current(engine)
        return cls(engine, keyring, deadline=deadline, backlog=backlog)

    async def record(self, answer: AnswerRecord) -> bytes:
        """Returns the body to send once it is durable: its own, or that of the identical call it repeats (D21).

        LedgerUnavailable: it was not recorded, or not in time to know; it must not be sent.
        """
        body: bytes = await self._soon(entry(answer, self._writer.keyring))
        return body

    async def feedback(self, records: Sequence[FeedbackRecord]) -> None:
        """Appends all of them or none. The same report twice is one; a card we never sent is kept as an orphan."""
        keyring = self._writer.keyring
        await self._soon(lambda connection: store(connection, records, keyring))

    async def _soon(self, work: Entry | Note | Job) -> Any:
        loop = asyncio.get_running_loop()
        future: Future[Any] = loop.create_future()
        self._writer.submit(Ticket(work, future, loop))
        timer = loop.call_later(self._deadline, _expire, future)
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
        return upkeep.rotate(self._engine, old, new)

    def check(self) -> None:
        """For readiness: the tables are at head, a write is taken, and the key opens the newest row. Raises if not."""
        refuse_unless_current(self._engine)
        upkeep.check(self._engine, self._writer.keyring)

    def clock_ahead(self, host: Callable[[], datetime]) -> timedelta | None:
        """How far the database's clock is ahead of `host`'s; None on SQLite, which has no clock of its own."""
        return clock.ahead(self._engine, host)

    def close(self, timeout: float = 10.0) -> None:
        """Writes everything that has been accepted, then lets go of the database."""
        if not self._writer.close(timeout):
            raise LedgerUnavailable("the ledger did not finish writing in time")
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def note(self, event: Event) -> None:
        """Appends an event to its tenant's chain. LedgerUnavailable as for `record`."""
        await self._soon(note(event, self._writer.keyring))

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


def _too_late() -> LedgerUnavailable:
    return LedgerUnavailable("the ledger did not commit in time: nothing is answered unrecorded")


def _expire(future: Future[Any]) -> None:
    if not future.done():
        future.set_exception(_too_late())
