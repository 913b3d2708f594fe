"""Turns to the spool when the database is out, and brings home what waits there when it is back.

While anything waits, what comes new waits behind it: feedback then meets the answer that it is about, and a process's
answers stand in the ledger in their order. Only the last group is not waited for: what comes while it is being recorded
queues up behind it in the writer, or under steady load the spool would never be empty. What an answer waits for may
still be written into the spool at that moment; so a report on a card, which must not pass its answer, waits as long as
anything does.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from itertools import groupby
from typing import Any

import structlog
from msgspec import structs
from sqlalchemy import Connection, select

from cds.errors import BedsideError, LedgerUnavailable
from cds.ledger.chain import Chains, insert_notes
from cds.ledger.database import Unwritable
from cds.ledger.events import Event, note
from cds.ledger.feedback import store
from cds.ledger.group import Statements, insert_group
from cds.ledger.records import AnswerRecord
from cds.ledger.rows import entry
from cds.ledger.schema import answers
from cds.ledger.schema import events as events_table
from cds.ledger.seal import Keyring
from cds.ledger.spool import Spool
from cds.ledger.spool_file import Damaged
from cds.ledger.spool_reading import Spooled, packed
from cds.ledger.writer import Job

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds between two attempts

log = structlog.get_logger("bedside")


class Outage:
    """Whether the database is out, and the thread that tries it. `write` does a job in the ledger's writer."""

    def __init__(
        self,
        spool: Spool,
        write: Callable[[Job], Coroutine[Any, Any, Any]],
        ready: Callable[[], None],
        statements: Statements,
    ) -> None:
        self.spool = spool
        self.fault: str | None = None
        """What keeps the spool from being brought home though the database may be there."""
        self._write, self._ready, self._statements = write, ready, statements
        self._out = spool.events > 0
        self._proved = False  # by a job that was done since the database was last out
        self._wake, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="bedside-outage", daemon=True)
        self._thread.start()

    @property
    def spooling(self) -> bool:
        """Whether what comes new goes to the spool."""
        return self._out

    def begin(self) -> None:
        """The database has failed."""
        if not self._out and not self._closing.is_set():
            log.error("the ledger's database is out: answers are spooled")
            self._out = True
        self._proved = False
        self._wake.set()

    async def keep(self, event: Spooled) -> None:
        """See Spool.keep."""
        await self.spool.keep(packed(event))
        self._wake.set()

    def close(self, timeout: float) -> bool:
        """Ends the thread; False if it did not end in time. What waits goes on waiting in the spool."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = FIRST_PAUSE
        with asyncio.Runner() as runner:
            while not self._closing.is_set():
                if not (self._out or self.spool.events):
                    self._wake.wait()
                    self._wake.clear()
                    continue
                if runner.run(self._attempt()):
                    pause = FIRST_PAUSE
                else:
                    self._closing.wait(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)

    async def _attempt(self) -> bool:
        try:
            await self._bring_home()
        except LedgerUnavailable:
            self.begin()
            return False
        except Exception as error:  # noqa: BLE001 - this thread must outlive whatever it meets, and say it
            # Only our own words: another's text, and a trace, can hold a row.
            self.fault = str(error) if isinstance(error, BedsideError | Damaged) else type(error).__name__
            log.error("the spool cannot be brought home", why=self.fault)  # noqa: TRY400
            return False
        self.fault = None
        return True

    async def _bring_home(self) -> None:
        """The next group. Of several attempts at one group at most one counts: what is there already is skipped."""
        if not self._proved:
            self._ready()
        batch = self.spool.next()
        if self._proved and batch.last and self.spool.events == len(batch.frames):
            self._over()
        events = batch.events
        try:
            await self._write(self._insertion(events))
        except Unwritable:
            for event in events:
                await self._alone(event)
        self._proved = True
        self.spool.recorded(batch)

    def _over(self) -> None:
        if self._out:
            self._out = False
            log.warning("the ledger's database is back")

    async def _alone(self, event: Spooled) -> None:
        # Twice: where a commit of the same answer was still under way, the second time finds it there.
        for _ in range(2):
            try:
                await self._write(self._insertion([event]))
            except Unwritable as error:
                why = error.message
            else:
                return
        self.spool.set_aside(packed(event))
        log.error("a spooled event cannot be recorded: set aside", why=why)

    def _insertion(self, events: Sequence[Spooled]) -> Job:
        def insert(connection: Connection) -> None:
            if not events:
                connection.execute(select(answers.c.seq).limit(1)).first()  # only to know whether it can be done
            insert_spooled(connection, events, self._statements, self.spool.keyring)

        return insert


def insert_spooled(connection: Connection, events: Iterable[Spooled], statements: Statements, keyring: Keyring) -> None:
    """Within the caller's transaction, in order. Answers and reports that are there already are skipped."""
    told = list(events)
    if not told:
        return
    with Chains(connection, {tenant for event in told for tenant in _tenants(event)}, keyring):
        pass  # all locks at once and in order: each run below takes those of its own tenants only
    for kind, run in groupby(told, _kind):
        if kind == "answer":
            _insert_answers(connection, [event.answer for event in run if event.answer], statements, keyring)
        elif kind == "event":
            _insert_events(connection, [event.event for event in run if event.event], keyring)
        else:
            store(connection, [record for event in run for record in event.feedback], keyring)


def _tenants(event: Spooled) -> set[str]:
    found = {record.tenant for record in event.feedback}
    return found | {one.tenant for one in (event.answer, event.event) if one is not None}


def _kind(event: Spooled) -> str:
    return "answer" if event.answer else "event" if event.event else "feedback"


def _insert_events(connection: Connection, told: Sequence[Event], keyring: Keyring) -> None:
    names = {event.id for event in told}
    known = set(connection.scalars(select(events_table.c.id).where(events_table.c.id.in_(names))))
    fresh = {event.id: event for event in told if event.id not in known}
    insert_notes(connection, [note(event, keyring) for event in fresh.values()], keyring)


def _insert_answers(
    connection: Connection, records: Sequence[AnswerRecord], statements: Statements, keyring: Keyring
) -> None:
    # By their ids: a commit whose outcome nobody heard may have been one.
    names = {record.id for record in records}
    known = set(connection.scalars(select(answers.c.id).where(answers.c.id.in_(names))))
    fresh = {record.id: record for record in records if record.id not in known}
    if not fresh:
        return
    # Without a replay key: each of them was sent with its own body, so each stands for itself.
    entries = [entry(structs.replace(record, replay_key=None), keyring) for record in fresh.values()]
    insert_group(connection, entries, statements, keyring)
