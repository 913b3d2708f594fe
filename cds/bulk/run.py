"""One run of an export: reads the manifest while it fetches what the manifest names."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

import msgspec
from msgspec import Struct

from cds.bulk.answered import FileFailed
from cds.bulk.asking import BulkServer
from cds.bulk.checkpoint import Checkpoint
from cds.bulk.downloads import Downloads
from cds.bulk.ending import Exported, delete, exported, severities
from cds.bulk.event_log import EventLog
from cds.bulk.failed import ExportFailed, NotThisExport, one_fault
from cds.bulk.kickoff import ExportRequest, kick_off
from cds.bulk.lanes import Lanes
from cds.bulk.manifest import KINDS, same_instant
from cds.bulk.pace import Pace
from cds.bulk.plan import Entry, Link, Plan
from cds.bulk.polling import Page, Status, keeps_apart
from cds.errors import BedsideError
from cds.fhir.http import Http

_FAULTS_TOLD = 5
_UNANSWERED = (
    "an earlier start in this folder ended before the server's answer was on the disk: the server may have begun that "
    "export too, and keeps its files until they expire"
)
Queue = asyncio.PriorityQueue[tuple[float, int, Entry]]
"""When a file's link ends, its number in the queue, and the file: what ends first is fetched first."""


class Told(Struct, frozen=True):
    """How far it is: the server's words (X-Progress) while it prepares the files, then files and bytes that came."""

    words: str = ""
    files: int = 0
    of: int = 0
    bytes: int = 0
    preparing: bool = True


class Run:
    """One run of an export."""

    def __init__(self, book: Checkpoint, server: BulkServer, pace: Pace, log: EventLog) -> None:
        self.book, self.server, self.pace, self.log = book, server, pace, log
        self.plan = Plan(book.record.files)
        self.told = Told()
        self.faults: list[FileFailed] = []
        self._renewing = asyncio.Lock()

    async def kick_off(self, request: ExportRequest) -> None:
        """The record is on the disk before the server is asked: a kill in between leaves word of a start."""
        record = self.book.record
        self.book.save()
        try:
            url, headers = await kick_off(self.server, request, self.pace)
        except ExportFailed as fault:
            if not record.unanswered:
                self.book.remove()
            self.log.kickoff(self.server.base, request, {}, error=str(fault.status or type(fault).__name__))
            raise
        record.status_url, record.separate_status = url, keeps_apart(headers)
        try:
            self.book.save()
            self.log.kickoff(self.server.base, request, headers)
        except OSError as error:
            raise ExportFailed(
                f"{self.book.folder}: {error.strerror}. The server has begun the export: make room, and --adopt {url} "
                "goes on with it"
            ) from None

    async def finished(
        self, at_once: int, deadline: timedelta, *, keep: bool, tell: Callable[[Told], None]
    ) -> Exported:
        record = self.book.record
        if record.state == "complete":
            self._refuse_lost()
            self.book.drop_journal()
        else:
            await self._gather(at_once, record.began + deadline, tell)
            self._raise_faults()
            record.severities = severities(self.book.folder, self.plan.entries)
            self.book.end("complete", self.pace.clock())
        self._log_end()
        warnings = await self._tidy(keep=keep)
        return exported(self.book, (*([_UNANSWERED] if record.unanswered else []), *warnings))

    async def _gather(self, at_once: int, deadline: datetime, tell: Callable[[Told], None]) -> None:
        queue: Queue = asyncio.PriorityQueue()
        status = self._status(deadline, tell)
        async with one_fault(), self.server.connections() as http, asyncio.TaskGroup() as group:
            downloads = self._downloads(http, Lanes(at_once), status, tell)
            workers = [group.create_task(self._work(queue, downloads, tell)) for _ in range(at_once)]
            queued, numbers = set[str](), count()
            page: Page | None = None
            async for page in status.pages():
                for entry in self._taken(page):
                    if entry.kept is None and entry.name not in queued:
                        queued.add(entry.name)
                        queue.put_nowait((_until(page.expires), next(numbers), entry))
                done = sum(one.kept is not None for one in self.plan.entries) + len(self.faults)
                self._tell(tell, files=done, of=len(self.plan.entries), preparing=False)
            self._manifest_complete(page)
            await queue.join()
            for worker in workers:
                worker.cancel()

    def _taken(self, page: Page) -> list[Entry]:
        """The files of a page, in the record before the first of them is fetched."""
        entries = self._take(page)
        for entry in entries:
            self.server.allow(self.plan.links[entry.name].url, f"the file {entry.name}")
        record = self.book.record
        record.transaction_time = record.transaction_time or page.manifest.transaction_time
        record.pages = max(record.pages, page.number + 1)
        self.book.save()
        self.log.status_page_complete(record.transaction_time, [page.manifest.count(kind) for kind in KINDS])
        return entries

    def _take(self, page: Page) -> list[Entry]:
        """A manifest that has ended as it is read tells of two clocks: to read it again would tell no more."""
        self._refuse_other_time(page.manifest.transaction_time)
        ended = page.expires is not None and page.expires <= self.pace.clock()
        return self.plan.take(page.number, page.manifest, None if ended else page.expires)

    def _refuse_other_time(self, said: str | None) -> None:
        """Two times as of which data were read are two exports, whose files never belong in one folder."""
        known = self.book.record.transaction_time
        if known is not None and said is not None and not same_instant(known, said):
            raise ExportFailed(
                "the export's manifest has another transactionTime than before: the server has another export there "
                "now. Begin again in another folder"
            )

    def _manifest_complete(self, page: Page | None) -> None:
        record = self.book.record
        totals = Counter(one.kind for one in self.plan.entries)
        self.log.status_complete(record.transaction_time)
        self.log.manifest_complete(record.transaction_time, [totals[kind] for kind in KINDS], record.pages)
        last = page.number + 1 if page is not None else 0
        lost = [one.name for one in self.plan.entries if one.name not in self.plan.links]
        if lost or last < record.pages:
            raise ExportFailed("the export's manifest names fewer files than it did before: begin it again")

    async def _work(self, queue: Queue, downloads: Downloads, tell: Callable[[Told], None]) -> None:
        """Files one after the other, those first whose links end first; one that cannot be had stops no other."""
        while True:
            _, _, entry = await queue.get()
            try:
                self.book.finished(entry, await downloads.fetch(entry))
            except FileFailed as fault:
                self.faults.append(fault)
            self._tell(tell, files=self.told.files + 1)
            queue.task_done()

    def _status(self, deadline: datetime, tell: Callable[[Told], None]) -> Status:
        record = self.book.record
        if record.status_url is None:
            raise NotThisExport(f"{self.book.folder}: its record has no status URL: begin again in another folder")
        return Status(
            self.server, record.status_url, record.separate_status, deadline, self.pace, self.log,
            lambda words: self._tell(tell, words=words),
        )  # fmt: skip

    def _downloads(self, http: Http, lanes: Lanes, status: Status, tell: Callable[[Told], None]) -> Downloads:
        async def renew(entry: Entry, link: Link) -> None:
            async with self._renewing:
                if self.plan.links[entry.name] is not link:
                    return  # somebody else has read it meanwhile
                async for page in status.pages():
                    self._take(page)
                    if page.number >= entry.page:
                        return

        return Downloads(
            self.server, http, self.book.folder, lanes, status.deadline, self.pace, self.log,
            lambda entry: self.plan.links[entry.name],
            renew, lambda size: self._tell(tell, bytes=self.told.bytes + size),
        )  # fmt: skip

    def _tell(self, tell: Callable[[Told], None], **news: object) -> None:
        self.told = msgspec.structs.replace(self.told, **news)
        tell(self.told)

    def _refuse_lost(self) -> None:
        lost = [one.name for one in self.plan.entries if one.kept is None]
        if lost:
            raise ExportFailed(f"{self.book.folder}: {lost[0]} of this complete export is gone or was changed")

    def _raise_faults(self) -> None:
        if not self.faults:
            return
        told = [fault.message for fault in self.faults[:_FAULTS_TOLD]]
        more = len(self.faults) - len(told)
        raise ExportFailed("\n".join([*told, *([f"and {more} files more"] if more else [])]))

    def _log_end(self) -> None:
        """Once: whatever ended an earlier run just after its record said "complete" may have kept it from the log."""
        if self.log.tells("export_complete"):
            return
        record = self.book.record
        kept = [one.kept for one in record.files if one.kept is not None]
        took = ((record.ended or record.began) - record.began) / timedelta(milliseconds=1)
        self.log.export_complete(len(kept), sum(one.lines for one in kept), sum(one.bytes for one in kept), round(took))

    async def _tidy(self, *, keep: bool) -> tuple[str, ...]:
        """Let the server delete its files. They are all here: what it answers changes nothing."""
        url = self.book.record.status_url
        if keep or url is None:
            return ()
        try:
            await delete(self.server, url)
        except BedsideError as fault:
            return (f"the server still keeps the export: {fault.message}. The same command tries again",)
        self.book.forget_status()
        return ()


def _until(expires: datetime | None) -> float:
    """What sorts first is fetched first."""
    return expires.timestamp() if expires is not None else float("inf")
