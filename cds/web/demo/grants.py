"""The two grants of SMART App Launch: an authorization code with PKCE and an id_token, and a refresh that rotates."""

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import (
    AuthorizationCodeGrant,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Request,
    RefreshTokenGrant,
)
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode
from joserfc.jwk import ECKey, RSAKey

from cds.web.demo.conduct import CLINICIAN
from cds.web.demo.kept import Code, Context, Token
from cds.web.demo.registered import Registered

if TYPE_CHECKING:
    from cds.web.demo.authorization import SmartServer

SPENT_SECONDS = 24 * 3600
AUTH_METHODS = ["none", "private_key_jwt"]


class CodeGrant(AuthorizationCodeGrant):
    """Its user is the Context of a launch: the clinician is always the same."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    server: "SmartServer"

    @staticmethod
    def validate_authorization_redirect_uri(request: OAuth2Request, client: Registered) -> str:
        sent: str | None = request.payload.redirect_uri
        if not sent or not client.check_redirect_uri(sent):  # said without repeating it, as authlib would
            raise InvalidRequestError("The redirect_uri is not one that this app has registered.")
        return sent

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        sent = request.payload.data
        client_id = request.client.get_client_id()
        memory = self.server.memory
        kept = Code(
            code, client_id, request.payload.redirect_uri, request.scope, request.user,
            sent["code_challenge"], sent["code_challenge_method"], sent.get("nonce"), self.server.now,
        )  # fmt: skip
        memory.codes.add(kept, self.server.conduct.code_seconds, code)
        memory.launches.take(sent.get("launch", ""))
        if kept.nonce:
            memory.seen.add(True, SPENT_SECONDS, f"nonce {client_id} {kept.nonce}")

    def query_authorization_code(self, code: str, client: Registered) -> Code | None:
        memory = self.server.memory
        if (family := memory.spent.get(code)) is not None:
            memory.revoke(family)  # RFC 6749, 4.1.2: a code that comes twice may have been stolen
        kept = memory.codes.get(code)
        return kept if kept is not None and kept.client_id == client.get_client_id() else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        self.server.memory.codes.take(authorization_code.value)
        self.server.memory.spent.add(authorization_code.value, SPENT_SECONDS, authorization_code.value)

    def authenticate_user(self, authorization_code: Code) -> Context:
        return authorization_code.context


class RefreshGrant(RefreshTokenGrant):
    """Each refresh token counts once; whoever comes with a used one ends the whole session (RFC 9700, 4.14.2)."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: "SmartServer"

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        memory = self.server.memory
        if (family := memory.spent.get(refresh_token)) is not None:
            memory.revoke(family)
        return memory.refresh.get(refresh_token) if self.server.conduct.refresh else None

    def authenticate_user(self, refresh_token: Token) -> Context:
        return refresh_token.context

    def revoke_old_credential(self, refresh_token: Token) -> None:
        used = self.request.form["refresh_token"]
        self.server.memory.refresh.take(used)
        self.server.memory.spent.add(refresh_token.family, SPENT_SECONDS, used)


class Pkce(CodeChallenge):
    """PKCE for every client, and S256 only (SMART App Launch 2.2)."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012 - as authlib declares it

    def validate_code_challenge(self, grant: CodeGrant, redirect_uri: str) -> None:
        sent = grant.request.payload.data
        if not sent.get("code_challenge") or not sent.get("code_challenge_method"):
            raise InvalidRequestError("PKCE is required: code_challenge with code_challenge_method S256")
        super().validate_code_challenge(grant, redirect_uri)


class SmartRequest:
    """What SMART adds to an authorization request: whose data it is for, and which launch it belongs to."""

    def __call__(self, grant: CodeGrant) -> None:
        grant.register_hook("after_validate_authorization_request_payload", self.validate)

    def validate(self, grant: CodeGrant, _redirect_uri: str) -> None:
        request, server = grant.request, grant.server
        sent, scopes = request.payload.data, (request.payload.scope or "").split()
        if sent.get("aud", "").rstrip("/") != server.fhir_base:
            raise InvalidRequestError("aud is not the FHIR server of this authorization server")
        if "launch" in sent and "launch" not in scopes:
            raise InvalidScopeError("a launch from the EHR asks for the scope launch")
        if "launch" in scopes and "launch" not in sent:
            raise InvalidRequestError("the scope launch comes with the launch parameter of an EHR launch")
        if "launch" in sent and server.memory.launches.get(sent["launch"]) is None:
            raise InvalidRequestError("the launch is unknown, was used, or has expired")


class IdToken(OpenIDCode):
    """Says who the clinician is: always the same one, for nobody signs in to a demo."""

    def __init__(self, server: "SmartServer") -> None:
        super().__init__(require_nonce=False)
        self._server = server

    def exists_nonce(self, nonce: str, request: OAuth2Request) -> bool:
        return bool(self._server.memory.seen.get(f"nonce {request.payload.client_id} {nonce}"))

    def resolve_client_private_key(self, client: Registered) -> ECKey | RSAKey:
        return self._server.signing_key

    def get_client_algorithm(self, client: Registered) -> str:
        return self._server.conduct.signing

    def get_encode_header(self, client: Registered) -> dict[str, Any]:
        header = {"alg": self.get_client_algorithm(client), "typ": "JWT"}
        return header | ({"kid": self._server.signing_key.kid} if self._server.conduct.id_token_kid else {})

    def get_compatible_claims(self, request: OAuth2Request) -> dict[str, Any]:
        now = self._server.now
        return {"iss": self._server.issuer, "aud": request.client.get_client_id(), "iat": now, "exp": now + 300}

    def generate_user_info(self, user: Context, scope: str) -> dict[str, Any]:
        who = self._server.conduct.fhir_user or f"{self._server.fhir_base}/{CLINICIAN}"
        return {"sub": CLINICIAN.partition("/")[2]} | ({"fhirUser": who} if "fhirUser" in scope.split() else {})
