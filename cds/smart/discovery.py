"""Reads where an EHR's authorization server is, from the FHIR base that the site registered and from nowhere else."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from urllib.parse import urljoin

import msgspec
from msgspec import Struct

from cds.smart.refused import SmartRefused
from cds.trust.urls import safe_url

LIFE_SECONDS = 10 * 60
DOCUMENT_BYTES = 256 * 1024
FETCH_SECONDS = 5.0

T = TypeVar("T")
Fetch = Callable[[str], Awaitable[tuple[int, bytes, Mapping[str, str]]]]
"""Reads one URL as JSON: status, body within DOCUMENT_BYTES, headers. Follows no redirect, sends no credentials.

Raises SmartRefused("unreachable") when nothing comes back.
"""


class Configuration(Struct, frozen=True):
    """What `.well-known/smart-configuration` says, with endpoints that are absolute and safe."""

    authorization_endpoint: str
    token_endpoint: str
    issuer: str | None = None
    jwks_uri: str | None = None
    capabilities: tuple[str, ...] = ()
    scopes_supported: tuple[str, ...] = ()

    @property
    def takes_post(self) -> bool:
        """Whether the authorization request may be posted."""
        return "authorize-post" in self.capabilities

    @property
    def offers_patients(self) -> bool:
        """Whether a launch without a chart lets the user choose a patient."""
        return {"launch-standalone", "context-standalone-patient"} <= set(self.capabilities)


class _Document(Struct, frozen=True):
    """The members we read; one of another type makes the whole unreadable."""

    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    issuer: str | None = None
    jwks_uri: str | None = None
    capabilities: list[str] | None = None
    scopes_supported: list[str] | None = None


class _Held(Struct, frozen=True):
    found: Configuration
    until: float


class Discovery:
    """The configurations by FHIR base; one that was read serves for LIFE_SECONDS, a failure is not kept."""

    def __init__(self, fetch: Fetch, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._held: dict[str, _Held] = {}
        self._flights: dict[str, asyncio.Task[Configuration]] = {}

    async def of(self, base: str) -> Configuration:
        """The configuration of a registered FHIR base.

        Raises SmartRefused: "unreachable", "discovery-missing" (no such document, or not JSON), "discovery-incomplete".
        """
        held = self._held.get(base)
        if held is not None and self._monotonic() < held.until:
            return held.found
        flight = self._flights.get(base)
        if flight is None:
            flight = self._flights[base] = asyncio.create_task(self._read(base))
            flight.add_done_callback(lambda _: self._flights.pop(base, None))
        return await asyncio.shield(flight)

    async def _read(self, base: str) -> Configuration:
        status, body, _ = await self._fetch(f"{base}/.well-known/smart-configuration")
        if status >= 500:
            raise SmartRefused("unreachable")
        if status != 200:
            raise SmartRefused("discovery-missing")
        found = _configuration(base, decoded(body, _Document))
        self._held[base] = _Held(found, self._monotonic() + LIFE_SECONDS)
        return found


def decoded(body: bytes, kind: type[T]) -> T:
    """A discovery document. Raises SmartRefused("discovery-missing") for what is none: often a page of HTML."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise SmartRefused("discovery-missing") from None


def _configuration(base: str, said: _Document) -> Configuration:
    if not said.authorization_endpoint or not said.token_endpoint:
        raise SmartRefused("discovery-incomplete")
    return Configuration(
        _endpoint(base, said.authorization_endpoint),
        _endpoint(base, said.token_endpoint),
        said.issuer,
        _endpoint(base, said.jwks_uri) if said.jwks_uri else None,
        tuple(said.capabilities or ()),
        tuple(said.scopes_supported or ()),
    )


def _endpoint(base: str, url: str) -> str:
    """An absolute https URL (http on this machine only); a relative one starts at the FHIR base."""
    try:
        return safe_url(urljoin(f"{base}/", url))
    except ValueError:
        raise SmartRefused("discovery-incomplete") from None
