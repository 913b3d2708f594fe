"""Fetches one file of an export until it is whole on the disk: cut off, refused for a while or expired on the way."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from cds.batch.sources import MIXED
from cds.bulk.answered import Differs, Expired, FileFailed, MayPass, fault_of, refuse_page, strong_tag
from cds.bulk.asking import BulkServer
from cds.bulk.event_log import EventLog
from cds.bulk.lanes import Lanes
from cds.bulk.pace import Pace
from cds.bulk.part import Part
from cds.bulk.plan import Entry, Kept, Link
from cds.bulk.trials import Trials
from cds.bulk.unpacking import MAGIC, BadlyPacked, Gunzip
from cds.errors import DataUnavailable
from cds.fhir.http import Http, NeverAsked
from cds.fhir.stream import Streamed

SECOND_LOOKS = 1
"""How often a file that is not what the manifest says is fetched again: an end of a stream may have been a cut."""
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")


LONGEST_ANSWER = timedelta(hours=24)
"""A server that sends a byte now and then sends no file."""


class Downloads(Struct, frozen=True):
    """What every file is fetched with. After `deadline` nothing is waited for.

    `renew` reads the manifest again, unless it has been since `link` was read.
    """

    server: BulkServer
    http: Http
    folder: Path
    lanes: Lanes
    deadline: datetime
    pace: Pace
    log: EventLog
    link: Callable[[Entry], Link]
    renew: Callable[[Entry, Link], Awaitable[None]]
    tell: Callable[[int], None]
    """Called with the number of bytes that came."""

    async def fetch(self, entry: Entry) -> Kept:
        """Raises FileFailed for this file's fault, ExportFailed for one of all files."""
        file = _File(self, entry)
        try:
            return await file.fetch()
        except FileFailed as fault:
            self.log.download_error(entry, fault.message, fault.status)
            raise
        finally:
            file.part.drop()


class _File:
    """One file under way."""

    def __init__(self, downloads: Downloads, entry: Entry) -> None:
        self.to, self.entry = downloads, entry
        self.part = Part(downloads.folder / entry.name)
        self.trials = Trials()
        self.tag = ""
        """The strong ETag under which the rest may be asked for; empty: it is begun anew."""

    async def fetch(self) -> Kept:
        differing = 0
        renewed = False
        while True:
            link = await self._link()
            try:
                await self._attempt(link)
            except Differs as fault:
                if differing >= SECOND_LOOKS:
                    raise FileFailed(f"{self.entry.name}: {fault}") from None
                differing += 1
            except Expired as fault:
                if renewed:
                    raise self._gone(fault.status, link) from None
                renewed = True
                await self.to.renew(self.entry, link)
            except MayPass as fault:
                await self._wait(fault)
            else:
                kept = await self.part.settle()
                self.to.log.download_complete(self.entry, kept)
                return kept

    async def _wait(self, fault: MayPass) -> None:
        """Until it is worth asking again. Raises FileFailed when it is no use any more."""
        turn = self.trials.after(fault, self.part.size if self.tag else 0)
        if turn is None:
            raise FileFailed(f"{self.entry.name}: {fault.why}, {self.trials.times} times", status=fault.status)
        self._refuse_late()
        self.to.log.download_error(self.entry, fault.why, fault.status)
        left = (self.to.deadline - self.to.pace.clock()).total_seconds()
        await self.to.pace.sleep(min(self.to.pace.wait(fault.headers, turn), left))

    def _refuse_late(self) -> None:
        if self.to.pace.clock() >= self.to.deadline:
            raise FileFailed(f"{self.entry.name}: it was not here by the deadline; a longer --deadline goes on")

    async def _link(self) -> Link:
        """Where the file is; the manifest is read again first when its links have ended by now."""
        link = self.to.link(self.entry)
        if link.expires is not None and self.to.pace.clock() >= link.expires:
            await self.to.renew(self.entry, link)
            return self.to.link(self.entry)
        return link

    async def _attempt(self, link: Link) -> None:
        async with self.to.lanes.lane() as in_round:
            try:
                async with self._asked(link) as found:
                    await self._take(found)
            except MayPass as fault:
                if fault.status == 429:
                    self.to.lanes.too_many(in_round)
                raise
            except NeverAsked:
                raise
            except DataUnavailable as fault:
                raise MayPass(fault.message) from None
        self._verify()
        self.to.lanes.went_well()

    @asynccontextmanager
    async def _asked(self, link: Link) -> AsyncIterator[Streamed]:
        """The answer with the file in it, or with the rest of the file."""
        self.to.log.download_request(self.entry)
        headers = {"Accept": "application/fhir+ndjson", "Accept-Encoding": "gzip"}
        if self.tag and self.part.size:
            headers |= {"Range": f"bytes={self.part.size}-", "If-Range": self.tag, "Accept-Encoding": "identity"}
        what = f"the file {self.entry.name}"
        async with self.to.server.stream(
            self.to.http, link.url, what=what, headers=headers, with_token=link.with_token
        ) as (found, signed):
            if found.status not in (200, 206):
                self.tag = self.tag if found.status >= 429 else ""
                raise await fault_of(self.entry.name, found, signed=signed)
            yield found

    async def _take(self, found: Streamed) -> None:
        if found.status == 206:
            self._refuse_other_range(found)
        else:
            self.part.restart()
            self.tag = ""
            refuse_page(found)
        packing = found.headers.get("content-encoding", "").strip().lower()
        if packing not in ("", "identity", "gzip", "x-gzip"):
            raise FileFailed(f"{self.entry.name}: it is packed in a way that was not asked for")
        self.tag = strong_tag(found) if packing in ("", "identity") else ""
        unpack = Gunzip() if "gzip" in packing else None
        ends = self.to.pace.clock() + LONGEST_ANSWER
        try:
            async for chunk in found.chunks():
                self._refuse_late()
                if self.to.pace.clock() >= ends:
                    raise MayPass(f"it had not come within {LONGEST_ANSWER // timedelta(hours=1)} hours")
                if not self.part.size and unpack is None and chunk.startswith(MAGIC):
                    unpack, self.tag = Gunzip(), ""  # no NDJSON begins so: a packed file that is served as it lies
                for piece in unpack.feed(chunk) if unpack else (chunk,):
                    self.part.write(piece)
                self.to.tell(len(chunk))
            if unpack:
                unpack.end()
        except BadlyPacked as fault:
            raise MayPass(str(fault)) from None

    def _refuse_other_range(self, found: Streamed) -> None:
        said = _RANGE.fullmatch(found.headers.get("content-range", "").strip())
        other = found.headers.get("etag", self.tag) != self.tag or "content-encoding" in found.headers
        if not self.tag or said is None or int(said[1]) != self.part.size or other:
            self.tag = ""
            raise MayPass("the server sent another part of the file than was asked for")

    def _verify(self) -> None:
        """Raises Differs unless the file is what the manifest says."""
        found, entry = self.part.found(), self.entry
        self.tag = ""
        if entry.size is not None and found.bytes != entry.size:
            raise Differs(f"the manifest says {entry.size} bytes, the file has {found.bytes}")
        if entry.count is not None and found.lines not in (entry.count, self._without_headers(entry.count)):
            raise Differs(f"the manifest says {entry.count} resources, the file has {found.lines}")
        if not self.part.ends_whole:
            raise Differs("it ends in the middle of a resource")

    def _without_headers(self, count: int) -> int:
        """As many lines, where a server does not count the header before each patient's block."""
        return count + (self.part.headers if self.entry.type == MIXED else 0)

    def _gone(self, status: int, link: Link) -> FileFailed:
        why = f"{self.entry.name}: the server answered {status}, also after the manifest was read again"
        if not self.to.server.is_own(link.url):
            why += "; no token goes to an origin other than the FHIR server's"
        return FileFailed(f"{why}. The export's files may have ended: begin it again in another folder", status=status)
