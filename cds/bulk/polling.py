"""Waits for an export, and reads its manifest page by page, as soon as there is one."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from cds.bulk.asking import Answer, BulkServer
from cds.bulk.event_log import EventLog
from cds.bulk.failed import ExportFailed
from cds.bulk.manifest import Manifest, holds_manifest, read_manifest
from cds.bulk.outcomes import in_codes, in_words, may_pass, read_issues
from cds.bulk.pace import Pace, http_date
from cds.errors import DataUnavailable
from cds.fhir.http import NeverAsked
from cds.text import visible

PAGES = 10_000
TRIES = 20
"""Failures in a row: with the usual cap a server may be out for an hour and more."""


class Page(Struct, frozen=True):
    """A page of the manifest, counted from 0. `expires`: when its links end, where the server says so."""

    number: int
    manifest: Manifest
    expires: datetime | None


class _Found(Struct, frozen=True):
    """A manifest; `wait` is None when nothing will be added to it, else the seconds until it is worth a look again."""

    manifest: Manifest
    expires: datetime | None
    wait: float | None


class Status(Struct, frozen=True):
    """Where one export's status is. `separate`: the job's status stands in X-Export-Status; `deadline`: to give up."""

    server: BulkServer
    url: str
    separate: bool
    deadline: datetime
    pace: Pace
    log: EventLog
    tell: Callable[[str], None]
    """Called with the words of X-Progress."""

    async def pages(self) -> AsyncIterator[Page]:
        """Each page, the first as soon as there is one. One that grows while the export runs comes again.

        Raises ExportFailed with what the server says, and when the deadline has passed or the pages run in a circle.
        """
        url, seen = self.url, {self.url}
        for number in range(PAGES):
            while True:
                found = await self._manifest(url)
                yield Page(number, found.manifest, found.expires)
                if found.manifest.next is not None or found.wait is None:
                    break
                await self._sleep(found.wait)
            if found.manifest.next is None:
                return
            url = self.server.allow(found.manifest.next, "the next page of the export's manifest")
            if url in seen:
                raise ExportFailed("the pages of the export's manifest run in a circle")
            seen.add(url)
        raise ExportFailed(f"the export's manifest has more than {PAGES} pages")

    async def _manifest(self, url: str) -> _Found:
        failures = quiet = throttled = 0
        while True:
            try:
                answer = await self.server.ask(
                    "GET", url, what="the export's status", headers={"Accept": "application/json"}
                )
            except NeverAsked:
                raise
            except DataUnavailable as fault:
                failures += 1
                self._or_give_up(failures, fault.message)
                await self._sleep(self.pace.backoff(failures))
                continue
            status = _status(answer, separate=self.separate)
            if status == 200:
                return _Found(read_manifest(answer.body, url), http_date(answer.headers.get("expires", "")), None)
            if status == 202:
                failures = throttled = 0
                wait = self.pace.wait(answer.headers, quiet)
                quiet += 1
                self._progress(answer.headers, wait)
                if holds_manifest(answer.body):
                    expires = http_date(answer.headers.get("expires", ""))
                    return _Found(read_manifest(answer.body, url), expires, wait)
            else:
                throttled = throttled + 1 if status == 429 else 0  # who is told to be slower is not failing
                failures += status != 429
                wait = self._after_fault(status, answer, failures, throttled)
            await self._sleep(wait)

    def _progress(self, headers: Mapping[str, str], wait: float) -> None:
        words = visible(headers.get("x-progress", ""))[:100]
        self.log.status_progress(words, wait)
        self.tell(words)

    def _after_fault(self, status: int, answer: Answer, failures: int, throttled: int) -> float:
        """Seconds to wait. Raises ExportFailed when it is no use."""
        issues = read_issues(answer.body)
        codes = in_codes(issues)
        self.log.status_error(status, codes)
        if not may_pass(status, issues):
            raise ExportFailed(
                f"the export's status answered {status}{codes}: {_WHY.get(status, 'the export failed')}",
                said=in_words(issues), status=status,
            )  # fmt: skip
        self._or_give_up(failures, f"the export's status answered {status}{codes}")
        return self.pace.wait(answer.headers, throttled or failures)

    def _or_give_up(self, failures: int, why: str) -> None:
        if failures >= TRIES:
            raise ExportFailed(f"{why}, {failures} times one after the other")

    async def _sleep(self, seconds: float) -> None:
        left = (self.deadline - self.pace.clock()).total_seconds()
        if left <= 0:
            raise ExportFailed("the export was not ready by its deadline; a longer --deadline waits on")
        await self.pace.sleep(min(seconds, left))


def _status(answer: Answer, *, separate: bool) -> int:
    """The status of the job: of the answer itself, unless the server said that it keeps the two apart."""
    job = answer.headers.get("x-export-status", "").strip()[:3]
    return int(job) if separate and answer.status == 200 and job.isdecimal() else answer.status


_WHY = {
    401: "it does not accept our token",
    403: "our token has no right to see it",
    404: "the server does not know this export any more: begin it again in another folder",
    410: "the server has given up this export: begin it again in another folder",
}


def keeps_apart(headers: Mapping[str, str]) -> bool:
    """Whether the answer to the export's start says that its status will stand in X-Export-Status."""
    return "separate-export-status" in headers.get("preference-applied", "").lower()


def deadline(began: datetime, days: float) -> datetime:
    return began + timedelta(days=days)
