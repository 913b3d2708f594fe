"""How the demo EHR conducts itself, for demonstrations and for tests that need an EHR with another temper."""

from typing import Literal

import msgspec

PERMISSION_V2 = "permission-v2"
CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "client-public",
    "client-confidential-asymmetric",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-banner",
    "permission-patient",
    "permission-online",
    "permission-offline",
    "permission-v1",
    PERMISSION_V2,
    "sso-openid-connect",
    "authorize-post",
)
CLINICIAN = "Practitioner/demo-clinician"

Place = Literal["discovery", "keys", "authorize", "token", "fhir"]


class Conduct(msgspec.Struct, frozen=True, kw_only=True):
    """What may differ from one EHR to the next. Times are seconds."""

    token_seconds: int = 3600
    code_seconds: int = 60
    launch_seconds: int = 300
    capabilities: tuple[str, ...] = CAPABILITIES
    """Without permission-v2 only v1 scopes (patient/Observation.read) are understood."""
    withheld: frozenset[str] = frozenset()
    """Scopes that are asked for and not granted, word for word."""
    denied: str | None = None
    """The error with which every authorization is refused: access_denied, invalid_scope, temporarily_unavailable …"""
    refresh: bool = True
    """False: every refresh is refused with invalid_grant."""
    relative_endpoints: bool = False
    """The endpoints in smart-configuration are relative to the FHIR base."""
    signing: Literal["ES384", "RS256"] = "ES384"
    id_token_kid: bool = True
    need_patient_banner: bool = True
    omitted: frozenset[str] = frozenset()
    """Members left out of the token response, such as expires_in, patient, scope or id_token."""
    fhir_user: str | None = None
    """Another fhirUser than the clinician of this server."""
    hanging: frozenset[Place] = frozenset()
    """Endpoints that take the request and do not answer within `hang_seconds`."""
    hang_seconds: float = 30.0

    @property
    def permission_v2(self) -> bool:
        return PERMISSION_V2 in self.capabilities
