"""Asks the servers of an export, and sends the access token to the FHIR server's own origin and to nobody else."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urljoin

from cds.bulk.access import Access
from cds.bulk.failed import ExportFailed, HostNotAllowed
from cds.fhir.http import Http, Transport, askable, fetch_bytes, open_http
from cds.fhir.origins import origin
from cds.fhir.stream import Streamed, streamed

ANSWER_BYTES = 256 * 1024 * 1024
"""A manifest names each file: this is a million of them."""
SECONDS = 120.0
REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})


class Answer(NamedTuple):
    """Status, headers and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class BulkServer:
    """One FHIR base and the other origins (`file_hosts`) on which its files may lie."""

    def __init__(
        self, base: str, access: Access, *, file_hosts: Sequence[str] = (), transport: Transport | None = None,
        seconds: float = SECONDS,
    ) -> None:  # fmt: skip
        self.base = base.rstrip("/")
        self._access = access
        self._own = origin(self.base)
        self._allowed = {self._own, *map(origin, file_hosts)}
        self._transport = transport
        self._seconds = seconds

    def connections(self) -> Http:
        """Connections for many downloads; the caller closes them."""
        return open_http(self._transport)

    def allow(self, url: str, what: str) -> str:
        """The URL, when it may be asked. Raises HostNotAllowed, and ExportFailed when it is none."""
        if not askable(url):
            raise ExportFailed(f"the server gives no usable URL for {what}")
        found = origin(url)
        if found not in self._allowed:
            scheme, host, port = found
            usual = {"https": 443, "http": 80}.get(scheme)
            raise HostNotAllowed(f"{what} is", f"{scheme}://{host}" + (f":{port}" if port != usual else ""))
        return url

    def is_own(self, url: str) -> bool:
        """Whether a URL is on the FHIR server's own origin."""
        return origin(url) == self._own

    async def ask(
        self,
        method: str,
        url: str,
        *,
        what: str,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """One small request. A GET follows redirects to allowed origins; a refused token is renewed once.

        Raises ExportFailed, DataUnavailable when nobody answers, which may pass, and NeverAsked when it will not.
        """
        refused = None
        for _ in range(REDIRECTS + 2):
            self.allow(url, what)
            token = await self._token(url, refused)
            status, body, told = await fetch_bytes(
                url, limit=ANSWER_BYTES, seconds=self._seconds, transport=self._transport, method=method,
                headers={**(headers or {}), "Accept-Encoding": "gzip", **_bearer(token)}, content=content,
            )  # fmt: skip
            if status == 401 and token is not None and refused is None:
                refused = token
            elif status in _MOVED and method == "GET" and (target := told.get("location")):
                url = joined(url, target, what)
            else:
                return Answer(status, told, body)
        raise ExportFailed(f"{what} is redirected without end")

    @asynccontextmanager
    async def stream(
        self, http: Http, url: str, *, what: str, headers: Mapping[str, str], with_token: bool
    ) -> AsyncIterator[tuple[Streamed, bool]]:
        """As `ask`, for a file of any size; also whether our token went along."""
        refused = None
        for _ in range(REDIRECTS + 2):
            self.allow(url, what)
            token = await self._token(url, refused) if with_token else None
            said = {**headers, **_bearer(token)}
            async with streamed(http, url, headers=said, seconds=self._seconds) as found:
                if found.status == 401 and token is not None and refused is None:
                    refused = token
                elif found.status in _MOVED and (target := found.headers.get("location")):
                    url = joined(url, target, what)
                else:
                    yield found, token is not None
                    return
        raise ExportFailed(f"{what} is redirected without end")

    async def _token(self, url: str, refused: str | None) -> str | None:
        return await self._access.token(refused=refused) if self.is_own(url) else None


def joined(url: str, link: str, what: str) -> str:
    """Where a link of the server leads. Raises ExportFailed when nobody can read it."""
    try:
        return urljoin(url, link)
    except ValueError:
        raise ExportFailed(f"the server gives no usable URL for {what}") from None


def _bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
