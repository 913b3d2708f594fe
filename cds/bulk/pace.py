"""Says how long to wait: as the server asks, within a cap, or ever longer where it does not say."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from msgspec import Struct

CAP = 300.0
"""Servers have asked for five hours where a minute would do."""
FLOOR = 1.0
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class Pace(Struct, frozen=True):
    """The clock, the way to sleep, the chance in it (in [0, 1)), and the longest wait in seconds."""

    clock: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    cap: float = CAP

    def wait(self, headers: Mapping[str, str], tries: int) -> float:
        """Seconds until the next request: what Retry-After says, else twice as long each time, with jitter."""
        asked = retry_after(headers.get("retry-after", ""), self.clock())
        if asked is not None:
            return min(max(asked, FLOOR), self.cap)
        return self.backoff(tries)

    def backoff(self, tries: int) -> float:
        """Between half and the whole of 1, 2, 4 … seconds, never over the cap."""
        return min(FLOOR * 2.0 ** min(tries, 30), self.cap) * (0.5 + self.jitter() / 2)


def retry_after(text: str, now: datetime) -> float | None:
    """Seconds from now by a Retry-After header, which holds seconds or an HTTP date; None when it holds neither."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    moment = http_date(text)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def http_date(text: str) -> datetime | None:
    """The instant of an HTTP date; None when it is none."""
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
