"""While the database is out, answers are kept in a file of this process: each is on the disk before it leaves."""

import asyncio
import contextlib
import queue
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Self

import structlog

from cds.errors import LedgerUnavailable, SiteError
from cds.ledger.aside import keep_aside
from cds.ledger.seal import Keyring
from cds.ledger.spool_file import START, SpoolFile
from cds.ledger.spool_reading import Batch, Reading, leftovers, set_aside

EVENTS = 100_000  # that may wait (R53)
BYTES = 1 << 30
OVERHEAD = 64  # bytes that sealing and framing add, at most
GROUP = 256  # events that share one fsync, and that are brought home in one transaction

log = structlog.get_logger("bedside")


class Spool:
    """This process's file in the folder, and those that dead processes left; one thread writes.

    `keyring` seals what is written from now on.
    """

    def __init__(self, folder: Path, keyring: Keyring, own: SpoolFile, *, events: int, size: int) -> None:
        self.keyring = keyring
        self._folder = folder
        self._own = Reading(own)
        self._left: list[Reading] = []
        self._events, self._size = events, size
        self._lock = threading.Lock()  # over the own file's end
        self._closed = self._failed = False
        self._queue: queue.SimpleQueue[tuple[bytes, Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="bedside-spool", daemon=True)

    @classmethod
    def open(cls, folder: Path, keyring: Keyring, *, events: int = EVENTS, size: int = BYTES) -> Self:
        """Makes this process's file, and adopts those of dead processes.

        SiteError if the folder cannot be used or a file in it is damaged; LedgerSealed if its key is not on the ring.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            spool = cls(folder, keyring, SpoolFile.create(folder), events=events, size=size)
        except OSError as error:
            raise SiteError(f"{folder}: answers cannot be spooled here ({error.strerror})") from None
        try:
            spool._adopt()
        except BaseException:
            spool._let_go()
            raise
        spool._thread.start()
        return spool

    @property
    def events(self) -> int:
        """How many wait to be recorded in the database."""
        return self._own.left + sum(reading.left for reading in self._left)

    def usable(self) -> bool:
        """Whether, as far as is known, one more would be taken."""
        return not (self._closed or self._failed) and self._room(1, 0)

    async def keep(self, event: bytes) -> None:
        """Returns when it is on the disk. LedgerUnavailable: it is not, and what it tells of must not leave."""
        if self._closed:
            raise LedgerUnavailable("the ledger is closed")
        done: Future[None] = Future()
        self._queue.put((event, done))
        await asyncio.wrap_future(done)

    def next(self) -> Batch:
        """The oldest that wait. Raises Damaged."""
        reading = self._left[0] if self._left else self._own
        frames = reading.take(GROUP, self.keyring)
        return Batch(reading, frames, last=len(frames) == self.events)

    def recorded(self, batch: Batch) -> None:
        """They stand in the database: they need not stand here."""
        reading = batch.reading
        with self._lock:
            if batch.frames:
                reading.passed(batch.frames)
            if reading.left:
                return
            if reading is self._own:
                reading.file.empty()
                reading.at, reading.number, self._failed = START, 0, False
                return
        self._left.remove(reading)
        reading.let_go()

    def set_aside(self, event: bytes) -> None:
        """Keeps, in a file of its own, what a database that is there does not take. OSError if that fails, too."""
        keep_aside(self._folder, event, self.keyring)

    def aside(self) -> list[str]:
        """The files that were set aside, here and by processes that are gone, and nobody has taken away."""
        return set_aside(self._folder)

    def close(self, timeout: float, *, let_go: bool = True) -> None:
        """Writes what has been accepted. What has not been recorded by now waits for the next process."""
        self._closed = True
        self._queue.put(None)
        self._thread.join(timeout)
        if let_go and not self._thread.is_alive():
            self._let_go()

    def _let_go(self) -> None:
        for reading in self._left:
            reading.file.close()
        if self._own.left:
            self._own.file.close()
        else:
            self._own.file.remove()

    def _adopt(self) -> None:
        for reading in leftovers(self._folder, self._own.file.path):
            self._left.append(reading)
            reading.look_through(self.keyring)
            log.warning("events left in a spool", file=reading.file.path.name, events=reading.left)
            if not reading.left:
                self.recorded(Batch(reading, [], last=False))

    def _run(self) -> None:
        last = False
        while not last and (first := self._queue.get()) is not None:
            group = [first]
            with contextlib.suppress(queue.Empty):
                while len(group) < GROUP and not last:
                    if (more := self._queue.get_nowait()) is None:
                        last = True
                    else:
                        group.append(more)
            # Who has given up was not answered, and is not recorded as answered.
            self._append([(event, done) for event, done in group if done.set_running_or_notify_cancel()])

    def _append(self, group: list[tuple[bytes, Future[None]]]) -> None:
        values = [event for event, _ in group]
        fault = self._appended(values)
        for _, done in group:
            if fault is None:
                done.set_result(None)
            else:
                done.set_exception(LedgerUnavailable(fault))

    def _appended(self, values: list[bytes]) -> str | None:
        """Why they could not be spooled."""
        with self._lock:
            if not self._room(len(values), sum(map(len, values))):
                return "the ledger's database is out and its spool is full: nothing is answered unrecorded"
            try:
                self._own.file.append(values, self.keyring)
            except Exception as error:  # noqa: BLE001 - this thread must outlive whatever a disk does
                self._failed = True
                return f"the ledger's database is out and its spool cannot be written ({type(error).__name__})"
            self._failed = False
            self._own.left += len(values)
            return None

    def _room(self, events: int, size: int) -> bool:
        held = self._own.file.size + sum(reading.file.size for reading in self._left)
        return self.events + events <= self._events and held + size + events * OVERHEAD <= self._size
