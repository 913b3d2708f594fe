"""Remembers which tokens have been used, so that none is good for a second call."""

from heapq import heappop, heappush
from threading import Lock
from typing import Protocol

from msgspec import Struct


class Use(Struct, frozen=True, order=True):
    """One token's use. It could be accepted until `until` (seconds since 1970), and is remembered as long."""

    tenant: str
    issuer: str
    jti: str
    until: float


class ReplayStore(Protocol):
    """Where uses are remembered. The check and the note are one step: of any number at once, one is the first."""

    async def first(self, use: Use, now: float) -> bool:
        """True if this token has not been used before. Raises LedgerUnavailable when that cannot be known."""
        ...


class MemoryReplays:
    """For a server that is one process: what it remembers ends with it."""

    def __init__(self) -> None:
        self._used: set[tuple[str, str]] = set()
        self._by_end: list[tuple[float, tuple[str, str]]] = []
        self._lock = Lock()  # several threads may each have a loop

    async def first(self, use: Use, now: float) -> bool:
        return self.note(use, now)

    def note(self, use: Use, now: float) -> bool:
        """True if this token has not been used before."""
        token = (use.issuer, use.jti)
        with self._lock:
            self._forget(now)
            if token in self._used:
                return False
            self._used.add(token)
            heappush(self._by_end, (use.until, token))
            return True

    def __len__(self) -> int:
        return len(self._used)

    def _forget(self, now: float) -> None:
        while self._by_end and self._by_end[0][0] <= now:
            self._used.discard(heappop(self._by_end)[1])
