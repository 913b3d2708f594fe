"""Reads from an EHR's FHIR server, and writes what a clinician asks for: one origin, one token, one budget."""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import msgspec

from cds.errors import DataUnavailable, TokenRejected, UnreadableResource, WriteRefused
from cds.fhir.exchange import ServerFailed, exchange
from cds.fhir.http import Http, Transport, below, fetch_bytes, fetch_json
from cds.fhir.resources import Resource, read, read_leniently
from cds.fhir.servers import FhirServer

__all__ = ["Created", "FhirClient", "Transport", "fetch_bytes", "fetch_json", "next_link"]

AT_ONCE = 6
PER_CALL_SECONDS = 2.0
FAIR_SECONDS = 0.25
"""A server that had less time than this has not failed if it did not use it."""
RETRY_SECONDS = 0.1
PAGES = 50
MOST_ENTRIES = 10_000
"""As many as a prefetched Bundle may have."""

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_FHIR_JSON = "application/fhir+json"


class Created(NamedTuple):
    """What a create led to: the resource's id, and whether it had been there before."""

    id: str
    existed: bool = False


class FhirClient:
    """Asks one FHIR base with one access token until a deadline (monotonic seconds); used as a context manager.

    Never follows a redirect or a link that leads off the base, retries a failed read once, and says what went wrong
    without the URL, which names the patient. `server` is what is shared with other callers of the same server.
    """

    def __init__(
        self,
        base: str,
        token: str | None,
        deadline: float,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.monotonic,
        server: FhirServer | None = None,
    ) -> None:
        self.base = base.rstrip("/")
        self._deadline = deadline
        self._clock = clock
        self._server = server or FhirServer(transport, clock)
        self._headers = {"Accept": _FHIR_JSON, "Accept-Encoding": "gzip"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._open = AsyncExitStack()
        self._http: Http | None = None

    async def __aenter__(self) -> "FhirClient":
        if self._server.take_place():
            self._open.callback(self._server.leave_place)
            self._http = await self._open.enter_async_context(self._server.connections())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._http = None
        await self._open.aclose()

    async def first_page(self, query: str) -> list[Resource]:
        """The newest page of a search, or the resource read, relative to the base."""
        return [_resource(await self._read(f"{self.base}/{query}"))]

    async def follow(self, pages: list[Resource]) -> list[Resource]:
        """Complete a search of which the first pages are known."""
        while (link := next_link(pages[-1])) is not None:
            if len(pages) >= PAGES or sum(len(page.entry or ()) for page in pages) > MOST_ENTRIES:
                raise DataUnavailable("the search has too many pages")
            pages.append(_resource(await self._read(below(self.base, link))))
        return pages

    async def resource_json(self, query: str) -> dict[str, Any]:
        """One read or search relative to the base, as the server wrote it. Raises DataUnavailable."""
        try:
            found = msgspec.json.decode(await self._read(f"{self.base}/{query}"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = None
        if not isinstance(found, dict) or not isinstance(found.get("resourceType"), str):
            raise DataUnavailable("the FHIR server's answer cannot be read: it is no FHIR resource")
        return found

    async def create(self, resource: dict[str, Any], unless: str = "") -> Created:
        """Save a new resource. Never tried twice: the first try may have been carried out.

        `unless` is a search of its type: a server that knows conditional creates makes none when that finds one.

        Raises WriteRefused when the server does not take it, and DataUnavailable when it cannot be said whether it did.
        """
        kind = str(resource["resourceType"])
        content = msgspec.json.encode(resource)
        wanted = {"Content-Type": _FHIR_JSON, "Prefer": "return=representation"}
        if unless:
            wanted["If-None-Exist"] = unless
        try:
            status, location, body = await self._send("POST", f"{self.base}/{kind}", content, wanted)
        except ServerFailed as fault:
            raise DataUnavailable(f"it is not known whether it was saved: {fault.message}") from None
        if status not in (200, 201):
            why = _REFUSALS.get(status, f"it answered {status}")
            raise WriteRefused(f"the FHIR server did not save it: {why}", status)
        created = _created(kind, location, body)
        if created is None:
            raise DataUnavailable("the FHIR server saved it, but did not say under which id")
        return Created(created, existed=bool(unless) and status == 200)

    async def _read(self, url: str) -> bytes:
        """One GET, tried once more when the server failed and there is time left."""
        async with self._slots:
            try:
                status, _, body = await self._send("GET", url)
            except ServerFailed as fault:
                status, _, body = await self._again(url, fault)
        if status == 401:
            raise TokenRejected("the FHIR server answered 401")
        if status != 200:
            raise DataUnavailable(f"the FHIR server answered {status}")
        return body

    async def _again(self, url: str, fault: ServerFailed) -> tuple[int, str, bytes]:
        pause = RETRY_SECONDS * (0.5 + self._server.jitter()) if fault.pause is None else fault.pause
        if not fault.again or self._left() <= pause:
            raise DataUnavailable(fault.message) from None
        await asyncio.sleep(pause)
        try:
            return await self._send("GET", url)
        except ServerFailed as second:
            raise DataUnavailable(second.message) from None

    async def _send(
        self, method: str, url: str, content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        """Status, Location and body of one request, of which the breaker learns whether the server failed."""
        seconds = min(self._left(), PER_CALL_SECONDS)
        if seconds <= 0:
            raise DataUnavailable("the time for fetching is over")
        if self._http is None:
            raise DataUnavailable("too many calls are waiting for the FHIR server")
        said = {**self._headers, **(headers or {})}
        with self._server.breaker.call() as call:
            try:
                status, told, body = await exchange(
                    self._http, method, url, headers=said, content=content, seconds=seconds
                )
            except ServerFailed as fault:
                call.ok = None if fault.late and seconds < FAIR_SECONDS else False
                raise
            except DataUnavailable:  # it answered, if nothing that we can use
                call.ok = True
                raise
            call.ok = True
        return status, told.get("location", ""), body

    def _left(self) -> float:
        return self._deadline - self._clock()


_REFUSALS = {
    400: "it says that the resource is not valid",
    401: "the access token is not accepted any more",
    403: "the access token has no right to save this",
    404: "it does not store this type of resource",
    405: "it does not store this type of resource",
    409: "another version of it is there already",
    412: "another version of it is there already",
    415: "it does not take FHIR JSON",
    422: "it says that the resource breaks its rules",
}
"""In our words: what a server says in its OperationOutcome may repeat the patient's values."""


def _created(kind: str, location: str, body: bytes) -> str | None:
    """The id that a server gave, from its Location header or from the resource that it sent back."""
    parts = location.partition("/_history/")[0].rstrip("/").split("/")
    if len(parts) > 1 and parts[-2] == kind and _ID.fullmatch(parts[-1]):
        return parts[-1]
    try:
        resource = read(body)
    except UnreadableResource:
        return None
    return resource.id if resource.resource_type == kind and _ID.fullmatch(resource.id or "") else None


def _resource(content: bytes) -> Resource:
    """What a server sent is read as prefetch is: first strictly, then without the members that have the wrong type."""
    try:
        return _read(content)
    except UnreadableResource as fault:
        raise DataUnavailable(f"the FHIR server's answer cannot be read: {fault.message}") from None


def _read(content: bytes) -> Resource:
    try:
        return read(content)
    except UnreadableResource:
        return read_leniently(content)


def next_link(bundle: Resource) -> str | None:
    """The URL of a Bundle's next page."""
    return next((link.url for link in bundle.link or () if link.relation == "next" and link.url), None)
