"""Holds who may call: the EHRs that a site has registered, each with its keys and its limits."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from cds.errors import SiteError
from cds.trust.keys import Algorithm, Key, UnusableKeys, read_own_keys

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
NAME = 255
"""Characters in an issuer, a jti or any other name that is compared, kept or logged."""


def _safe_url(url: str) -> str:
    parts = urlsplit(url)
    plain = bool(parts.hostname) and "@" not in parts.netloc and "#" not in url and url.isprintable() and " " not in url
    if not plain or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
        raise ValueError("write an https URL without user and fragment (http only on this machine itself)")
    _ = parts.port  # a port that is no number raises here, at the start
    return url


def _base(url: str) -> str:
    if "?" in _safe_url(url):
        raise ValueError("a FHIR base URL has no query")
    return url.rstrip("/")


def _origin(url: str) -> str:
    parts = urlsplit(_safe_url(url))
    if parts.path or parts.query:
        raise ValueError("an origin is scheme://host or scheme://host:port, with nothing after it")
    return url


def _issuer(issuer: str) -> str:
    if issuer != issuer.strip() or not issuer.isprintable():
        raise ValueError("an issuer is compared character by character: it cannot begin or end with a space")
    return issuer


class Client(BaseModel):
    """One EHR as `[[clients]]` in site.toml registers it. `services` and `hooks`: None means all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    """Our name for it: in the ledger, in logs and in metrics."""
    issuer: Annotated[str, Field(min_length=1, max_length=NAME), AfterValidator(_issuer)]
    jwks_url: Annotated[str, AfterValidator(_safe_url)] | None = None
    """Where its keys are read; a token's `jku` must equal it. With `jwks` nothing is fetched from here."""
    jwks: dict[str, Any] | None = Field(default=None, repr=False)
    algorithms: tuple[Algorithm, ...] = Field(default=("ES384", "RS384"), min_length=1)
    fhir_base: Annotated[str, AfterValidator(_base)] | None = None
    services: frozenset[str] | None = None
    hooks: frozenset[str] | None = None
    browser_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    token_tenants: frozenset[str] | None = None
    """Values of the token's own `tenant` claim that may come; None: the claim is not looked at."""
    max_age_seconds: int = Field(default=300, ge=1, le=3600, strict=True)
    leeway_seconds: int = Field(default=30, ge=0, le=120, strict=True)

    _pinned: Mapping[str, Key] | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _has_keys(self) -> "Client":
        if self.jwks is None and self.jwks_url is None:
            raise ValueError("without jwks_url or jwks nothing that it signs can be verified")
        return self

    def model_post_init(self, _context: Any) -> None:
        """The keys written down are imported once, at the start."""
        if self.jwks is not None:
            try:
                self._pinned = read_own_keys(self.jwks)
            except UnusableKeys as fault:
                raise ValueError(f"jwks: {fault}") from None

    @property
    def pinned(self) -> Mapping[str, Key] | None:
        """The keys that the site wrote down, or None when they are read from `jwks_url`."""
        return self._pinned

    def may_call(self, service: str) -> bool:
        return self.services is None or service in self.services

    def may_use(self, hook: str) -> bool:
        return self.hooks is None or hook in self.hooks


class Clients:
    """The registered clients by issuer."""

    def __init__(self, clients: Iterable[Client]) -> None:
        """Raises SiteError for an issuer that stands there twice."""
        self._by_issuer: dict[str, Client] = {}
        for client in clients:
            other = self._by_issuer.setdefault(client.issuer, client)
            if other is not client:
                raise SiteError(
                    f"[[clients]]: {other.tenant} and {client.tenant} have one issuer; "
                    "who calls would be decided by their order"
                )

    @classmethod
    def read(cls, tables: Iterable[Mapping[str, Any]]) -> "Clients":
        """The clients of the `[[clients]]` tables. Raises SiteError that names the table and the key at fault."""
        return cls(_client(number, table) for number, table in enumerate(tables, 1))

    def of(self, issuer: str) -> Client | None:
        """Exactly this issuer: neither its case nor a slash at its end is forgiven."""
        return self._by_issuer.get(issuer)

    def __iter__(self) -> Iterator[Client]:
        return iter(self._by_issuer.values())

    def __len__(self) -> int:
        return len(self._by_issuer)


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
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {message}" if where else message
