"""Remembers used tokens in SQLite or PostgreSQL, so that all workers of a site share one memory."""

import asyncio
import contextlib
import math
import queue
import threading
from asyncio import AbstractEventLoop
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from cds.errors import LedgerUnavailable
from cds.ledger.database import connect, unavailable
from cds.trust.replay import Use

GROUP = 256  # tokens in one transaction
BACKLOG = 256  # turns of the loop whose tokens wait
SWEEP_SECONDS = 1.0

metadata = MetaData()
jti = Table(
    "jti",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),  # seconds since 1970, rounded up
    Index("jti_expires", "expires"),
    sqlite_with_rowid=False,
)

# Two processes that start at once must not both create the table; any constant will do.
_ADVISORY_LOCK = 0x6A7469

# A power cut may forget the last moments: whoever replays a token then had to catch it just before, inside TLS. That
# risk is smaller than the cost of a second wait for the disk in every call. A crash of the process forgets nothing.
_RELAXED = {"sqlite": "PRAGMA synchronous=NORMAL", "postgresql": "SET synchronous_commit = off"}
_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "SELECT 1"}  # psycopg begins by itself


class Ticket(NamedTuple):
    """A use to note, and the coroutine that waits to hear whether it is the first."""

    use: Use
    now: float
    answer: "asyncio.Future[bool]"


class SharedReplays:
    """One thread with one connection; what has queued up is noted in one transaction.

    `url` as for the ledger. On SQLite give it a file of its own: the ledger's writer holds its file while it waits for
    the disk. With `may_be_out` a database that cannot be reached yet does not stop the start: until it is back, `first`
    raises LedgerUnavailable.
    """

    def __init__(self, url: str, *, may_be_out: bool = False) -> None:
        self._engine = connect(url, create=True)
        self._created = False
        try:
            self._create()
        except LedgerUnavailable:
            if not may_be_out:
                raise
        self._gathered: dict[AbstractEventLoop, list[Ticket]] = {}
        self._queue: queue.SimpleQueue[list[Ticket] | None] = queue.SimpleQueue()
        self._connection: Any = None  # the driver's own: SQLAlchemy costs more than the insert
        self._swept = -math.inf
        self._closed = False
        self._insert = _insert(self._engine.dialect.name)
        self._thread = threading.Thread(target=self._run, name="bedside-jti", daemon=True)
        self._thread.start()

    async def first(self, use: Use, now: float) -> bool:
        if self._closed or self._queue.qsize() >= BACKLOG:
            raise LedgerUnavailable("used tokens cannot be noted now")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()
        if loop not in self._gathered:
            self._gathered[loop] = []
            loop.call_soon(self._hand_over, loop)
        self._gathered[loop].append(Ticket(use, now, answer))
        return await answer

    def _hand_over(self, loop: AbstractEventLoop) -> None:
        """Once for all that came in one turn of the loop: waking the thread costs more than noting a token."""
        group = self._gathered.pop(loop)
        if self._closed:
            _tell([(ticket, LedgerUnavailable("used tokens are no longer noted")) for ticket in group])
        else:
            self._queue.put(group)

    def close(self) -> None:
        """Notes what has queued up, then stops."""
        self._closed = True
        self._queue.put(None)
        self._thread.join(5.0)
        self._engine.dispose()

    def _create(self) -> None:
        try:
            with self._engine.begin() as connection:
                if self._engine.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
                metadata.create_all(connection)
        except SQLAlchemyError as error:
            raise unavailable(error) from None
        self._created = True

    def _run(self) -> None:
        while (group := self._queue.get()) is not None:
            more = self._gather(group)
            self._settle(group)
            if not more:
                break
        self._disconnect()

    def _gather(self, group: list[Ticket]) -> bool:
        """Adds what waits, up to about a group's size; False if the end of all work stood in it."""
        while len(group) < GROUP and not self._queue.empty():
            following = self._queue.get()
            if following is None:
                return False
            group += following
        return True

    def _settle(self, group: Sequence[Ticket]) -> None:
        answers: Sequence[bool | LedgerUnavailable]
        try:
            answers = self._note(group)
        except Exception as error:  # noqa: BLE001 - the thread outlives any failure, and nobody may wait for ever
            self._disconnect()
            answers = [error if isinstance(error, LedgerUnavailable) else unavailable(error)] * len(group)
        told: dict[AbstractEventLoop, list[tuple[Ticket, bool | LedgerUnavailable]]] = {}
        for ticket, answer in zip(group, answers, strict=True):
            told.setdefault(ticket.answer.get_loop(), []).append((ticket, answer))
        for loop, those in told.items():
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it everybody who waited
                loop.call_soon_threadsafe(_tell, those)

    def _note(self, group: Sequence[Ticket]) -> list[bool]:
        cursor = self._connected().cursor()
        cursor.execute(_BEGIN[self._engine.dialect.name])
        answers = [False] * len(group)
        # In one order everywhere, so that two servers never wait for each other's rows crosswise.
        for index in sorted(range(len(group)), key=lambda index: (group[index].use.issuer, group[index].use.jti)):
            use = group[index].use
            cursor.execute(self._insert, (use.issuer, use.jti, use.tenant, math.ceil(use.until)))
            answers[index] = cursor.rowcount == 1
        self._sweep(cursor, max(ticket.now for ticket in group))
        self._connection.commit()
        return answers

    def _sweep(self, cursor: Any, now: float) -> None:
        """Forgets what could no longer be accepted anyway, in the transaction that is open already."""
        if not 0 <= now - self._swept < SWEEP_SECONDS:
            cursor.execute(f"DELETE FROM jti WHERE expires <= {math.floor(now)}")  # noqa: S608 - a whole number
            self._swept = now

    def _connected(self) -> Any:
        if not self._created:
            self._create()
        if self._connection is None:
            self._connection = self._engine.raw_connection()
            self._connection.cursor().execute(_RELAXED[self._engine.dialect.name])
            self._connection.commit()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):  # it is given up either way
                connection.close()


def _tell(those: Sequence[tuple[Ticket, bool | LedgerUnavailable]]) -> None:
    for ticket, answer in those:
        if ticket.answer.done():
            continue  # whoever asked has hung up
        if isinstance(answer, LedgerUnavailable):
            ticket.answer.set_exception(answer)
        else:
            ticket.answer.set_result(answer)


def _insert(dialect: str) -> str:
    """The one statement as the driver wants it: it inserts the row or, when it is there, does nothing."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    style: Any = (sqlite if dialect == "sqlite" else postgresql).dialect
    paramstyle = "qmark" if dialect == "sqlite" else "format"
    values = dict.fromkeys(("issuer", "jti", "tenant", "expires"))
    return str(insert(jti).values(values).on_conflict_do_nothing().compile(dialect=style(paramstyle=paramstyle)))
