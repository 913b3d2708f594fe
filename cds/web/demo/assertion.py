"""Verifies the signed assertion by which a confidential app proves who it is (SMART's asymmetric authentication)."""

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidClientError
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from cds.web.demo.registered import Registered

if TYPE_CHECKING:
    from cds.web.demo.authorization import SmartServer

ALGORITHMS = ("ES384", "RS384")
LONGEST_LIFE = 300
LEEWAY = 30


class PrivateKeyJwt(JWTBearerClientAssertion):
    """authlib's assertion check with SMART's rules: ES384 or RS384, a kid, typ JWT, at most five minutes, used once."""

    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(self, server: "SmartServer") -> None:
        super().__init__(leeway=LEEWAY)
        self._server = server

    def get_audiences(self) -> list[str]:
        return [self._server.token_url]

    def resolve_client_public_key(self, client: Registered) -> KeySet:
        if self._server.app_keys is None:
            raise InvalidClientError(description="The keys of this client cannot be read.")
        return self._server.app_keys

    def process_assertion_claims(self, assertion: str, resolve_key: Any) -> dict[str, Any]:
        try:
            token = jwt.decode(assertion, resolve_key, algorithms=list(ALGORITHMS))
        except (JoseError, ValueError):
            raise InvalidClientError(description="The assertion's signature cannot be verified.") from None
        if token.header.get("typ") != "JWT" or not token.header.get("kid"):
            raise InvalidClientError(description="The assertion's header lacks typ JWT or a kid.")
        self.verify_claims(token.claims)
        return token.claims

    def verify_claims(self, claims: Any) -> None:
        now = self._server.now
        wanted: dict[str, Any] = {name: {"essential": True} for name in ("iss", "sub", "jti", "exp")}
        wanted["aud"] = {"essential": True, "values": self.get_audiences()}
        try:
            jwt.JWTClaimsRegistry(now=now, leeway=LEEWAY, **wanted).validate(claims)
        except JoseError as error:
            raise InvalidClientError(description=f"The assertion's claims do not hold: {error.error}.") from None
        if claims["sub"] != claims["iss"]:
            raise InvalidClientError(description="Issuer and subject of the assertion differ.")
        if claims["exp"] > now + LONGEST_LIFE + LEEWAY:
            raise InvalidClientError(description="The assertion lives longer than five minutes.")
        seen = f"jti {claims['sub']} {claims['jti']}"
        if self._server.memory.seen.get(seen):
            raise InvalidClientError(description="The assertion was used before.")
        self._server.memory.seen.add(True, LONGEST_LIFE + 2 * LEEWAY, seen)
