"""Builds the site: its own models and services, and the same under the settings of each registered client."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct, structs
from pydantic import BaseModel, ValidationError

from cds.cdshooks.answer import Deployed
from cds.cdshooks.prefetch import Reach
from cds.cdshooks.service import HookService, ServiceSettings
from cds.errors import NotInstalled, SiteError
from cds.features.needs import union
from cds.fhir.client import Transport
from cds.fhir.codes import CodeSet, Vocabulary
from cds.fhir.policy import Policy
from cds.risk.model import ModelSettings, RiskModel
from cds.settings import Settings, read_settings
from cds.site.finding import add_portions, model_classes, services_found
from cds.site.site import LOCAL, Site, Tenant, folder_of
from cds.trust.clients import Client, Clients

S = TypeVar("S", bound=BaseModel)

SMART_LAUNCH = "/smart/launch"


class _Found(Struct, frozen=True):
    """What lies in models/ and hooks/, before any setting is applied."""

    classes: Mapping[type[RiskModel], tuple[str, str]]
    services: Mapping[str, HookService]
    transport: Transport | None


def load_site(folder: Path | None = None, settings: Settings | None = None, transport: Transport | None = None) -> Site:
    """Build the site of `folder` (or of the settings given). Raises SiteError for anything that must not start."""
    if folder is not None:
        add_portions(folder)
    settings = settings or read_settings(folder)
    found = _Found(dict(model_classes()), {service.id: service for service in services_found()}, transport)
    _refuse_unknown("models", settings.models, {name for name, _ in found.classes.values()})
    _refuse_unknown("services", settings.services, set(found.services))
    clients = Clients.read(settings.clients)
    own, models = _tenant(found, settings, None)
    tenants = {client.tenant: _of_client(found, settings, client) for client in clients if not client.revoked}
    return Site(
        settings, models, own.services, own.vocabulary, own.unavailable, tuple(found.classes), tuple(found.services),
        clients, tenants,
    )  # fmt: skip


def _of_client(found: _Found, settings: Settings, client: Client) -> Tenant:
    where = f"[[clients]] {client.tenant}"
    _refuse_unknown(f"{where} models", client.models, {name for name, _ in found.classes.values()})
    _refuse_unknown(f"{where} stages", client.stages, set(found.services))
    _refuse_unknown(f"{where} services", dict.fromkeys(client.services or ()), set(found.services))
    hooks = {hook for service in found.services.values() for hook in service.hooks}
    _refuse_unknown(f"{where} hooks", dict.fromkeys(client.hooks or ()), hooks)
    try:
        return _tenant(found, _laid_over(settings, client), client)[0]
    except SiteError as error:
        raise SiteError(f"{where}: {error.message}") from None


def _laid_over(settings: Settings, client: Client) -> Settings:
    """The site's settings as this client has them."""
    stages = {id_: {**settings.services.get(id_, {}), "stage": stage} for id_, stage in client.stages.items()}
    models = {name: {**settings.models.get(name, {}), **table} for name, table in client.models.items()}
    changes: dict[str, Any] = {
        "region": client.region or settings.region,
        "services": {**settings.services, **stages},
        "models": {**settings.models, **models},
        "codes": {**settings.codes, **client.codes},
        "units": {**settings.units, **client.units},
        "fhir_servers": (client.fhir_base,) if client.fhir_base else (),
    }
    return settings.model_copy(update=changes)


def _tenant(found: _Found, settings: Settings, client: Client | None) -> tuple[Tenant, Mapping[str, RiskModel]]:
    unavailable: dict[str, str] = {}
    models = dict(_built(found.classes, settings, unavailable))
    vocabulary = _vocabulary(found.classes, models, settings)
    policy = Policy(client.merged, client.test_patients, client.restricted) if client else None
    reach = Reach(frozenset(settings.fhir_servers), settings.fetch_seconds, found.transport, policy)
    deployed = {}
    for service in found.services.values():
        running = _deployed(service, settings, models, vocabulary, reach, unavailable)
        if running is not None and client is not None:
            running = _for_client(running, client, settings, unavailable)
        if running is not None:
            deployed[service.id] = structs.replace(running, fingerprint=_fingerprint(running, settings))
    return Tenant(client.tenant if client else LOCAL, client, deployed, vocabulary, unavailable), models


def _for_client(running: Deployed, client: Client, settings: Settings, unavailable: dict[str, str]) -> Deployed | None:
    """The service as this client may use it; None when it may not."""
    hooks = frozenset(hook for hook in running.hooks if client.may_use(hook))
    if not client.may_call(running.service.id) or not hooks:
        unavailable[running.service.id] = "not among this client's services and hooks"
        return None
    if "create" not in client.actions and running.settings.system_action:
        raise SiteError(
            f"services.{running.service.id}.system_action saves by itself, which needs create among actions"
        )
    return structs.replace(
        running,
        tenant=client.tenant,
        hooks=hooks,
        actions=client.actions,
        smart_url=f"{settings.public_url}{SMART_LAUNCH}" if client.smart and settings.public_url else None,
    )


def _fingerprint(running: Deployed, settings: Settings) -> str:
    """Everything of the site by which the same call could get another answer: then none is given from memory."""
    models = [(model.id, model.version, repr(model.settings)) for model in running.models.values()]
    tables = [
        sorted(settings.codes.items()),
        sorted((key, sorted(units.items())) for key, units in settings.units.items()),
    ]
    data = [sorted(settings.fhir_servers), repr(running.reach.policy), settings.lenient]
    told = [
        models,
        repr(running.settings),
        tables,
        data,
        sorted(running.actions),
        running.smart_url,
        running.public_url,
    ]
    return sha256(repr(told).encode()).hexdigest()


def _built(
    classes: Mapping[type[RiskModel], tuple[str, str]], settings: Settings, unavailable: dict[str, str]
) -> Iterator[tuple[str, RiskModel]]:
    for cls, (name, _) in classes.items():
        table = settings.models.get(name, {})
        if settings.region is not None and "region" in cls.settings_type.model_fields:
            table = {"region": settings.region, **table}
        own, missing = _own_settings(cls.settings_type, table, f"models.{name}")
        if not isinstance(own, ModelSettings):
            unavailable[cls.id] = f"{', '.join(missing)} is not set: write it {_where(missing, name)}"
            continue
        try:
            yield cls.id, cls.build(folder_of(cls), own)
        except NotInstalled as error:
            unavailable[cls.id] = error.message


def _where(missing: list[str], name: str) -> str:
    if missing == ["region"]:  # the one that all models share
        return "at the top of site.toml, or say --region"
    return f"under [models.{name}] in site.toml"


def _own_settings(kind: type[S], table: Mapping[str, object], where: str) -> tuple[S | None, list[str]]:
    """The settings, or None with the required keys that are missing. Raises SiteError for a wrong value."""
    try:
        return kind.model_validate(table), []
    except ValidationError as error:
        wrong = [e for e in error.errors() if e["type"] != "missing"]
        if wrong:
            faults = "; ".join(f"{where}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in wrong)
            raise SiteError(f"site.toml: {faults}") from None
        return None, [".".join(map(str, e["loc"])) for e in error.errors()]


def _vocabulary(
    classes: Mapping[type[RiskModel], tuple[str, str]], models: Mapping[str, RiskModel], settings: Settings
) -> Vocabulary:
    sets: dict[str, CodeSet] = {}
    for predictors in [*(c.predictors for c in classes), *(m.predictors for m in models.values())]:
        for codes in predictors.code_sets():
            if sets.setdefault(codes.name, codes).entries != codes.entries:
                raise SiteError(f"two models mean different codes by {codes.name}: give one of the sets another name")
    _refuse_unknown("codes", dict.fromkeys(settings.codes.values(), 1), set(sets))
    pairs = {tuple(key.split("|", 1)): name for key, name in settings.codes.items()}
    units = {tuple(key.split("|", 1)): spellings for key, spellings in settings.units.items()}
    return Vocabulary(sets.values(), pairs, units)  # type: ignore[arg-type]


def _refuse_unknown(table: str, given: Mapping[str, object], known: set[str]) -> None:
    if unknown := sorted(set(given) - known):
        raise SiteError(f"site.toml [{table}]: unknown {', '.join(unknown)}; there are {', '.join(sorted(known))}")


def _held_back(own: ServiceSettings, service: str, models: Mapping[str, RiskModel], settings: Settings) -> Any:
    """The service's settings, in shadow while a model of it may not be shown. Raises SiteError where it is set live."""
    held = [f"{name}: {model.card.shadow_only}" for name, model in models.items() if model.card.shadow_only]
    if own.stage != "live" or not held:
        return own
    if settings.services.get(service, {}).get("stage") == "live":
        raise SiteError(f'service {service} is live and may be stage = "shadow" only: {"; ".join(held)}')
    return own.model_copy(update={"stage": "shadow"})


def _deployed(
    service: HookService,
    settings: Settings,
    models: Mapping[str, RiskModel],
    vocabulary: Vocabulary,
    reach: Reach,
    unavailable: dict[str, str],
) -> Deployed | None:
    stage = "off" if service.by_name_only else settings.default_stage
    table = {"stage": stage, **settings.services.get(service.id, {})}
    own, missing = _own_settings(service.settings_type, table, f"services.{service.id}")
    if not isinstance(own, ServiceSettings):
        unavailable[service.id] = f"{', '.join(missing)} is not set: [services.{service.id}] in site.toml"
        return None
    chosen = service.chosen(own)
    unknown = [name for name in chosen if name not in models and name not in unavailable]
    if unknown and own.stage != "off":
        raise SiteError(f"service {service.id} wants {', '.join(unknown)}, which no folder of models/ has")
    lacking = [
        f"{name}: {unavailable.get(name, 'no folder of models/ has it')}" for name in chosen if name not in models
    ]
    if own.stage == "off" or lacking:
        unavailable[service.id] = "; ".join(lacking) or "off"
        return None
    running = {name: models[name] for name in chosen}
    own = _held_back(own, service.id, running, settings)
    needs = union(need for model in running.values() for need in model.predictors.needs())
    return Deployed(
        service,
        own,
        running,
        needs,
        vocabulary,
        reach,
        lenient=settings.lenient,
        hooks=frozenset(service.hooks),
        keys=frozenset(need.key for need in needs),
        public_url=settings.public_url,
    )  # fmt: skip
