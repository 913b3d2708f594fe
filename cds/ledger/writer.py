"""One thread owns the writing connection and commits whatever has queued up together: many answers share one fsync."""

import asyncio
import contextlib
import queue
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from cds.errors import LedgerUnavailable
from cds.ledger.chain import insert_notes
from cds.ledger.database import unavailable
from cds.ledger.events import Note
from cds.ledger.group import REPLAY_WINDOW, Statements, forget_replays, insert_group
from cds.ledger.rows import Entry
from cds.ledger.seal import Keyring

GROUP = 256  # answers in one transaction
SWEEP = 30 * 1_000_000  # microseconds between two looks for outlived replay keys

Job = Callable[[Connection], Any]


class Ticket:
    """Something to write, and whom to tell: a coroutine's future, with its loop."""

    __slots__ = ("future", "loop", "work")

    def __init__(self, work: Entry | Note | Job, future: Any, loop: AbstractEventLoop) -> None:
        self.work, self.future, self.loop = work, future, loop


class Writer:
    """The thread, its queue and its connection."""

    def __init__(self, engine: Engine, keyring: Keyring, *, backlog: int) -> None:
        self.keyring = keyring
        self._engine = engine
        self._statements = Statements.compiled(engine.dialect)
        self._driver: Any = engine.dialect.dbapi
        self._backlog = backlog
        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._connection: Connection | None = None
        self._swept = 0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="bedside-ledger", daemon=True)
        self._thread.start()

    def submit(self, ticket: Ticket) -> None:
        """Queues it, or refuses when so much waits that it would not be in time."""
        if self._closed or self._queue.qsize() >= self._backlog:
            raise LedgerUnavailable("the ledger is closed" if self._closed else "the ledger cannot keep up")
        self._queue.put(ticket)

    def close(self, timeout: float) -> bool:
        """Writes what has been queued, then stops. False if the database did not let it finish in time."""
        self._closed = True
        self._queue.put(None)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (ticket := self._queue.get()) is not None:
            group, last = self._together(ticket)
            for part in _parts(group):
                _settle(self._write(part))
            if last:
                break
            self._sweep(group)
        self._disconnect()

    def _together(self, ticket: Ticket) -> tuple[list[Ticket], bool]:
        """Everything that waits, up to a group's size; True if the end of all work stood in it."""
        group = [ticket]
        with contextlib.suppress(queue.Empty):
            while len(group) < GROUP:
                following = self._queue.get_nowait()
                if following is None:
                    return group, True
                group.append(following)
        return group, False

    def _write(self, part: list[Ticket]) -> list[tuple[Ticket, Any]]:
        try:
            return self._commit(part)
        except Exception as error:  # noqa: BLE001  this thread must outlive whatever a driver raises
            broken = self._is_outage(error)
            self._recover(broken=broken)
            if broken or len(part) == 1:
                return [(ticket, unavailable(error)) for ticket in part]
        # One of them cannot be written, for example a text PostgreSQL refuses: the others must not fail with it.
        return [outcome for ticket in part for outcome in self._write([ticket])]

    def _commit(self, part: list[Ticket]) -> list[tuple[Ticket, Any]]:
        if self._connection is None:
            self._connection = self._engine.connect()
        with self._connection.begin():
            # Only now, for the wait may have been long: who has given up must not be recorded as answered.
            waiting = [ticket for ticket in part if not ticket.future.done()]
            entries = [ticket.work for ticket in waiting if isinstance(ticket.work, Entry)]
            if entries:
                bodies = insert_group(self._connection, entries, self._statements, self.keyring)
                return list(zip(waiting, bodies, strict=True))
            notes = [ticket.work for ticket in waiting if isinstance(ticket.work, Note)]
            if notes:
                insert_notes(self._connection, notes, self.keyring)
            return [(ticket, _done(ticket.work, self._connection)) for ticket in waiting]

    def _is_outage(self, error: Exception) -> bool:
        cause = getattr(error, "orig", None) or error
        return isinstance(cause, self._driver.OperationalError | self._driver.InterfaceError | OSError)

    def _recover(self, *, broken: bool) -> None:
        if broken or (self._connection is not None and self._connection.invalidated):
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError, self._driver.Error):
                connection.close()

    def _sweep(self, group: list[Ticket]) -> None:
        newest = max((ticket.work.recorded_at for ticket in group if isinstance(ticket.work, Entry)), default=0)
        if newest < self._swept + SWEEP or self._connection is None:
            return
        self._swept = newest
        try:
            with self._connection.begin():
                forget_replays(self._connection, newest - REPLAY_WINDOW)
        except (SQLAlchemyError, self._driver.Error):
            self._disconnect()  # the next answer connects anew; the keys wait for the next sweep


def _parts(group: list[Ticket]) -> list[list[Ticket]]:
    """The answers as one transaction, the events as another, everything else as one each."""
    entries = [ticket for ticket in group if isinstance(ticket.work, Entry)]
    notes = [ticket for ticket in group if isinstance(ticket.work, Note)]
    others = [[ticket] for ticket in group if not isinstance(ticket.work, Entry | Note)]
    return [part for part in (entries, notes, *others) if part]


def _done(work: Entry | Note | Job, connection: Connection) -> Any:
    return None if isinstance(work, Entry | Note) else work(connection)


def _settle(outcomes: list[tuple[Ticket, Any]]) -> None:
    loops: dict[AbstractEventLoop, list[tuple[Any, Any]]] = {}
    for ticket, outcome in outcomes:
        loops.setdefault(ticket.loop, []).append((ticket.future, outcome))
    for loop, pairs in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in pairs:
        if future.done():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
