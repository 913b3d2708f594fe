"""Holds who may call: the EHRs that a site has registered, each with its keys and its limits."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cds.errors import SiteError
from cds.trust.keys import Algorithm, Key, UnusableKeys, read_own_keys
from cds.trust.urls import BaseUrl, HostName, Issuer, Origin, SafeUrl

ActionType = Literal["create", "update", "delete"]
Choice = Literal["refuse", "answer"]
FHIR_VERSIONS = ("4.0", "4.3")
"""R4 and R4B, by the first two numbers of CapabilityStatement.fhirVersion."""


class SmartRegistration(BaseModel):
    """`[clients.smart]`: how the SMART app is known to this EHR's authorization server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str = Field(min_length=1, max_length=255)
    auth: Literal["private_key_jwt", "public"] = "private_key_jwt"
    algorithm: Literal["ES384", "RS384"] = "ES384"
    frame_ancestors: tuple[Origin, ...] = ()
    """Origins that may show the app in a frame; none: it opens in a tab of its own."""
    save: bool = False
    """Ask for the right to create RiskAssessments in the chart."""
    hosts: tuple[HostName, ...] = ()
    """Hosts outside fhir_base's site that its documents may name: of its sign-in, its token endpoint, its keys."""
    identity: Literal["required", "optional"] = "required"
    """Whether a launch is refused in which the EHR does not say, signed, who the user is."""
    standalone: bool = False
    """Let /smart/standalone offer this EHR, by its tenant's name, to whoever opens that page."""


class BackendRegistration(BaseModel):
    """`backend`: how Bedside itself, without a user, is known to this EHR's authorization server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str = Field(min_length=1, max_length=255)
    algorithm: Literal["ES384", "RS384"] = "ES384"
    file_hosts: tuple[Origin, ...] = ()
    """Origins besides fhir_base's from which the files of an export may be read; no token ever goes there."""
    token_url: SafeUrl | None = None
    """Where tokens are had, when the EHR does not publish it or it lies outside fhir_base's site."""


class Client(BaseModel):
    """One EHR as `[[clients]]` in site.toml registers it. `services` and `hooks`: None means all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Our name for it: in the ledger, in logs and in metrics."""
    issuer: Issuer
    jwks_url: SafeUrl | None = None
    """Where its keys are read; a token's `jku` must equal it. With `jwks` nothing is fetched from here."""
    jwks: dict[str, Any] | None = Field(default=None, repr=False)
    algorithms: tuple[Algorithm, ...] = Field(default=("ES384", "RS384"), min_length=1)
    fhir_base: BaseUrl | None = None
    fhir_version: str = "4.0.1"
    services: frozenset[str] | None = None
    hooks: frozenset[str] | None = None
    browser_origins: tuple[Origin, ...] = ()
    region: str | None = None
    """Over the site's own; without either no kidney service for this client."""
    actions: frozenset[ActionType] = frozenset({"create", "update", "delete"})
    """What its EHR carries out by itself; a suggestion with any other action becomes a sentence on the card."""
    merged: Choice = "refuse"
    """Patients whose record is inactive or was merged into another."""
    test_patients: Choice = "answer"
    restricted: Choice = "refuse"
    """Data labelled as restricted (meta.security R or V)."""
    codes: dict[str, str] = Field(default_factory=dict)
    units: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Local codes and unit spellings of this client, laid over the site's."""
    stages: dict[str, Literal["off", "shadow", "live"]] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Tables by model folder, laid over the site's `[models.…]`."""
    smart: SmartRegistration | None = None
    backend: BackendRegistration | None = None
    token_tenants: frozenset[str] | None = None
    """Values of the token's own `tenant` claim that may come; None: the claim is not looked at."""
    max_age_seconds: int = Field(default=300, ge=1, le=3600, strict=True)
    leeway_seconds: int = Field(default=30, ge=0, le=120, strict=True)
    requests_per_second: float = Field(default=50.0, gt=0, le=10_000)
    burst: int = Field(default=100, ge=1, le=100_000)
    revoked: bool = False
    """Nothing of a revoked client is accepted; its table stays, so that its answers in the ledger keep their name."""

    @field_validator("fhir_version", mode="after")
    @classmethod
    def _is_r4(cls, version: str) -> str:
        if not any(version == known or version.startswith(f"{known}.") for known in FHIR_VERSIONS):
            raise ValueError(
                "Bedside reads FHIR R4 (4.0.1) and R4B (4.3.0); this EHR's other versions are not understood"
            )
        return version

    @model_validator(mode="after")
    def _is_whole(self) -> "Client":
        if self.jwks is None and self.jwks_url is None:
            raise ValueError("without jwks_url or jwks nothing that it signs can be verified")
        if self.smart is not None and self.fhir_base is None:
            raise ValueError("smart: a SMART app reads from fhir_base, which is not set")
        if self.backend is not None and self.fhir_base is None:
            raise ValueError("backend: an export is read from fhir_base, which is not set")
        return self

    def model_post_init(self, _context: Any) -> None:
        """The keys written down are imported once, at the start."""
        if self.jwks is not None:
            try:
                _ = self.pinned
            except UnusableKeys as fault:
                raise ValueError(f"jwks: {fault}") from None

    @cached_property
    def pinned(self) -> Mapping[str, Key] | None:
        """The keys that the site wrote down, or None when they are read from `jwks_url`.

        Looked up with every call, which a private attribute of pydantic makes a hundred times as dear.
        """
        return None if self.jwks is None else read_own_keys(self.jwks)

    def may_call(self, service: str) -> bool:
        return self.services is None or service in self.services

    def may_use(self, hook: str) -> bool:
        return self.hooks is None or hook in self.hooks


class Clients:
    """The registered clients by issuer."""

    def __init__(self, clients: Iterable[Client]) -> None:
        """Raises SiteError for an issuer, a tenant or the FHIR base of a SMART app that stands there twice."""
        self._by_issuer: dict[str, Client] = {}
        self._by_base: dict[str, Client] = {}
        tenants: dict[str, Client] = {}
        for client in clients:
            _only(self._by_issuer, client.issuer, client, "issuer; who calls would be decided by their order")
            _only(tenants, client.tenant, client, "tenant; whose patients are meant could not be said")
            if client.smart is not None and client.fhir_base is not None:
                _only(self._by_base, client.fhir_base, client, "fhir_base; whose launch it is could not be said")

    @classmethod
    def read(cls, tables: Iterable[Mapping[str, Any]]) -> "Clients":
        """The clients of the `[[clients]]` tables. Raises SiteError that names the table and the key at fault."""
        return cls(_client(number, table) for number, table in enumerate(tables, 1))

    def of(self, issuer: str) -> Client | None:
        """Exactly this issuer, and not revoked: neither its case nor a slash at its end is forgiven."""
        found = self._by_issuer.get(issuer)
        return None if found is None or found.revoked else found

    def of_fhir_base(self, iss: str) -> Client | None:
        """Whose SMART app a launch from this FHIR base is; None when nobody's, or when that client is revoked."""
        found = self._by_base.get(iss.removesuffix("/"))
        return None if found is None or found.revoked else found

    def __iter__(self) -> Iterator[Client]:
        return iter(self._by_issuer.values())

    def __len__(self) -> int:
        return len(self._by_issuer)


def _only(known: dict[str, Client], name: str, client: Client, one: str) -> None:
    other = known.setdefault(name, client)
    if other is not client:
        raise SiteError(f"[[clients]]: {other.tenant} and {client.tenant} have one {one}")


def _client(number: int, table: Mapping[str, Any]) -> Client:
    try:
        return Client.model_validate(dict(table))
    except ValidationError as error:
        faults = "; ".join(_fault(fault) for fault in error.errors(include_input=False, include_context=False))
        name = table.get("tenant")
        whose = f" ({name})" if isinstance(name, str) and name.isprintable() else ""
        raise SiteError(f"[[clients]] number {number}{whose}: {faults}") from None


def _fault(fault: Any) -> str:
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "string_pattern_mismatch":  # of the tenant's name: a pattern is no sentence
        message = "write it in a to z, 0 to 9 and -, at most 63 of them, as north-clinic"
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {message}" if where else message
