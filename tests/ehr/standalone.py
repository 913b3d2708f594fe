"""The demo's EHR on its own port, with a clock that a test moves, and two apps that are plain httpx."""

import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey

from cds.web.demo.ehr import Ehr
from cds.web.demo.registered import App

PATIENT = "refer-64m"
ENCOUNTER = "refer-64m-visit-20240507"
CALLBACK = "https://app.example.org/callback"
SCOPE = "launch openid fhirUser online_access patient/Patient.r patient/Observation.rs"
KEY = ECKey.generate_key("P-384", {"kid": "app-1", "use": "sig", "alg": "ES384"})
APPS = (
    App(client_id="public-app", redirect_uris=(CALLBACK,)),
    App(client_id="signing-app", redirect_uris=(CALLBACK,), jwks={"keys": [KEY.as_dict(private=False)]}),
)
Json = dict[str, Any]
Form = dict[str, str | None]


class Clock:
    """Real time, or one moment that stays; moved forward when a test says so."""

    def __init__(self, at: datetime | None = None) -> None:
        self.at = at
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return (self.at or datetime.now(UTC)) + self.ahead

    def move(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@dataclass
class Standalone:
    """A running EHR. `ehr.conduct` may be replaced; `clock.move` lets time pass."""

    origin: str
    ehr: Ehr
    clock: Clock
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=10))

    @property
    def fhir_base(self) -> str:
        return f"{self.origin}/demo/fhir"

    @property
    def token_url(self) -> str:
        return f"{self.origin}/demo/auth/token"

    def launch(self, **context: str) -> str:
        answer = self.http.post(f"{self.origin}/demo/launch", json={"patient": PATIENT} | context)
        assert answer.status_code == 200, answer.text
        launched: str = answer.json()["launch"]
        return launched

    def get(self, path: str, token: str) -> httpx.Response:
        return self.http.get(f"{self.fhir_base}/{path}", headers={"Authorization": f"Bearer {token}"})


class Visit:
    """One launch of an app: authorize and token, with every parameter open to a test's change (None leaves one out)."""

    def __init__(self, at: Standalone, client_id: str = "public-app") -> None:
        self.at, self.client_id = at, client_id
        self.verifier = secrets.token_urlsafe(48)
        self.state = secrets.token_urlsafe(16)

    def question(self, **changed: str | None) -> dict[str, str]:
        challenge = urlsafe_b64encode(sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        usual: Form = {
            "response_type": "code", "client_id": self.client_id, "redirect_uri": CALLBACK, "scope": SCOPE,
            "state": self.state, "aud": self.at.fhir_base, "nonce": secrets.token_urlsafe(8),
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        if "launch" not in changed and "launch" in str(changed.get("scope", SCOPE)).split():
            usual["launch"] = self.at.launch()
        return {name: value for name, value in {**usual, **changed}.items() if value is not None}

    def authorize(self, **changed: str | None) -> httpx.Response:
        return self.at.http.get(f"{self.at.origin}/demo/auth/authorize", params=self.question(**changed))

    def code(self, **changed: str | None) -> str:
        return told(self.authorize(**changed))["code"]

    def token(self, code: str, /, **changed: str | None) -> httpx.Response:
        usual: Form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        return self._post(usual | {"code_verifier": self.verifier} | changed)

    def refresh(self, refresh_token: str, /, **changed: str | None) -> httpx.Response:
        usual: Form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self._post(usual | changed)

    def assertion(self, **changed: Any) -> str:
        now = int(self.at.clock().timestamp())
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": self.at.token_url, "exp": now + 240}
        header = {"alg": "ES384", "kid": "app-1", "typ": "JWT"}
        return jwt.encode(header, claims | {"jti": secrets.token_urlsafe(16)} | changed, KEY, ["ES384"])

    def _post(self, form: Form) -> httpx.Response:
        if self.client_id == "public-app":
            form = {"client_id": self.client_id, **form}
        else:
            kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            form = {"client_assertion_type": kind, "client_assertion": self.assertion(), **form}
        sent = {name: value for name, value in form.items() if value is not None}
        return self.at.http.post(self.at.token_url, data=sent)


def told(answer: httpx.Response) -> dict[str, str]:
    """What a redirect to the app tells it."""
    assert answer.status_code == 302, answer.text
    address = urlsplit(answer.headers["location"])
    assert f"{address.scheme}://{address.netloc}{address.path}" == CALLBACK
    return dict(parse_qsl(address.query))


def granted(visit: Visit, **changed: str | None) -> Json:
    """The token response of a whole launch."""
    answer = visit.token(visit.code(**changed))
    assert answer.status_code == 200, answer.text
    body: Json = answer.json()
    return body
