"""Hands out the tickets that a session's pages carry in their forms: what another site's page cannot know."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256

LIMIT = 64
TWICE = timedelta(seconds=3)
"""A double click sends a form twice, and the second is what the browser shows."""


class Tickets:
    """The last LIMIT tickets of one session. Where no cookie comes along, a ticket opens one page only."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._given: OrderedDict[bytes, tuple[datetime, bytes] | None] = OrderedDict()

    def give(self) -> str:
        made = secrets.token_urlsafe(24)
        self._given[_digest(made)] = None
        while len(self._given) > LIMIT:
            self._given.popitem(last=False)
        return made

    def known(self, ticket: str) -> bool:
        """Whether this session gave it: enough beside its cookie, where a page's forms are used more than once."""
        return _digest(ticket) in self._given

    def spend(self, ticket: str, sent: str) -> bool:
        """Use it in a cookie's place: once, and once more only where a double click has `sent` the very same."""
        key, now, what = _digest(ticket), self._clock(), _digest(sent)
        if key not in self._given:
            return False
        first = self._given[key]
        self._given[key] = (now, what if first is None else b"")
        return first is None or (first[1] == what and timedelta(0) <= now - first[0] <= TWICE)


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
