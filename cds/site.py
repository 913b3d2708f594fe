"""Finds a site's models and services, checks them once, and freezes what will be served."""

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from msgspec import Struct
from pydantic import BaseModel, ValidationError

from cds.cdshooks.answer import Deployed
from cds.cdshooks.prefetch import Reach
from cds.cdshooks.service import HookService, ServiceSettings
from cds.errors import SiteError
from cds.features.needs import union
from cds.fhir.client import Transport
from cds.fhir.codes import CodeSet, Vocabulary
from cds.risk.model import ModelSettings, RiskModel
from cds.settings import Settings, read_settings

S = TypeVar("S", bound=BaseModel)


class Site(Struct, frozen=True):
    """What is served. `unavailable` says of each model and service that is not, why."""

    settings: Settings
    models: Mapping[str, RiskModel]
    services: Mapping[str, Deployed]
    vocabulary: Vocabulary
    unavailable: Mapping[str, str]
    known_models: tuple[type[RiskModel], ...] = ()
    known_services: tuple[str, ...] = ()

    def as_recorded(self, model_id: str, settings: Mapping[str, object]) -> RiskModel | None:
        """A model under the settings of a recorded score, which may differ from today's; None when it is gone."""
        cls = next((c for c in self.known_models if c.id == model_id), None)
        if cls is None:
            return None
        return cls.build(_folder_of(cls), cls.settings_type.model_validate(settings))


def load_site(folder: Path | None = None, settings: Settings | None = None, transport: Transport | None = None) -> Site:
    """Build the site of `folder` (or of the settings given). Raises SiteError for anything that must not start."""
    if folder is not None:
        _add(folder)
    settings = settings or read_settings(folder)
    classes = dict(_model_classes())
    _refuse_unknown("models", settings.models, {name for name, _ in classes.values()})
    unavailable: dict[str, str] = {}
    models = dict(_built(classes, settings, unavailable))
    vocabulary = _vocabulary(classes, models, settings)
    services = {service.id: service for service in _services()}
    _refuse_unknown("services", settings.services, set(services))
    reach = Reach(frozenset(settings.fhir_servers), settings.fetch_seconds, transport)
    deployed = {}
    for service in services.values():
        found = _deployed(service, settings, models, vocabulary, reach, unavailable)
        if found is not None:
            deployed[service.id] = found
    return Site(settings, models, deployed, vocabulary, unavailable, tuple(classes), tuple(services))


def _folder_of(cls: type[RiskModel]) -> Traversable:
    """The folder with the model's card.yaml."""
    return files(cls.__module__.rpartition(".")[0])


def _add(folder: Path) -> None:
    for name in ("models", "hooks"):
        if (folder / name / "__init__.py").exists():
            raise SiteError(f"{folder / name}/__init__.py hides Bedside's own {name}: delete it, {name} is a namespace")
    if (text := str(folder.resolve())) not in sys.path:
        sys.path.append(text)
    for name in ("models", "hooks"):
        sys.modules.pop(name, None)  # a namespace package looks for its portions when it is imported
    importlib.invalidate_caches()


def _portions(package: str, inner: str) -> Iterator[str]:
    """Names of what every portion of a namespace package holds, by the glob pattern of the file that makes it one."""
    try:
        found = importlib.import_module(package)
    except ModuleNotFoundError:
        return
    if getattr(found, "__file__", None):
        raise SiteError(f"{found.__file__} hides Bedside's {package}: {package} must be a namespace package")
    for portion in dict.fromkeys(Path(entry).resolve() for entry in found.__path__):  # a path may stand there twice
        for path in sorted(portion.glob(inner)):
            name = path.parent.name if inner.endswith("/model.py") else path.stem
            if not name.startswith(("_", ".")):
                yield name


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except SiteError:
        raise
    except Exception as error:
        raise SiteError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error


def _model_classes() -> Iterator[tuple[type[RiskModel], tuple[str, str]]]:
    """Each model class with its folder's name and package."""
    seen: dict[str, str] = {}
    for name in _portions("models", "*/model.py"):
        package = f"models.{name}"
        module = _import(f"{package}.model")
        for _, found in inspect.getmembers(module, inspect.isclass):
            if not issubclass(found, RiskModel) or found.__module__ != module.__name__:
                continue
            if inspect.isabstract(found) or not hasattr(found, "id"):
                continue
            if found.id in seen:
                raise SiteError(f"model id {found.id} stands in {seen[found.id]} and in {package}")
            seen[found.id] = package
            yield found, (name, package)


def _services() -> Iterator[HookService]:
    seen: set[str] = set()
    for name in _portions("hooks", "*.py"):
        module = _import(f"hooks.{name}")
        for found in vars(module).values():
            if isinstance(found, HookService):
                if found.id in seen:
                    raise SiteError(f"service id {found.id} stands in two files of hooks/")
                seen.add(found.id)
                yield found


def _built(
    classes: Mapping[type[RiskModel], tuple[str, str]], settings: Settings, unavailable: dict[str, str]
) -> Iterator[tuple[str, RiskModel]]:
    for cls, (name, _) in classes.items():
        table = settings.models.get(name, {})
        if settings.region is not None and "region" in cls.settings_type.model_fields:
            table = {"region": settings.region, **table}
        own, missing = _own_settings(cls.settings_type, table, f"models.{name}")
        if not isinstance(own, ModelSettings):
            unavailable[cls.id] = f"{', '.join(missing)} is not set: write it under [models.{name}] in site.toml"
            continue
        yield cls.id, cls.build(_folder_of(cls), own)


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


def _deployed(
    service: HookService,
    settings: Settings,
    models: Mapping[str, RiskModel],
    vocabulary: Vocabulary,
    reach: Reach,
    unavailable: dict[str, str],
) -> Deployed | None:
    table = {"stage": settings.default_stage, **settings.services.get(service.id, {})}
    own, missing = _own_settings(service.settings_type, table, f"services.{service.id}")
    if not isinstance(own, ServiceSettings):
        unavailable[service.id] = f"{', '.join(missing)} is not set: [services.{service.id}] in site.toml"
        return None
    chosen = service.chosen(own)
    if unknown := [name for name in chosen if name not in models and name not in unavailable]:
        raise SiteError(f"service {service.id} wants {', '.join(unknown)}, which no folder of models/ has")
    lacking = [f"{name}: {unavailable[name]}" for name in chosen if name not in models]
    if own.stage == "off" or lacking:
        unavailable[service.id] = "; ".join(lacking) or "off"
        return None
    running = {name: models[name] for name in chosen}
    needs = union(need for model in running.values() for need in model.predictors.needs())
    versions = [f"{model.id} {model.version} {model.settings!r}" for model in running.values()]
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
        fingerprint="; ".join([*versions, repr(own)]),
    )  # fmt: skip
