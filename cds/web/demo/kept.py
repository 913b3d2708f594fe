"""What the authorization server remembers: launches, codes and tokens, in memory and never for long."""

import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import msgspec

MOST = 2000
"""Of each kind; the oldest goes first, since nothing else would ever bound a server that anybody may ask."""

Kept = TypeVar("Kept")


class Context(msgspec.Struct, frozen=True):
    """What was open in the EHR when the app was launched; a launch from the worklist has no patient."""

    patient: str | None = None
    encounter: str | None = None
    app_context: str | None = None


class Code(msgspec.Struct, frozen=True):
    """An authorization code, in the words that authlib's grant asks with."""

    value: str
    client_id: str
    redirect_uri: str
    scope: str
    context: Context
    code_challenge: str
    code_challenge_method: str
    nonce: str | None
    auth_time: int

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Token(msgspec.Struct, frozen=True):
    """An access or a refresh token, in the words that authlib's grant asks with. `family`: all that one code led to."""

    client_id: str
    scope: str
    context: Context
    family: str

    def get_scope(self) -> str:
        return self.scope

    def check_client(self, client: Any) -> bool:
        return bool(client.get_client_id() == self.client_id)


class Shelf(Generic[Kept]):
    """Values under random names, each until its time."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[Kept, datetime]] = OrderedDict()

    def add(self, value: Kept, seconds: float, name: str | None = None) -> str:
        name = name or secrets.token_urlsafe(32)
        self._kept[name] = (value, self._clock() + timedelta(seconds=seconds))
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> Kept | None:
        value, until = self._kept.get(name, (None, None))
        return value if until is not None and self._clock() < until else None

    def take(self, name: str) -> Kept | None:
        """The value, which is then no longer there: for what may be used once."""
        value = self.get(name)
        self._kept.pop(name, None)
        return value

    def drop(self, condemned: Callable[[Kept], bool]) -> None:
        for name in [name for name, (value, _) in self._kept.items() if condemned(value)]:
            del self._kept[name]


class Memory:
    """All shelves of one server."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.launches: Shelf[Context] = Shelf(clock)
        self.codes: Shelf[Code] = Shelf(clock)
        self.spent: Shelf[str] = Shelf(clock)
        """The family of each code and refresh token that was used: whoever comes with it again may have stolen it."""
        self.access: Shelf[Token] = Shelf(clock)
        self.refresh: Shelf[Token] = Shelf(clock)
        self.seen: Shelf[bool] = Shelf(clock)
        """The jti of assertions and the nonces, each of which counts once."""

    def revoke(self, family: str) -> None:
        """No token that one code led to is good any more."""
        self.access.drop(lambda token: token.family == family)
        self.refresh.drop(lambda token: token.family == family)
