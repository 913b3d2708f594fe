"""Says how many files are fetched at once: half as many after each 429, one more after a while without."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Lanes:
    """At most `most` at once, at least one. `limit` is how many at the moment."""

    def __init__(self, most: int) -> None:
        self.most, self.limit = most, most
        self._used = self._well = self._round = 0
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[int]:
        """A place, as soon as there is one, and the round in which it was taken."""
        async with self._freed:
            await self._freed.wait_for(lambda: self._used < self.limit)
            self._used += 1
        try:
            yield self._round
        finally:
            self._used -= 1
            async with self._freed:
                self._freed.notify_all()

    def too_many(self, in_round: int) -> None:
        """A request of this round was answered 429. Those that were under way together count as one."""
        if in_round == self._round:
            self.limit = max(1, self.limit // 2)
            self._round += 1
            self._well = 0

    def went_well(self) -> None:
        """One file is there: after as many as there are lanes, one lane more."""
        self._well += 1
        if self._well >= self.limit and self.limit < self.most:
            self.limit, self._well = self.limit + 1, 0
