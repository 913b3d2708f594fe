"""What a site sets, read once from site.toml and BEDSIDE_* variables; an unknown key is an error."""

import ipaddress
import os
import tomllib
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from cds.errors import SiteError

CdsHooksVersion = Literal["2.0.1", "3.0"]

_PREFIX = "BEDSIDE_"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_NO_SETTINGS = frozenset(f"{_PREFIX}{name}" for name in ("BENCH_LEDGER", "TEST_DATA", "PROOF", "LEDGER_PASSWORD"))
"""Variables with our prefix that the benchmarks, the tests and compose.yaml read, and no site sets."""
_site_toml_read: ContextVar[dict[str, Any]] = ContextVar("site.toml", default={})  # noqa: B039 - never changed


class Settings(BaseSettings):
    """A site. `services` and `models` hold each one's own table; the site checks them against what it finds."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", frozen=True)

    trust: Literal["clients", "open-on-loopback"] | None = None
    """Who is answered: registered clients with a signed token each, or, for trials, whoever is on this machine."""
    public_url: str | None = None
    """The https address under which the EHRs know this server: their tokens name it, and links lead to it."""
    clients: tuple[dict[str, Any], ...] = ()
    """The `[[clients]]` tables; `cds.trust.clients` checks them."""
    keys: Path | None = None
    """Our own signing keys; unsaid, bedside-keys.json beside site.toml."""
    discovery: Literal["token", "open"] = "token"
    """Whether clients show their token for the list of services too; "open" lets anybody read it."""
    cds_hooks: CdsHooksVersion = "2.0.1"
    lenient: bool = False
    """Take what known clients send outside the rules (hookInstance "test", wrapped prefetch values)."""
    region: str | None = None
    """For models whose equation differs by region: no default, since a guess would be a wrong number."""
    default_stage: Literal["off", "live"] = "off"
    """The stage of services without one of their own; only the demo and the command line say live."""
    fhir_servers: tuple[str, ...] = ()
    """FHIR base URLs from which data may be fetched; absolute references to any other server are foreign."""
    browser_origins: tuple[str, ...] = ()
    fetch_seconds: float = Field(default=5.0, gt=0, le=30)
    answer_seconds: float = Field(default=0.45, gt=0, le=30)
    """Time for an answer when all is prefetched; what is fetched has `fetch_seconds` more."""
    mute_days: int = Field(default=90, ge=0, le=365)
    """How long an info card rests after its user's feedback, while nothing changes; 0: never."""
    body_bytes: int = Field(default=2 * 1024 * 1024, gt=0)
    at_once: int = Field(default=256, gt=0)
    """Hook calls in progress; one more is answered 503."""
    drain_seconds: float = Field(default=5.0, ge=0, le=60)
    """After SIGTERM: how long everything is still answered while readiness already sends callers elsewhere."""
    proxies: tuple[str, ...] = ()
    """Addresses or networks of the proxies in front: X-Forwarded-For and -Proto are believed from nobody else."""
    ledger: str | None = None
    ledger_key: SecretStr | None = None
    failures_per_minute: float = Field(default=60.0, gt=0)
    """Calls without a good token that one address may make before it has to wait, and with it whoever shares it."""
    retention_days: int | None = Field(default=None, ge=1)
    services: dict[str, dict[str, Any]] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    codes: dict[str, str] = Field(default_factory=dict)
    """Local codes: "system|code" = the code set it belongs to, such as "creatinine" or "kidney_transplant"."""
    units: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Local unit spellings of one code: "system|code" = {spelling = accepted spelling}."""

    spool: Path | None = None
    """A folder on a local disk, in which answers wait while the ledger's database is out."""
    on_audit_failure: Literal["spool", "refuse"] | None = None
    """What becomes of an answer while it is out; not set: "spool" where there is a folder for it, else "refuse"."""

    @field_validator("fhir_servers", mode="after")
    @classmethod
    def _plain_urls(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        for server in servers:
            if not server.startswith(("https://", "http://")) or "@" in server or "#" in server or "?" in server:
                raise ValueError("a FHIR server is an http(s) URL without user, query or fragment")
        return tuple(server.rstrip("/") for server in servers)

    @field_validator("public_url", mode="after")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        if not (secure and parts.hostname) or any(mark in url for mark in "@#? "):
            raise ValueError("write https://host or https://host/path, without user, query or fragment")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _clients_are_whole(self) -> "Settings":
        if self.trust == "clients" and not (self.public_url and self.clients):
            raise ValueError(
                'trust = "clients" needs public_url and one [[clients]] table: `bedside client add` writes one'
            )
        return self

    @field_validator("proxies", mode="after")
    @classmethod
    def _addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            ipaddress.ip_network(proxy)  # raises ValueError; what is no address would be believed by its spelling
        return proxies

    @field_validator("codes", "units", mode="after")
    @classmethod
    def _system_and_code(cls, table: dict[str, Any]) -> dict[str, Any]:
        for key in table:
            if key.count("|") != 1 or key.startswith("|") or key.endswith("|"):
                raise ValueError("a local code is written system|code")
        return table

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # What was said on the command line wins over a variable, and that over site.toml.
        return init_settings, env_settings, InitSettingsSource(settings_cls, _site_toml_read.get())


def read_settings(folder: Path | None = None, **overrides: Any) -> Settings:
    """Settings from `folder`/site.toml, when there is one, and the environment, which wins over the file.

    `overrides` (None: not given) win over both; a table among them takes the place of the file's whole table.

    Raises SiteError that names the key at fault.
    """
    _refuse_unknown_variables()
    given = {name: value for name, value in overrides.items() if value is not None}
    read = {name: value for name, value in _site_toml(folder).items() if name not in given}
    token = _site_toml_read.set(read)
    try:
        return Settings(**given)
    except ValidationError as error:
        faults = "; ".join(map(_fault, error.errors(include_input=False)))
        raise SiteError(f"site.toml or BEDSIDE_*: {faults}") from None
    finally:
        _site_toml_read.reset(token)


def _fault(fault: Any) -> str:
    """Key and fault in our own words, without pydantic's; a fault of the whole has no key."""
    return ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, "))))


def _site_toml(folder: Path | None) -> dict[str, Any]:
    path = (folder or Path()) / "site.toml"
    if folder is None or not path.exists():
        if folder is not None and not folder.is_dir():
            raise SiteError(f"--site {folder}: there is no such folder")
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SiteError(f"site.toml: {error}") from None
    except UnicodeDecodeError:
        raise SiteError("site.toml is not UTF-8: save it so") from None
    except OSError as error:
        raise SiteError(f"site.toml cannot be read: {error.strerror}") from None


def _refuse_unknown_variables() -> None:
    # pydantic-settings forbids unknown keys everywhere but here: a variable with a slip in it would set nothing.
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields} | _NO_SETTINGS
    names = (name for name in os.environ if name.upper().startswith(_PREFIX))
    if unknown := sorted(name for name in names if name.upper() not in known):
        raise SiteError(f"unknown {', '.join(unknown)}: every {_PREFIX}* variable is a setting, and none has this name")
