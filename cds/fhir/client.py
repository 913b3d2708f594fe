"""Reads from an EHR's FHIR server: one origin, one token, one budget."""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

import httpx

from cds.errors import DataUnavailable, UnreadableResource
from cds.fhir.resources import Resource, read

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
        url = urljoin(f"{self.base}/", link)
        if origin(url) != origin(self.base):
            raise DataUnavailable("the next page is on another server")
        return url

    async def _get(self, url: str) -> Resource:
        async with self._slots:
            for attempt in (1, 2):
                try:
                    return self._resource(await self._send(url))
                except httpx.HTTPError as error:
                    if attempt == 2 or self._left() <= 0:
                        raise DataUnavailable(f"the FHIR server failed: {type(error).__name__}") from None
        raise AssertionError("unreachable")

    async def _send(self, url: str) -> httpx.Response:
        left = self._left()
        if left <= 0:
            raise DataUnavailable("the time for fetching is over")
        async with asyncio.timeout(min(left, PER_CALL_SECONDS)):
            response = await self._http.get(url, timeout=min(left, PER_CALL_SECONDS))
        if response.status_code >= 500:
            response.raise_for_status()
        return response

    def _resource(self, response: httpx.Response) -> Resource:
        if response.status_code != 200:
            raise DataUnavailable(f"the FHIR server answered {response.status_code}")
        if len(response.content) > PAGE_BYTES:
            raise DataUnavailable("the FHIR server's answer is too large")
        try:
            return read(response.content)
        except UnreadableResource as fault:
            raise DataUnavailable(f"the FHIR server's answer cannot be read: {fault.message}") from None

    def _left(self) -> float:
        return self._deadline - self._clock()


def next_link(bundle: Resource) -> str | None:
    """The URL of a Bundle's next page."""
    return next((link.url for link in bundle.link or () if link.relation == "next" and link.url), None)


def origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)
