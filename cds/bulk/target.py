"""The FHIR server that results are written to: each request sent until it is answered, within what patience allows."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from cds.bulk.content import Json
from cds.bulk.pace import http_date
from cds.errors import DataUnavailable, TokenRejected
from cds.fhir.exchange import ServerFailed, exchange
from cds.fhir.http import Http

FHIR_JSON = "application/fhir+json"
ANSWER_BYTES = 64 * 1024 * 1024
"""Some CapabilityStatements have 16 MiB, and a Bundle of many results is no smaller."""
AT_ONCE = 6
_PASSING = (429, 502, 503, 504)
"""A server that is busy, or a proxy that does not reach it; another 5xx may be this one request's."""


class Access(Protocol):
    """Whoever has access tokens for the server."""

    async def token(self, *, fresh: bool = False) -> str | None:
        """The token to show, None for none; `fresh` when the last one was refused."""


class NoAccess:
    """For a server that asks for no token."""

    async def token(self, *, fresh: bool = False) -> str | None:
        return None


class Patience(Struct, frozen=True):
    """How often a request is sent, and how many seconds lie between two times."""

    tries: int = 6
    first: float = 0.5
    longest: float = 30.0
    asked: float = 300.0
    """The longest pause that the server may ask for; one that wants more is left alone until the next run."""
    answer: float = 120.0
    """Seconds in which an answer must have come."""

    def pause(self, attempt: int) -> float:
        """After so many failures, doubled each time; callers that failed together do not come back together."""
        return float(min(self.first * 2**attempt, self.longest) * (0.5 + random.random() / 2))  # noqa: S311 - a pause


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes
    repeated: bool = False
    """Whether it was sent before, and nobody knows what became of that."""

    def json(self) -> Json | None:
        """The JSON object in it, when there is one."""
        try:
            found: Any = msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


class Target:
    """One FHIR base, asked over connections that are kept, with whatever token `access` has."""

    def __init__(
        self,
        http: Http,
        base: str,
        access: Access,
        patience: Patience,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.base, self.patience = base.rstrip("/"), patience
        self._http, self._access, self._sleep = http, access, sleep
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._renewing = asyncio.Lock()
        self._newest: str | None = None

    async def ask(
        self, method: str, path: str, body: Json | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request to `path` below the base until it is answered, and answer what was said.

        Every request is one that may be repeated: a read, a PUT by id, or a conditional create. So what became of a try
        that was cut off need not be known. A 5xx that does not pass is an answer; raises TokenRejected for a second
        401, and DataUnavailable when the server is not to be had.
        """
        url = path if path.startswith(f"{self.base}/") else f"{self.base}/{path}".rstrip("/")
        content = None if body is None else msgspec.json.encode(body)
        async with self._slots:
            answer, shown = await self._insist(method, url, content, headers or {})
            if answer.status == 401:
                answer, _ = await self._insist(method, url, content, headers or {}, refused=shown)
        if answer.status == 401:
            raise TokenRejected("the FHIR server answered 401, to a fresh token too: is this client registered there?")
        return answer

    async def rest(self, attempt: int) -> None:
        """Wait as long as is due after so many failures."""
        await self._sleep(self.patience.pause(attempt))

    async def _insist(
        self, method: str, url: str, content: bytes | None, headers: Mapping[str, str], refused: str | None = None
    ) -> tuple[Answer, str | None]:
        """The answer, and the token that was shown for it."""
        sent = 0
        for attempt in range(self.patience.tries):
            try:
                token = await self._token(refused)
                sent += 1
                answer = await self._send(method, url, content, headers, token)
                return answer._replace(repeated=sent > 1), token
            except ServerFailed as fault:
                failed = fault
            if attempt + 1 < self.patience.tries:
                await self._sleep(self._pause(failed, attempt))
        if failed.status is not None and failed.status not in _PASSING:
            return Answer(failed.status, failed.headers, b""), token
        raise DataUnavailable(failed.message)

    async def _token(self, refused: str | None) -> str | None:
        """The newest; one that was refused is replaced once, however many requests hear that it is.

        Raises ServerFailed when there is none for now, and what `access` raises when there is none to be had.
        """
        async with self._renewing:
            try:
                self._newest = await self._access.token(fresh=refused is not None and refused == self._newest)
            except TokenRejected:
                raise
            except DataUnavailable as fault:
                raise ServerFailed(fault.message) from None
            return self._newest

    async def _send(
        self, method: str, url: str, content: bytes | None, headers: Mapping[str, str], token: str | None
    ) -> Answer:
        said = {"Accept": FHIR_JSON, "Accept-Encoding": "gzip", **headers}
        if content is not None:
            said["Content-Type"] = FHIR_JSON
        if token is not None:
            said["Authorization"] = f"Bearer {token}"
        seconds = self.patience.answer
        return Answer(
            *await exchange(self._http, method, url, headers=said, content=content, seconds=seconds, limit=ANSWER_BYTES)
        )

    def _pause(self, failed: ServerFailed, attempt: int) -> float:
        """What the server asks for, or what is due. Raises DataUnavailable when it asks for too long."""
        if failed.status is None and not failed.again:
            raise DataUnavailable(failed.message)
        asked = retry_after(failed.headers)
        if asked is None:
            return self.patience.pause(attempt)
        if asked > self.patience.asked:
            raise DataUnavailable(f"{failed.message} and asks to be left alone for {asked:.0f} seconds")
        return asked


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks for: a number, or a date, which is reckoned from its own clock in the Date header."""
    said = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", said):
        return float(said)
    until, now = http_date(said), http_date(headers.get("date", ""))
    return None if until is None or now is None else max((until - now).total_seconds(), 0.0)
