"""Gets access tokens with SMART Backend Services: a signed assertion for a token, with no user in it."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
from joserfc import jwt
from msgspec import Struct

from cds.bulk.failed import AccessRefused
from cds.errors import DataUnavailable
from cds.fhir.http import Transport, fetch_bytes
from cds.smart.hosts import endpoint
from cds.smart.refused import SmartRefused
from cds.smart.scopes import lacking
from cds.smart.tokens import read_tokens
from cds.trust.clients import BackendRegistration
from cds.trust.own_keys import OwnKeys

ASSERTION_SECONDS = 240
"""The limit is 300 by the server's clock, which ours may run ahead of."""
USUAL_SECONDS = 300
"""A token of which the server does not say how long it lives."""
EARLY = 0.2
"""A token is given up when a fifth of its life is left, or half a minute."""
SECONDS = 30.0
DOCUMENT_BYTES = 256 * 1024

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_OAUTH_ERRORS = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "invalid_scope", "access_denied",
     "unsupported_grant_type"}
)  # fmt: skip


class Access(Protocol):
    """Where access tokens come from."""

    async def token(self, *, fresh: bool = False, refused: str | None = None) -> str | None:
        """A token, None where none is needed.

        `refused` is one that the server did not take: another one is got unless that has happened since. `fresh` gets
        another one in any case. Raises AccessRefused, and DataUnavailable when nobody answers, which may pass.
        """
        ...


class OpenAccess:
    """For a server that asks for no token."""

    async def token(self, *, fresh: bool = False, refused: str | None = None) -> str | None:
        return None


class BackendAccess:
    """Tokens for one FHIR base, renewed before they end. Who asks meanwhile waits for the same one.

    `rights`: resource types with the SMART 2 letters that are needed on each, as {"Patient": "rs"}; they are asked for
    in SMART 1 words where the server knows no others. `extra`: scopes as they stand.
    """

    def __init__(
        self, base: str, rights: Mapping[str, str], registration: BackendRegistration, keys: OwnKeys, *,
        clock: Callable[[], datetime], transport: Transport | None = None, extra: Collection[str] = (),
    ) -> None:  # fmt: skip
        self._base, self._rights, self._registration, self._keys = base, dict(rights), registration, keys
        self._clock, self._transport, self._extra = clock, transport, tuple(extra)
        self._held: tuple[str, datetime] | None = None
        self._server: _Server | None = None
        self._flight: asyncio.Task[str] | None = None

    async def token(self, *, fresh: bool = False, refused: str | None = None) -> str | None:
        """See Access."""
        held = self._held
        if held is not None and not fresh and held[0] != refused and self._clock() < held[1]:
            return held[0]
        if self._flight is None:
            self._flight = asyncio.create_task(self._renew())
            self._flight.add_done_callback(self._landed)
        return await asyncio.shield(self._flight)

    def _landed(self, flight: "asyncio.Task[str]") -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # whoever waited may be gone; asyncio would report it as lost

    async def _renew(self) -> str:
        if self._server is None:
            self._server = await self._discover()
        began = self._clock()
        said = await self._ask(self._server)
        try:
            tokens = read_tokens({"scope": self._server.scope, **said})
        except SmartRefused:
            raise AccessRefused("the token endpoint's answer is no token response") from None
        self._refuse_less(tokens.scope)
        life = tokens.expires_in or USUAL_SECONDS
        self._held = tokens.access_token, began + timedelta(seconds=life - min(30.0, life * EARLY))
        return tokens.access_token

    async def _ask(self, server: "_Server") -> dict[str, Any]:
        form = {
            "grant_type": "client_credentials", "scope": server.scope, "client_assertion_type": JWT_BEARER,
            "client_assertion": self._assertion(server.token_url),
        }  # fmt: skip
        status, body, _ = await fetch_bytes(
            server.token_url, limit=DOCUMENT_BYTES, seconds=SECONDS, transport=self._transport, form=form
        )
        if status == 429 or status >= 500:
            raise DataUnavailable(f"the token endpoint answered {status}")
        said = _object(body)
        if status != 200:
            raise AccessRefused(_refusal(status, said.get("error")))
        return said

    def _assertion(self, token_url: str) -> str:
        """Its `jti` is new each time: a server takes none twice."""
        signing, now = self._keys.signing(self._registration.algorithm), int(self._clock().timestamp())
        who = self._registration.client_id
        claims = {"iss": who, "sub": who, "aud": token_url, "jti": secrets.token_urlsafe(32), "iat": now}
        header = {"alg": signing.algorithm, "kid": signing.kid, "typ": "JWT"}
        return jwt.encode(header, claims | {"exp": now + ASSERTION_SECONDS}, signing.key, [signing.algorithm])

    def _refuse_less(self, granted: str) -> None:
        """With fewer rights an export is silently smaller, and what it lacks would look absent."""
        less = lacking(granted, [kind for kind, letters in self._rights.items() if set(letters) & set("rs")])
        if less:
            raise AccessRefused(f"the server does not let us read {', '.join(less)}: its registration of us lacks them")

    async def _discover(self) -> "_Server":
        registered = self._registration.token_url
        url = f"{self._base}/.well-known/smart-configuration"
        status, body, _ = await fetch_bytes(url, limit=DOCUMENT_BYTES, seconds=SECONDS, transport=self._transport)
        if status == 429 or status >= 500:
            raise DataUnavailable(f"the server's smart-configuration answered {status}")
        said = _object(body) if status == 200 else {}
        token_url = registered or self._endpoint(said.get("token_endpoint"))
        known = said.get("capabilities")
        return _Server(token_url, self._scope(known if isinstance(known, list) else ()))

    def _endpoint(self, url: object) -> str:
        if not isinstance(url, str):
            raise AccessRefused(
                f"{self._base}/.well-known/smart-configuration names no token endpoint: give it as token_url"
            )
        try:
            return endpoint(self._base, url)
        except SmartRefused as fault:
            where = f"on {fault.host}, outside the FHIR server's site" if fault.host else "no https URL"
            raise AccessRefused(f"the token endpoint is {where}: if that is right, give it as token_url") from None

    def _scope(self, capabilities: Collection[object]) -> str:
        write = _scope_v2 if "permission-v2" in capabilities else _scope_v1
        return " ".join([*(scope for kind in sorted(self._rights) for scope in write(kind, self._rights[kind])),
                         *self._extra])  # fmt: skip


class _Server(Struct, frozen=True):
    token_url: str
    scope: str


def _scope_v2(kind: str, letters: str) -> tuple[str, ...]:
    return (f"system/{kind}.{letters}",)


def _scope_v1(kind: str, letters: str) -> tuple[str, ...]:
    words = {"read": set("rs"), "write": set("cud")}
    return tuple(f"system/{kind}.{word}" for word, meant in words.items() if meant & set(letters))


def _refusal(status: int, error: object) -> str:
    """In our words; the server's own code only where it is one of OAuth's."""
    code = error if isinstance(error, str) and error in _OAUTH_ERRORS else ""
    fixes = {
        "invalid_client": "see that it knows our client_id and reads our public keys (`bedside keys show`)",
        "invalid_scope": "see that its registration of us allows what is asked for: the types of an export, or, to "
        "write back, RiskAssessment, Provenance and Patient",
    }
    fix = fixes.get(code, "see how it has registered us")
    return f"the token endpoint answered {status}{f' {code}' if code else ''}: {fix}"


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
