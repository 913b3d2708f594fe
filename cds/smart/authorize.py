"""Makes the request with which a browser asks an EHR's authorization server for a code."""

import secrets
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from msgspec import Struct, structs

from cds.smart.discovery import Configuration

URL_CHARACTERS = 2_000
"""A longer authorization request is posted, where the server takes that."""


def secret() -> str:
    """256 random bits in 43 characters."""
    return secrets.token_urlsafe(32)


class Pending(Struct, frozen=True):
    """A launch between here and the EHR's sign-in. Nothing of it is ever printed."""

    tenant: str
    base: str
    client_id: str
    redirect_uri: str
    scope: str
    launch: str | None
    """As the EHR sent it; None when the patient is chosen at sign-in (standalone)."""
    configuration: Configuration
    began: datetime
    state: str
    verifier: str
    nonce: str
    cookie: str
    """What the browser's cookie of this launch holds."""
    page: str
    """What a page without cookies brings back from its sessionStorage."""
    code: str | None = None
    """The code, once it came back in a request without the cookie."""
    by: str = ""
    """Whose launch it is among those that wait: the address that began it."""

    def __repr__(self) -> str:
        return f"Pending({self.tenant})"


class Request(Struct, frozen=True):
    """An authorization request: `url` to go to, or `fields` to post to `action` when the URL would be too long."""

    url: str
    action: str
    fields: tuple[tuple[str, str], ...]
    post: bool

    def __repr__(self) -> str:
        return "Request(…)"


def pending(
    *, tenant: str, base: str, client_id: str, redirect_uri: str, scope: str,
    launch: str | None, configuration: Configuration, began: datetime, by: str = "",
) -> Pending:  # fmt: skip
    """A launch with fresh secrets."""
    made = [secret() for _ in range(5)]
    one = Pending(tenant, base, client_id, redirect_uri, scope, launch, configuration, began, *made)
    return structs.replace(one, by=by)


def request(one: Pending) -> Request:
    """The authorization request of a launch: PKCE S256 always, also where the server does not say that it knows it."""
    url = prepare_grant_uri(
        one.configuration.authorization_endpoint,
        client_id=one.client_id,
        response_type="code",
        redirect_uri=one.redirect_uri,
        scope=one.scope,
        state=one.state,
        aud=one.base,
        launch=one.launch,
        nonce=one.nonce,
        code_challenge=create_s256_code_challenge(one.verifier),
        code_challenge_method="S256",
    )
    parts = urlsplit(url)
    fields = tuple(parse_qsl(parts.query, keep_blank_values=True))
    post = one.configuration.takes_post and len(url) > URL_CHARACTERS
    return Request(url, urlunsplit(parts._replace(query="")), fields, post)
