"""An EHR's authorization server behind respx, strict about what SMART asks of a client, and able to fail as asked."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from hashlib import sha256
from itertools import count
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
import respx
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

BASE = "https://ehr.example/fhir/r4"
ISSUER = "https://ehr.example"
AUTHORIZE = "https://login.ehr.example/oauth/authorize"
TOKEN = "https://login.ehr.example/oauth/token"
CLIENT = "bedside"
PATIENT = "patient-7"

Json = dict[str, Any]
CAPABILITIES = [
    "launch-ehr", "launch-standalone", "client-public", "client-confidential-asymmetric", "sso-openid-connect",
    "context-ehr-patient", "permission-patient", "permission-v2", "permission-online", "authorize-post",
]  # fmt: skip


class AuthorizationServer:
    """Codes by what they were issued for. `change` alters a token response, `fault` answers in its place."""

    def __init__(self, router: respx.MockRouter, clock: Callable[[], datetime]) -> None:
        self.clock = clock
        self.key = rsa("id-1")
        self.configuration: Json = {
            "issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks", "authorization_endpoint": AUTHORIZE,
            "token_endpoint": TOKEN, "capabilities": list(CAPABILITIES), "code_challenge_methods_supported": ["S256"],
        }  # fmt: skip
        self.client_keys: bytes | None = None
        self.change: Callable[[Json], Json] = lambda said: said
        self.claims: Callable[[Json], Json] = lambda claims: claims
        self.header: Json = {"alg": "RS256", "kid": "id-1"}
        self.signer: Any = self.key
        self.fault: Callable[[httpx.Request], httpx.Response] | None = None
        self.patient: str | None = PATIENT
        self.granted: str | None = None
        self.refreshed: set[str] = set()
        self.asked: list[httpx.Request] = []
        self.posts: list[dict[str, str]] = []
        self.assertions: list[Json] = []
        self._numbers = count()
        self._codes: dict[str, dict[str, str]] = {}
        self._jtis: set[str] = set()
        self._given: dict[str, str] = {}
        self.well_known = router.get(f"{BASE}/.well-known/smart-configuration").mock(side_effect=self._configured)
        self.openid = router.get(f"{ISSUER}/.well-known/openid-configuration").mock(side_effect=self._openid)
        self.jwks = router.get(f"{ISSUER}/jwks").mock(side_effect=self._jwks)
        self.token = router.post(TOKEN).mock(side_effect=self._token)
        self.router = router

    def sign_in(self, url: str) -> str:
        """The user signs in at this authorization request; the code that comes back."""
        asked = dict(parse_qsl(urlsplit(url).query))
        return self.grant(asked)

    def grant(self, asked: dict[str, str]) -> str:
        code = f"code-{next(self._numbers)}-canary"
        self._codes[code] = asked
        return code

    def _configured(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return httpx.Response(200, json=self.configuration)

    def _openid(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"})

    def _jwks(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return httpx.Response(200, json={"keys": [self.key.as_dict(private=False)]})

    def _token(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        assert request.headers["content-type"].startswith("application/x-www-form-urlencoded")
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        self.posts.append(form)
        if self.fault is not None:
            return self.fault(request)
        if (refusal := self._client_fault(form)) is not None:
            return refused(401, refusal)
        return self._refresh(form) if form["grant_type"] == "refresh_token" else self._exchange(form)

    def _client_fault(self, form: dict[str, str]) -> str | None:
        if self.client_keys is None:
            return None if form.get("client_id") == CLIENT and "client_assertion" not in form else "invalid_client"
        if "client_id" in form or form["client_assertion_type"].rpartition(":")[2] != "jwt-bearer":
            return "invalid_client"
        keys = KeySet.import_key_set(json.loads(self.client_keys))
        token = jwt.decode(form["client_assertion"], keys, algorithms=["ES384", "RS384"])
        claims, now = token.claims, self.clock().timestamp()
        good = (claims["iss"], claims["sub"], claims["aud"], token.header["typ"]) == (CLIENT, CLIENT, TOKEN, "JWT")
        fresh = now < claims["exp"] <= now + 300 and claims["jti"] not in self._jtis
        self._jtis.add(claims["jti"])
        self.assertions.append({**token.header, **claims})
        return None if good and fresh else "invalid_client"

    def _exchange(self, form: dict[str, str]) -> httpx.Response:
        asked = self._codes.pop(form["code"], None)
        if asked is None or form["redirect_uri"] != asked["redirect_uri"]:
            return refused(400, "invalid_grant")
        challenge = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if asked["code_challenge_method"] != "S256" or challenge != asked["code_challenge"]:
            return refused(400, "invalid_grant")
        return httpx.Response(200, json=self.change(self._tokens(asked)))

    def _tokens(self, asked: dict[str, str]) -> Json:
        now = int(self.clock().timestamp())
        claims = {
            "iss": ISSUER, "aud": CLIENT, "sub": "u-1", "iat": now, "exp": now + 300, "nonce": asked["nonce"],
            "fhirUser": f"{BASE}/Practitioner/dr-1",
        }  # fmt: skip
        said: Json = {
            "access_token": "access-canary-1", "token_type": "bearer", "expires_in": 300,
            "scope": self.granted or asked["scope"], "refresh_token": self._new_refresh(asked["scope"]),
            "id_token": jwt.encode(self.header, self.claims(claims), self.signer, algorithms=[self.header["alg"]]),
        }  # fmt: skip
        return said | ({"patient": self.patient} if self.patient else {})

    def _new_refresh(self, scope: str) -> str:
        token = f"refresh-canary-{len(self._given)}"
        self._given[token] = scope
        return token

    def _refresh(self, form: dict[str, str]) -> httpx.Response:
        token = form["refresh_token"]
        if token not in self._given or token in self.refreshed:
            return refused(400, "invalid_grant")
        self.refreshed.add(token)
        said = {
            "access_token": f"access-canary-r{len(self.refreshed)}", "token_type": "Bearer", "expires_in": 300,
            "scope": self._given[token], "refresh_token": self._new_refresh(self._given[token]),
        }  # fmt: skip
        return httpx.Response(200, json=self.change(said))


def refused(status: int, error: str, **more: str) -> httpx.Response:
    return httpx.Response(status, json={"error": error, **more})


@cache
def rsa(kid: str) -> RSAKey:
    """A key pair, made once."""
    return RSAKey.generate_key(2048, {"kid": kid})


def ec(kid: str = "ec-1") -> ECKey:
    return ECKey.generate_key("P-384", {"kid": kid})


@pytest.fixture
def router() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False) as found:
        yield found
