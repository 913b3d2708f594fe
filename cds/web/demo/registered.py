"""The apps that the demo EHR knows, in the words that authlib asks with."""

from typing import Any

import msgspec

from cds.web.demo.conduct import Conduct
from cds.web.demo.scopes import granted


class App(msgspec.Struct, frozen=True, kw_only=True):
    """A registered SMART app. With neither `jwks_url` nor `jwks` it is public: it proves itself by PKCE alone."""

    client_id: str
    redirect_uris: tuple[str, ...]
    """Compared character by character."""
    jwks_url: str | None = None
    jwks: dict[str, Any] | None = None

    @property
    def is_public(self) -> bool:
        return self.jwks_url is None and self.jwks is None


def bedside(public_url: str) -> App:
    """Bedside's own SMART app, at the address under which it is reached; it proves itself by its published keys."""
    callback, keys = f"{public_url}/smart/callback", f"{public_url}/.well-known/jwks.json"
    return App(client_id="bedside-demo", redirect_uris=(callback,), jwks_url=keys)


class Registered:
    """One app before this server, which decides by its conduct what it may be granted."""

    def __init__(self, app: App, conduct: Conduct) -> None:
        self.app = app
        self._conduct = conduct

    def get_client_id(self) -> str:
        return self.app.client_id

    def get_default_redirect_uri(self) -> None:
        return None  # SMART asks for the redirect_uri in every request

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """None, which is invalid_scope, when nothing of what was asked for can be granted."""
        return granted(scope or "", self._conduct.withheld, v2=self._conduct.permission_v2) or None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.app.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return False  # no app has one

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == ("none" if self.app.is_public else "private_key_jwt")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")
