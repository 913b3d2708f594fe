"""Goes on refusing replays on this node while the memory that all nodes share is out of reach."""

import asyncio
import contextlib
from itertools import islice

import structlog

from cds.errors import LedgerUnavailable
from cds.trust.replay import MemoryReplays, ReplayStore, Use

DEADLINE = 0.5  # seconds: one that does not answer is as good as out, and each call waits for it
PAUSE = 1.0  # seconds between two looks whether it is back
CHUNK = 256  # tokens put into the shared memory at once

log = structlog.get_logger("bedside")


class FallbackReplays:
    """Asks the shared memory and, when it is out, only this process's own: `degraded` until it is back (R53).

    During an outage a token used here could be used once more on each other node; never a second time here. What was
    accepted meanwhile is put into the shared memory before it is trusted again.
    """

    def __init__(self, shared: ReplayStore, *, deadline: float = DEADLINE, pause: float = PAUSE) -> None:
        self._shared = shared
        self._deadline, self._pause = deadline, pause
        self._memory = MemoryReplays()  # in health too, so that a replay is met across the switch in both directions
        self._owed: dict[Use, None] = {}  # in order
        self._degraded = False
        self._now = 0.0  # as the callers' clock had it last
        self._recovery: asyncio.Task[None] | None = None

    @property
    def degraded(self) -> bool:
        """Whether used tokens are remembered by this process only."""
        return self._degraded

    async def first(self, use: Use, now: float) -> bool:
        """See ReplayStore.first; never raises LedgerUnavailable."""
        self._now = now
        if not self._memory.note(use, now):
            return False
        if not self._degraded:
            try:
                return await self._ask(use)
            except LedgerUnavailable:
                self._switch()
        while self._owed and (oldest := next(iter(self._owed))).until <= now:
            del self._owed[oldest]  # it could no longer be accepted anywhere
        self._owed[use] = None
        self._see_to_recovery()
        return True

    async def _ask(self, use: Use) -> bool:
        try:
            async with asyncio.timeout(self._deadline):
                return await self._shared.first(use, self._now)
        except TimeoutError:
            raise LedgerUnavailable("used tokens could not be noted in time") from None

    def _switch(self) -> None:
        if not self._degraded:
            self._degraded = True
            log.warning("used tokens are remembered by this process only: the shared memory is out")

    def _see_to_recovery(self) -> None:
        task = self._recovery
        # A loop that has ended took its task along.
        if task is None or task.done() or task.get_loop().is_closed():
            self._recovery = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        while self._degraded:
            await asyncio.sleep(self._pause)
            with contextlib.suppress(LedgerUnavailable):
                await self._settle()

    async def _settle(self) -> None:
        """Puts what is owed into the shared memory; degraded until nothing is owed."""
        while chunk := list(islice(self._owed, CHUNK)):
            await asyncio.gather(*(self._ask(use) for use in chunk if use.until > self._now))
            for use in chunk:
                del self._owed[use]
        self._degraded = False
        log.warning("used tokens are shared again")
