"""Counts the attempts at one file, and says when it is no use to try again."""

from cds.bulk.answered import MayPass

TRIES = 8
"""Failures in a row in which nothing more of the file came than ever before."""
ATTEMPTS = 1000
"""Failures of one file in all, whatever came: a link that is cut so often never ends."""


class Trials:
    """What was tried for one file. Who is told to come later (429) is not failing: that ends with the deadline."""

    def __init__(self) -> None:
        self._failures = self._throttled = self._in_all = self._most = 0

    def after(self, fault: MayPass, held: int) -> int | None:
        """How many times in a row now, for the wait; None: no more. `held`: bytes to which the rest may be added."""
        if fault.status == 429:
            self._throttled += 1
            return self._throttled
        self._throttled = 0
        self._in_all += 1
        self._failures = 0 if held > self._most else self._failures + 1
        self._most = max(self._most, held)
        return self._failures if self._failures < TRIES and self._in_all < ATTEMPTS else None

    @property
    def times(self) -> int:
        """After how many failures it was given up."""
        return self._in_all if self._in_all >= ATTEMPTS else self._failures
