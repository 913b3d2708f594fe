"""Keeps the keys that each EHR publishes: fresh enough to notice a withdrawn one, seldom enough to trouble nobody."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping

import structlog

from cds.trust.clients import Client
from cds.trust.keys import Key, UnusableKeys, read_keys

Fetch = Callable[[str], Awaitable[tuple[int, bytes, Mapping[str, str]]]]
"""Reads one URL: status, body of at most SET_BYTES (+ 1 when there is more), headers. Follows no redirect."""

FETCH_SECONDS = 2.0
LIFE_SECONDS = (5 * 60, 60 * 60)
LIFE_UNSAID = 10 * 60
RENEW_FROM = 0.8  # of its life; from then on a set is renewed while it still serves
STALE_SECONDS = 24 * 60 * 60
PAUSE_SECONDS = 60.0
PAUSE_EMPTY_SECONDS = 5.0  # nobody of this issuer can call until its keys have been read once

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?(\d{1,9})(?!\d)", re.IGNORECASE | re.ASCII)
_NO_STORE = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?:$|[\s,=])", re.IGNORECASE)

log = structlog.get_logger("bedside")


class _Held:
    """One issuer's keys and when they were asked for."""

    __slots__ = ("asked_at", "failing", "flight", "fresh_until", "keys", "renew_at", "usable_until")

    def __init__(self) -> None:
        self.keys: Mapping[str, Key] = {}
        self.renew_at = self.fresh_until = self.usable_until = self.asked_at = float("-inf")
        self.failing = False
        self.flight: asyncio.Task[None] | None = None

    def may_ask(self, now: float) -> bool:
        """A clock that was set back may ask too: it would otherwise wait until it has caught up."""
        pause = PAUSE_EMPTY_SECONDS if self.usable_until == float("-inf") else PAUSE_SECONDS
        return self.flight is None and not 0 <= now - self.asked_at < pause

    def receive(self, keys: Mapping[str, Key], life: float, now: float) -> None:
        self.keys, self.failing = keys, False
        self.renew_at, self.fresh_until, self.usable_until = now + RENEW_FROM * life, now + life, now + STALE_SECONDS


class PublicKeys:
    """The keys of every client; one fetch at a time for each issuer, and no more than one a minute."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._held: dict[tuple[str, str | None], _Held] = {}  # an issuer that publishes elsewhere now begins anew

    def at_hand(self, client: Client, kid: str, now: float) -> Key | None:
        """The key, when it is known and fresh and nothing need be waited for."""
        if client.pinned is not None:
            return client.pinned.get(kid)
        held = self._held.get((client.issuer, client.jwks_url))
        if held is None or now >= held.renew_at:
            return None
        return held.keys.get(kid)

    async def find(self, client: Client, kid: str, now: float) -> Key | None:
        """The key, asking the EHR for its set when the set is old or the key unknown, if it may be asked already."""
        if client.pinned is not None or client.jwks_url is None:
            return self.at_hand(client, kid, now)
        held = self._held.setdefault((client.issuer, client.jwks_url), _Held())
        if held.may_ask(now):
            held.asked_at = now
            held.flight = asyncio.create_task(self._renew(client, client.jwks_url, held, now))
        if held.flight is not None and not _serves(held, kid, now):
            # Shielded: a caller that hangs up must not take the keys away from all who wait with it.
            await asyncio.shield(held.flight)
        return held.keys.get(kid) if now < held.usable_until else None

    async def _renew(self, client: Client, url: str, held: _Held, now: float) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                status, body, headers = await self._fetch(url)
            held.receive(_published(status, body), _life(headers), now)
        except Exception as fault:  # noqa: BLE001 - whatever happened out there, the keys we hold stay as they are
            held.failing = True
            why = str(fault) if isinstance(fault, UnusableKeys) else type(fault).__name__
            log.warning("keys not renewed", tenant=client.tenant, why=why)
        finally:
            held.flight = None


def _published(status: int, body: bytes) -> dict[str, Key]:
    if status != 200:
        raise UnusableKeys(f"the server answered {status}")
    return read_keys(body)


def _serves(held: _Held, kid: str, now: float) -> bool:
    """True if this call need not wait for the fetch: its key is fresh, or is stale with the issuer known to fail."""
    return kid in held.keys and (now < held.fresh_until or (held.failing and now < held.usable_until))


def _life(headers: Mapping[str, str]) -> float:
    """How long a set is fresh: what the issuer says, within our bounds."""
    said = next((value for name, value in headers.items() if name.lower() == "cache-control"), "")
    least, most = LIFE_SECONDS
    if _NO_STORE.search(said):
        return least
    found = _MAX_AGE.search(said)
    return min(max(int(found[1]), least), most) if found else LIFE_UNSAID
