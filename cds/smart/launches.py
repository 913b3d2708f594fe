"""Keeps the launches that are at the EHR's sign-in: each comes back once, soon, and to the browser that began it."""

import hmac
from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from cds.smart.authorize import Pending
from cds.smart.refused import SmartRefused

LIFE = timedelta(minutes=10)
LIMIT = 10_000
"""Launches, and states that are spent.

Of more launches the oldest one is forgotten of the address that began the most: a stranger crowds out himself first.
"""


class Launches:
    """Launches by the digest of their state; one that came back is remembered as spent while it could be replayed."""

    def __init__(self, clock: Callable[[], datetime], limit: int = LIMIT) -> None:
        self._clock = clock
        self._limit = limit
        self._pending: OrderedDict[bytes, Pending] = OrderedDict()
        self._spent: OrderedDict[bytes, datetime] = OrderedDict()
        self._by: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, one: Pending) -> None:
        self._sweep()
        self._keep(_digest(one.state), one)
        while len(self._pending) > self._limit:
            [(most, _)] = self._by.most_common(1)
            self._drop(next(key for key, other in self._pending.items() if other.by == most))

    def of(self, by: str) -> int:
        """How many launches of an address are at sign-in."""
        self._sweep()
        return self._by[by]

    def take(self, state: str | None) -> Pending:
        """The launch of a state, which is spent from now on.

        Raises SmartRefused: "state-missing", "state-unknown", "state-expired", "state-replayed".
        """
        if not state:
            raise SmartRefused("state-missing")
        key, now = _digest(state), self._clock()
        one = self._drop(key)
        if one is None:
            raise SmartRefused("state-replayed" if key in self._spent else "state-unknown")
        self._spend(key, now)
        if now - one.began > LIFE:
            raise SmartRefused("state-expired", one.tenant)
        return one

    def hold(self, one: Pending, code: str) -> str:
        """Keep a launch whose code came without the cookie, under a name that its page posts back with its secret."""
        key = _digest(f"held {one.state}")
        self._keep(key, msgspec.structs.replace(one, code=code))
        return key.hex()

    def claim(self, name: str, page: str) -> Pending:
        """The held launch of a page that brings the secret; a wrong one spends it too.

        Raises SmartRefused: "state-unknown", "state-expired", "state-replayed", "other-browser".
        """
        try:
            key = bytes.fromhex(name)
        except ValueError:
            raise SmartRefused("state-unknown") from None
        one = self._drop(key)
        if one is None or one.code is None:
            raise SmartRefused("state-replayed" if key in self._spent else "state-unknown")
        now = self._clock()
        self._spend(key, now)
        if now - one.began > LIFE:
            raise SmartRefused("state-expired", one.tenant)
        if not hmac.compare_digest(page.encode(), one.page.encode()):
            raise SmartRefused("other-browser", one.tenant)
        return one

    def _keep(self, key: bytes, one: Pending) -> None:
        self._pending[key] = one
        self._by[one.by] += 1

    def _drop(self, key: bytes) -> Pending | None:
        one = self._pending.pop(key, None)
        if one is not None:
            self._by[one.by] -= 1
            if not self._by[one.by]:
                del self._by[one.by]
        return one

    def _spend(self, key: bytes, now: datetime) -> None:
        self._spent[key] = now
        while len(self._spent) > self._limit:
            self._spent.popitem(last=False)

    def _sweep(self) -> None:
        """Both are in order of time: what is too old stands first. An expired state may still come, and is told so."""
        before = self._clock() - 2 * LIFE
        while self._pending and next(iter(self._pending.values())).began < before:
            self._drop(next(iter(self._pending)))
        while self._spent and next(iter(self._spent.values())) < before:
            self._spent.popitem(last=False)


def handle(state: str) -> str:
    """A launch's name in a cookie's name and in sessionStorage: it does not lead back to the state."""
    return _digest(f"handle {state}").hex()[:16]


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()
