"""Stops asking a server that keeps failing, so that nobody waits for what will not come."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Literal

from cds.errors import DataUnavailable

WINDOW_SECONDS = 10.0
CALLS = 10
PAUSE_SECONDS = 30.0

State = Literal["closed", "open", "half-open"]


class Call:
    """One call let through. `ok` says in the end whether the server failed; None: given up, and nothing was learned."""

    __slots__ = ("ok", "probe")

    def __init__(self, *, probe: bool) -> None:
        self.probe = probe
        self.ok: bool | None = None


class Breaker:
    """Opens when at least half of at least ten calls within ten seconds failed; after thirty seconds one call probes.

    `state` is what an operator wants to see.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._calls: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._opened: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        if self._opened is None:
            return "closed"
        return "open" if self._clock() - self._opened < PAUSE_SECONDS else "half-open"

    @contextmanager
    def call(self) -> Iterator[Call]:
        """Let one call through and hear of its end. Raises DataUnavailable when none may go now."""
        state = self.state
        if state == "open" or (state == "half-open" and self._probing):
            raise DataUnavailable("the FHIR server kept failing and is not asked for a while")
        call = Call(probe=state == "half-open")
        self._probing = call.probe
        try:
            yield call
        finally:
            self._settle(call)

    def _settle(self, call: Call) -> None:
        if call.probe:
            self._probing = False
            if call.ok is not None:
                self._opened = None if call.ok else self._clock()
        elif call.ok is not None and self._opened is None:  # what was sent before it opened says nothing new
            self._count(call.ok)

    def _count(self, ok: bool) -> None:
        now = self._clock()
        self._calls.append((now, ok))
        self._failures += not ok
        while now - self._calls[0][0] > WINDOW_SECONDS:
            self._failures -= not self._calls.popleft()[1]
        if len(self._calls) >= CALLS and self._failures * 2 >= len(self._calls):
            self._opened, self._failures = now, 0
            self._calls.clear()
