"""A server with two registered clients, a hospital and a clinic, and the tokens that each of them signs."""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from joserfc.jwk import ECKey

from tests.cdshooks.charts import Json
from tests.cdshooks.desk import PATH, Desk, site
from tests.trust.ehr import BASE, ISSUER, JWKS_URL, KeyServer, claims, header, key, public, signed, table, trust

HOSPITAL, CLINIC = "general-hospital", "clinic"
CLINIC_ISSUER = "https://clinic.example.net"
CLINIC_JWKS = "https://clinic.example.net/jwks"
HOSPITAL_FHIR, CLINIC_FHIR = "https://ehr.example.org/fhir", "https://clinic.example.net/r4"


def hospital(**changed: Any) -> Json:
    return table(**({"jwks_url": JWKS_URL, "fhir_base": HOSPITAL_FHIR} | changed))


def clinic(**changed: Any) -> Json:
    own = {"tenant": CLINIC, "issuer": CLINIC_ISSUER, "jwks_url": CLINIC_JWKS, "fhir_base": CLINIC_FHIR}
    return table(**(own | changed))


class Signer:
    """One client's way to sign a token for an endpoint, fresh each time."""

    def __init__(self, issuer: str, by: ECKey | Any, now: Callable[[], datetime]) -> None:
        self.issuer, self.by, self.now = issuer, by, now

    def headers(self, path: str = PATH, **changed: Any) -> dict[str, str]:
        at = int(self.now().timestamp())
        own = {"iss": self.issuer, "aud": BASE + path, "iat": at, "exp": at + 300, "jti": str(uuid.uuid4())}
        sent = signed(header(kid=self.by.kid), claims(**(own | changed)), self.by)
        return {"authorization": f"Bearer {sent}"}


class Clinic:
    """The server, its two clients, and what each was asked for its keys."""

    def __init__(self, open_desk: Callable[..., Desk], *tables: Json, **changes: Any) -> None:
        tables = tables or (hospital(), clinic())
        self.keys = KeyServer(*public(key(), key("clinic-1")))
        settings = {"trust": "clients", "public_url": BASE, "clients": tables, **changes}
        self.desk = open_desk(site(**settings), trust=trust(self.keys, *tables))
        self.hospital = Signer(ISSUER, key(), lambda: self.desk.now)
        self.clinic = Signer(CLINIC_ISSUER, key("clinic-1"), lambda: self.desk.now)

    def post(self, body: Json, by: Signer, path: str = PATH) -> Any:
        return self.desk.post(body, path, **by.headers(path))
