"""Keeps the open sessions, one for each launch, in this process's memory only: a token touches no disk."""

import asyncio
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec
from msgspec import Struct

from cds.smart.refused import SessionEnded, SmartRefused
from cds.smart.tickets import Tickets
from cds.smart.tokens import Tokens

IDLE = timedelta(minutes=15)
LONGEST = timedelta(hours=8)
UNSAID = timedelta(hours=1)
"""The life of an access token whose server does not say; the FHIR server may refuse it earlier."""
NEAR_END = timedelta(seconds=60)
LIMIT = 2_000

Clock = Callable[[], datetime]
Renew = Callable[[str, str], Awaitable[Tokens]]
"""From a refresh token and the granted scope, new tokens."""


class Access(Struct, frozen=True):
    """A token to read with, for `expires_in` seconds more, within the scope that was granted. Never printed."""

    token: str
    expires_in: int
    scope: str

    def __repr__(self) -> str:
        return "Access(…)"


class Launched(Struct, frozen=True):
    """Where a session comes from: the launch's tenant, and who signed in."""

    tenant: str
    fhir_base: str
    user: str | None
    renew: Renew


class Session:
    """One launch: one tenant, one patient, one user. `id` stands in paths; the cookie's secret does not."""

    def __init__(self, launched: Launched, tokens: Tokens, clock: Clock) -> None:
        """Raises SmartRefused("no-patient") when the launch named none."""
        if tokens.patient is None:
            raise SmartRefused("no-patient", launched.tenant)
        self.id = secrets.token_urlsafe(16)
        self.tenant = launched.tenant
        self.fhir_base = launched.fhir_base
        self.user = launched.user
        self.patient_id = tokens.patient
        self.encounter_id = tokens.encounter
        self.need_patient_banner = tokens.need_patient_banner
        self.app_context = tokens.app_context
        self.launched_at = self.touched_at = clock()
        self.tickets = Tickets(clock)
        self.ended = False
        self.cookie_only = False
        """Its browser keeps the cookie: from then on no ticket opens anything without it."""
        self._clock = clock
        self._renew = launched.renew
        self._renewing: asyncio.Task[None] | None = None
        self._cookie = b""
        self._tokens = tokens
        self._keep(tokens)

    def __repr__(self) -> str:
        return f"Session({self.tenant})"

    @property
    def scope(self) -> str:
        """As granted, which may be less than was asked for."""
        return self._tokens.scope

    @property
    def ends_at(self) -> datetime:
        """When it is over however busy: with its token, or after LONGEST when that can be refreshed."""
        end = self.launched_at + LONGEST
        return end if self._tokens.refresh_token else min(end, self._expires_at)

    def alive(self, now: datetime) -> bool:
        return not self.ended and now - self.touched_at < IDLE and now < self.ends_at

    def touch(self) -> None:
        """Somebody who may is using it: only now does its idle time begin again."""
        self.touched_at = self._clock()

    async def access(self) -> Access:
        """A token that lasts a while, refreshed when it is near its end.

        Raises SessionEnded when it cannot be had any more, SmartRefused("unreachable") when the server is silent.
        """
        self._check()
        if self._tokens.refresh_token and self._expires_at - self._clock() < NEAR_END:
            await self._renewed()
        return self._access()

    async def refused(self, access: Access) -> Access:
        """What to read with after the FHIR server answered 401 to `access`: once, a refreshed token.

        Raises as `access`; SessionEnded("token-rejected") when nothing can be refreshed.
        """
        self._check()
        if access.token != self._tokens.access_token:
            return self._access()  # somebody else of this session has refreshed it meanwhile
        if not self._tokens.refresh_token:
            self.end()
            raise SessionEnded("token-rejected", self.tenant)
        await self._renewed()
        return self._access()

    def holds(self, cookie: str) -> bool:
        return hmac.compare_digest(_digest(cookie), self._cookie)

    def new_cookie(self) -> str:
        """The secret that the browser's cookie shall hold: from now on no other opens the session."""
        made = secrets.token_urlsafe(32)
        self._cookie = _digest(made)
        return made

    def end(self) -> None:
        """Forget the tokens. Nothing can be read any more."""
        self.ended = True
        self._cookie = b""
        self._tokens = msgspec.structs.replace(self._tokens, access_token="", refresh_token=None, id_token=None)

    def _check(self) -> None:
        if not self.alive(self._clock()):
            self.end()
            raise SessionEnded("session-ended", self.tenant)

    def _access(self) -> Access:
        left = (min(self._expires_at, self.ends_at) - self._clock()).total_seconds()
        return Access(self._tokens.access_token, max(0, int(left)), self.scope)

    async def _renewed(self) -> None:
        """One refresh for all who wait. It is finished even when they hang up: its answer holds the next token."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._refresh())
            self._renewing.add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )  # nobody may wait any more
        await asyncio.shield(self._renewing)

    async def _refresh(self) -> None:
        before = self._tokens
        try:
            tokens = await self._renew(before.refresh_token or "", before.scope)
        except SmartRefused as fault:
            if fault.reason == "unreachable":
                raise SmartRefused("unreachable", self.tenant) from None
            self.end()
            raise SessionEnded("refresh-refused", self.tenant) from None
        if self.ended:
            raise SessionEnded("session-ended", self.tenant)
        if tokens.patient not in (None, self.patient_id):
            self.end()
            raise SessionEnded("another-patient", self.tenant)
        self._keep(msgspec.structs.replace(tokens, refresh_token=tokens.refresh_token or before.refresh_token))

    def _keep(self, tokens: Tokens) -> None:
        said = timedelta(seconds=tokens.expires_in) if tokens.expires_in is not None else UNSAID
        self._expires_at = self._clock() + min(said, LONGEST)
        self._tokens = msgspec.structs.replace(tokens, id_token=None)


class Sessions:
    """The open sessions by id. Above `limit` the one that was opened first is closed."""

    def __init__(self, clock: Clock, limit: int = LIMIT) -> None:
        self._clock = clock
        self._limit = limit
        self._open: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, launched: Launched, tokens: Tokens) -> Session:
        """A session with a fresh id, whatever the browser brought along. Raises SmartRefused("no-patient")."""
        self._sweep()
        made = Session(launched, tokens, self._clock)
        self._open[made.id] = made
        while len(self._open) > self._limit:
            self._open.popitem(last=False)[1].end()
        return made

    def find(self, id: str) -> Session:  # noqa: A002 - it is the session's id
        """The session of an id, which alone opens nothing. Raises SessionEnded."""
        found = self._open.get(id)
        if found is None:
            raise SessionEnded
        now = self._clock()
        if not found.alive(now):
            self.close(found)
            raise SessionEnded("session-ended", found.tenant)
        return found

    def ids(self) -> Iterator[str]:
        """Of the sessions that are open."""
        self._sweep()
        return iter(self._open)

    def close(self, session: Session) -> None:
        session.end()
        self._open.pop(session.id, None)

    def _sweep(self) -> None:
        now = self._clock()
        for session in [one for one in self._open.values() if not one.alive(now)]:
            self.close(session)


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()
