"""Reads from an EHR's FHIR server: one origin, one token, one budget."""

import asyncio
import logging
import time
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import httpx

from cds.errors import DataUnavailable, UnreadableResource
from cds.fhir.resources import Resource, read, read_leniently

AT_ONCE = 6
PER_CALL_SECONDS = 2.0
PAGES = 50
PAGE_BYTES = 8 * 1024 * 1024

Transport = httpx.AsyncBaseTransport


class FhirClient:
    """Searches one FHIR base with one access token until a deadline (monotonic seconds).

    Never follows a redirect or a link to another origin, retries a failed read once, and says what went wrong without
    the URL, which names the patient.
    """

    def __init__(
        self,
        base: str,
        token: str | None,
        deadline: float,
        transport: Transport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.base = base.rstrip("/")
        self._deadline = deadline
        self._clock = clock
        headers = {"Accept": "application/fhir+json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._http = httpx.AsyncClient(
            headers=headers, timeout=PER_CALL_SECONDS, follow_redirects=False, transport=transport, trust_env=False
        )
        self._slots = asyncio.Semaphore(AT_ONCE)
        for name in ("httpx", "httpcore"):  # they log each URL, and ours name the patient
            logging.getLogger(name).setLevel(logging.WARNING)

    async def __aenter__(self) -> "FhirClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def first_page(self, query: str) -> list[Resource]:
        """The newest page of a search, or the resource read, relative to the base."""
        return [await self._get(f"{self.base}/{query}")]

    async def follow(self, pages: list[Resource]) -> list[Resource]:
        """Complete a search of which the first pages are known."""
        while (link := next_link(pages[-1])) is not None:
            if len(pages) >= PAGES:
                raise DataUnavailable("the search has too many pages")
            pages.append(await self._get(self._on_origin(link)))
        return pages

    def _on_origin(self, link: str) -> str:
        try:
            url = urljoin(f"{self.base}/", link)
            if origin(url) == origin(self.base) and "@" not in urlsplit(url).netloc:
                return url
        except ValueError:
            raise DataUnavailable("the link to the next page is no URL") from None
        raise DataUnavailable("the next page is on another server")

    async def _get(self, url: str) -> Resource:
        async with self._slots:
            for attempt in (1, 2):
                try:
                    return _resource(await self._send(url))
                except httpx.InvalidURL:
                    raise DataUnavailable("the link to the next page is no URL") from None
                except httpx.HTTPError as error:
                    if attempt == 2 or self._left() <= 0:
                        raise DataUnavailable(f"the FHIR server failed: {type(error).__name__}") from None
        raise AssertionError("unreachable")

    async def _send(self, url: str) -> bytes:
        left = min(self._left(), PER_CALL_SECONDS)
        if left <= 0:
            raise DataUnavailable("the time for fetching is over")
        async with asyncio.timeout(left), self._http.stream("GET", url, timeout=left) as response:
            if response.status_code >= 500:
                response.raise_for_status()
            if response.status_code != 200:
                raise DataUnavailable(f"the FHIR server answered {response.status_code}")
            return await _content(response)

    def _left(self) -> float:
        return self._deadline - self._clock()


async def _content(response: httpx.Response) -> bytes:
    """The unpacked body, read only up to the limit: a small packed answer may be endless."""
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > PAGE_BYTES:
            raise DataUnavailable("the FHIR server's answer is too large")
    return bytes(content)


def _resource(content: bytes) -> Resource:
    try:
        return _read(content)
    except UnreadableResource as fault:
        raise DataUnavailable(f"the FHIR server's answer cannot be read: {fault.message}") from None


def _read(content: bytes) -> Resource:
    """What a server sent is read as prefetch is: first strictly, then without the members that have the wrong type."""
    try:
        return read(content)
    except UnreadableResource:
        return read_leniently(content)


def next_link(bundle: Resource) -> str | None:
    """The URL of a Bundle's next page."""
    return next((link.url for link in bundle.link or () if link.relation == "next" and link.url), None)


def origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)
