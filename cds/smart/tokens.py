"""Exchanges a code or a refresh token for an access token, and believes no more of the answer than was asked."""

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from msgspec import Struct

from cds.smart.refused import Reason, SmartRefused
from cds.trust.clients import SmartRegistration
from cds.trust.own_keys import OwnKeys

ASSERTION_SECONDS = 300
LONGEST = 64 * 1024
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_SECONDS = re.compile(r"[0-9]{1,9}")

Post = Callable[[str, Mapping[str, str]], Awaitable[tuple[int, bytes, Mapping[str, str]]]]
"""Posts a form to a URL. Raises SmartRefused("unreachable")."""

_ERRORS: dict[str, Reason] = {
    "invalid_grant": "code-refused",
    "invalid_client": "client-refused",
    "unauthorized_client": "client-refused",
    "invalid_scope": "scope-refused",
    "access_denied": "access-denied",
    "temporarily_unavailable": "unreachable",
    "server_error": "unreachable",
}


class Tokens(Struct, frozen=True):
    """A token response that was checked. `expires_in` seconds, None when the server did not say; never printed."""

    access_token: str
    scope: str
    expires_in: int | None
    refresh_token: str | None
    patient: str | None
    encounter: str | None
    id_token: str | None
    need_patient_banner: bool = True
    app_context: str | None = None
    """What the card's link said of the page to open, as the EHR passed it on."""

    def __repr__(self) -> str:
        return "Tokens(…)"


def reason_of(error: object) -> Reason:
    """What an OAuth error code means to the person in front of the screen."""
    return _ERRORS.get(error, "authorization-failed") if isinstance(error, str) else "authorization-failed"


class TokenEndpoint(Struct, frozen=True):
    """One client's way to its EHR's token endpoint."""

    url: str
    registration: SmartRegistration
    keys: OwnKeys | None
    post: Post
    clock: Callable[[], datetime]

    async def exchange(self, code: str, verifier: str, redirect_uri: str) -> Tokens:
        """Raises SmartRefused with what the server refused, "unreachable", or "token-unusable"."""
        return await self._ask("authorization_code", code=code, redirect_uri=redirect_uri, code_verifier=verifier)

    async def refresh(self, refresh_token: str, scope: str) -> Tokens:
        """As `exchange`; a response without a scope keeps the one that was granted."""
        return await self._ask("refresh_token", granted=scope, refresh_token=refresh_token)

    async def _ask(self, grant: str, granted: str | None = None, **members: str) -> Tokens:
        _, _, body = self._client().prepare("POST", self.url, {}, prepare_token_request(grant, **members))
        status, answer, _ = await self.post(self.url, dict(parse_qsl(body)))
        said = _object(answer)
        if status != 200:
            raise SmartRefused("unreachable" if status >= 500 or status == 429 else reason_of(said.get("error")))
        return read_tokens(said, granted)

    def _client(self) -> ClientAuth:
        """A fresh assertion each time: its `jti` must not be seen twice."""
        client_id = self.registration.client_id
        if self.registration.auth == "public":
            return ClientAuth(client_id, None, "none")
        if self.keys is None:
            raise SmartRefused("client-refused")
        signing = self.keys.signing(self.registration.algorithm)
        now = int(self.clock().timestamp())
        claims = {"iat": now, "exp": now + ASSERTION_SECONDS, "jti": secrets.token_urlsafe(32)}
        method = PrivateKeyJWT(self.url, claims, {"kid": signing.kid, "typ": "JWT"}, signing.algorithm)
        return ClientAuth(client_id, signing.key, method)


def read_tokens(said: Mapping[str, Any], granted: str | None = None) -> Tokens:
    """A token response. Raises SmartRefused("token-unusable") for one that breaks the rules (S14)."""
    scope = said.get("scope", granted)
    kind = said.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer" or not isinstance(scope, str) or scope.isspace():
        raise SmartRefused("token-unusable")
    access = _text(said, "access_token")
    if access is None or not access.isascii() or not access.isprintable() or " " in access:
        raise SmartRefused("token-unusable")
    banner = said.get("need_patient_banner")
    return Tokens(
        access, scope, _expires_in(said.get("expires_in")), _text(said, "refresh_token"),
        _id(said, "patient"), _id(said, "encounter"), _text(said, "id_token"),
        need_patient_banner=banner is not False, app_context=_context(said.get("appContext")),
    )  # fmt: skip


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST:
        raise SmartRefused("token-unusable")
    return value


def _id(said: Mapping[str, Any], name: str) -> str | None:
    """A FHIR id: it becomes part of URLs, so that nothing else is let through."""
    value = _text(said, name) if said.get(name) != "" else None
    if value is not None and not _ID.fullmatch(value):
        raise SmartRefused("token-unusable")
    return value


def _context(value: object) -> str | None:
    """A service's id, or nothing: an EHR may put there what it likes."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


def _expires_in(value: object) -> int | None:
    """Some servers write the number as text."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise SmartRefused("token-unusable")
    text = value if isinstance(value, str) else f"{value:.0f}"
    if not _SECONDS.fullmatch(text) or int(text) == 0:
        raise SmartRefused("token-unusable")
    return int(text)
