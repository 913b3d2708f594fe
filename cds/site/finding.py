"""Finds model classes and services in every portion of the namespace packages `models` and `hooks`."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from cds.cdshooks.service import HookService
from cds.errors import SiteError
from cds.risk.model import RiskModel


def add_portions(folder: Path) -> None:
    """Put the site's own `models` and `hooks` beside ours. Raises SiteError when one hides ours."""
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


def model_classes() -> Iterator[tuple[type[RiskModel], tuple[str, str]]]:
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


def services_found() -> Iterator[HookService]:
    """Each service. Raises SiteError for an id that stands there twice."""
    seen: set[str] = set()
    for name in _portions("hooks", "*.py"):
        module = _import(f"hooks.{name}")
        for found in vars(module).values():
            if isinstance(found, HookService):
                if found.id in seen:
                    raise SiteError(f"service id {found.id} stands in two files of hooks/")
                seen.add(found.id)
                yield found
