"""The demo EHR's authorization server: authlib's grants over this EHR's memory, for SMART App Launch 2.2."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec
from authlib.oauth2.base import invalid_error_characters
from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Error, OAuth2Payload, OAuth2Request
from joserfc.jwk import ECKey, KeySet, RSAKey
from starlette.responses import JSONResponse, Response

from cds.web.demo.assertion import PrivateKeyJwt
from cds.web.demo.conduct import Conduct
from cds.web.demo.grants import CodeGrant, IdToken, Pkce, RefreshGrant, SmartRequest
from cds.web.demo.kept import Code, Context, Memory, Token
from cds.web.demo.registered import App, Registered

REFRESH_SECONDS = 12 * 3600
Pairs = Sequence[tuple[str, str]]


class SigningKeys:
    """The keys of id_tokens, made when they are first needed and gone with the process."""

    @cached_property
    def es384(self) -> ECKey:
        return ECKey.generate_key("P-384", {"kid": "demo-es384", "use": "sig", "alg": "ES384"})

    @cached_property
    def rs256(self) -> RSAKey:
        return RSAKey.generate_key(2048, {"kid": "demo-rs256", "use": "sig", "alg": "RS256"})

    def of(self, algorithm: str) -> ECKey | RSAKey:
        return self.es384 if algorithm == "ES384" else self.rs256


class Payload(OAuth2Payload):
    """The parameters as they came; the first counts, and authlib refuses the ones that come twice."""

    def __init__(self, sent: Pairs) -> None:
        self._all: dict[str, list[str]] = {}
        for name, value in sent:
            self._all.setdefault(name, []).append(value)

    @property
    def data(self) -> dict[str, str]:
        return {name: values[0] for name, values in self._all.items()}

    @property
    def datalist(self) -> Any:
        return self._all

    @property
    def response_type(self) -> str | None:
        return _repeatable(super().response_type)

    @property
    def grant_type(self) -> str | None:
        return _repeatable(super().grant_type)


def _repeatable(text: str | None) -> str | None:
    """The text, unless OAuth forbids it in an error's description, where authlib would repeat it."""
    return None if text is None or invalid_error_characters(text) else text


class SmartRequestOverHttp(OAuth2Request):
    """A request as authlib wants it."""

    def __init__(self, method: str, url: str, sent: Pairs, headers: Mapping[str, str]) -> None:
        super().__init__(method, url, headers=headers)
        self.payload = Payload(sent)

    @property
    def form(self) -> dict[str, str]:
        return self.payload.data


class SmartServer(AuthorizationServer):
    """The server for one request: it knows under which address it was asked, and keeps nothing itself."""

    def __init__(
        self,
        root: str,
        conduct: Conduct,
        apps: Mapping[str, App],
        memory: Memory,
        keys: SigningKeys,
        clock: Callable[[], datetime],
        app_keys: KeySet | None = None,
    ) -> None:
        super().__init__()
        self.fhir_base, self.issuer, self.token_url = f"{root}/fhir", f"{root}/auth", f"{root}/auth/token"
        self.conduct, self.memory, self.app_keys = conduct, memory, app_keys
        self.now = int(clock().timestamp())
        self._apps, self._keys = apps, keys
        self.register_client_auth_method("private_key_jwt", PrivateKeyJwt(self))
        self.register_token_generator("default", self._new_token)
        self.register_grant(CodeGrant, [Pkce(required=True), SmartRequest(), IdToken(self)])
        self.register_grant(RefreshGrant)

    @property
    def signing_key(self) -> ECKey | RSAKey:
        return self._keys.of(self.conduct.signing)

    def query_client(self, client_id: str) -> Registered | None:
        app = self._apps.get(client_id)
        return None if app is None else Registered(app, self.conduct)

    def context(self, asked: OAuth2Request) -> Context | None:
        """What the code will stand for; None when a patient has to be chosen first."""
        sent = asked.payload.data
        if "launch" in sent:
            return self.memory.launches.get(sent["launch"])
        if "launch/patient" not in asked.scope.split():
            return Context()
        return Context(sent["choose"]) if sent.get("choose") else None

    def refuse(self, asked: OAuth2Request, redirect_uri: str) -> Response:
        """The error that this EHR's conduct has for everybody, told to the app."""
        error = OAuth2Error("This EHR refuses.", error=self.conduct.denied, redirect_uri=redirect_uri)
        error.state = asked.payload.state
        answer: Response = self.handle_error_response(asked, error)
        return answer

    def _new_token(self, *, scope: str, include_refresh_token: bool, **_: Any) -> dict[str, Any]:
        token: dict[str, Any] = {
            "access_token": secrets.token_urlsafe(32),
            "token_type": "Bearer",
            "expires_in": self.conduct.token_seconds,
            "scope": scope,
        }
        if include_refresh_token and {"online_access", "offline_access"} & set(scope.split()):
            token["refresh_token"] = secrets.token_urlsafe(32)
        return token

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """Keep the tokens, and tell the app what was open at the launch."""
        came_from: Code | Token = request.authorization_code or request.refresh_token
        family = came_from.value if isinstance(came_from, Code) else came_from.family
        kept = Token(request.client.get_client_id(), token["scope"], came_from.context, family)
        self.memory.access.add(kept, self.conduct.token_seconds, token["access_token"])
        if "refresh_token" in token:
            self.memory.refresh.add(kept, REFRESH_SECONDS, token["refresh_token"])
        context = msgspec.to_builtins(kept.context)
        named = {"patient": "patient", "encounter": "encounter", "app_context": "appContext"}
        token |= {named[name]: value for name, value in context.items() if value is not None}
        token["need_patient_banner"] = self.conduct.need_patient_banner

    def create_oauth2_request(self, request: SmartRequestOverHttp) -> SmartRequestOverHttp:
        return request

    def handle_response(self, status: int, body: Any, headers: Sequence[tuple[str, str]]) -> Response:
        named = dict(headers) | {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        if isinstance(body, dict):
            body = {name: value for name, value in body.items() if name not in self.conduct.omitted}
            return JSONResponse(body, status, named)
        return Response(body, status, named)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""
