"""Reads where an EHR's authorization server is, from the FHIR base that the site registered and from nowhere else."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

from cds.smart.hosts import endpoint
from cds.smart.refused import SmartRefused

LIFE_SECONDS = 10 * 60
DOCUMENT_BYTES = 256 * 1024
FETCH_SECONDS = 5.0

T = TypeVar("T")
Place = tuple[str, tuple[str, ...]]
"""A FHIR base and the hosts registered beside it, which a reload may change."""
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
    hosts: tuple[str, ...] = ()
    """Not from there: the hosts besides its site's that were registered for this EHR."""

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
        self._held: dict[Place, _Held] = {}
        self._flights: dict[Place, asyncio.Task[Configuration]] = {}

    async def of(self, base: str, hosts: tuple[str, ...] = ()) -> Configuration:
        """The configuration of a registered FHIR base; `hosts` may be named in it besides those of the base's site.

        Raises SmartRefused: "unreachable", "discovery-missing" (no such document, or not JSON), "discovery-incomplete",
        "host-unregistered".
        """
        place = (base, hosts)
        held = self._held.get(place)
        if held is not None and self._monotonic() < held.until:
            return held.found
        flight = self._flights.get(place)
        if flight is None:
            flight = self._flights[place] = asyncio.create_task(self._read(base, hosts))
            flight.add_done_callback(lambda _: self._flights.pop(place, None))
        return await asyncio.shield(flight)

    async def _read(self, base: str, hosts: tuple[str, ...]) -> Configuration:
        status, body, _ = await self._fetch(f"{base}/.well-known/smart-configuration")
        if status >= 500:
            raise SmartRefused("unreachable")
        if status != 200:
            raise SmartRefused("discovery-missing")
        found = _configuration(base, decoded(body, _Document), hosts)
        self._held[base, hosts] = _Held(found, self._monotonic() + LIFE_SECONDS)
        return found


def decoded(body: bytes, kind: type[T]) -> T:
    """A discovery document. Raises SmartRefused("discovery-missing") for what is none: often a page of HTML."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise SmartRefused("discovery-missing") from None


def _configuration(base: str, said: _Document, hosts: tuple[str, ...]) -> Configuration:
    if not said.authorization_endpoint or not said.token_endpoint:
        raise SmartRefused("discovery-incomplete")
    if said.issuer:
        endpoint(base, said.issuer, hosts)  # its openid-configuration is read from there
    return Configuration(
        endpoint(base, said.authorization_endpoint, hosts),
        endpoint(base, said.token_endpoint, hosts),
        said.issuer,
        endpoint(base, said.jwks_uri, hosts) if said.jwks_uri else None,
        tuple(said.capabilities or ()),
        tuple(said.scopes_supported or ()),
        hosts,
    )
