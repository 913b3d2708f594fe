"""Which id a new model or a new service can have: one that Python, FHIR and the rest of the site can live with."""

import ast
import builtins
import importlib.util
import keyword
import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from cds.cli.common import USAGE, stop
from cds.fhir.identity import FHIR_ID
from cds.site.finding import add_portions, model_classes, services_found

_NAME = re.compile(r"[a-z][a-z0-9]*+(?:-[a-z0-9]++)*+")
_WRITABLE = re.compile(r"[A-Za-z0-9_.-]+")


def free(package: str, name: str, site: Path) -> Path:
    """Where the new one goes. The command ends for an id that cannot be, or that is taken here or among ours.

    Raises SiteError when what is there already cannot be imported.
    """
    _refuse_no_name(name)
    if not site.is_dir():
        stop(USAGE, f"{site}: there is no such folder")
    add_portions(site)
    module = name.replace("-", "_")
    folder = site / package / module
    try:
        taken = folder.exists() or importlib.util.find_spec(f"{package}.{module}") is not None
    except ModuleNotFoundError:
        taken = False
    if taken:
        stop(USAGE, f"{package}/{module} is there already")
    ids = known_models() if package == "models" else {service.id for service in services_found()}
    if name in ids:
        stop(USAGE, f"{name} is there already, as an id in {package}/: take another")
    return folder


def known_models() -> Collection[str]:
    """The ids of the models here and of ours."""
    return [cls.id for cls, _ in model_classes()]


def refuse_unknown_model(name: str) -> None:
    """The command ends for an id that no model has: it goes into a file that will be run."""
    known = known_models()
    if not _WRITABLE.fullmatch(name) or name not in known:
        stop(USAGE, f"--model {name}: there is no such model; there are {', '.join(known)}")


def refuse_clash(name: str, own: str, code: str) -> None:
    """The command ends when what `name` is called in its own file is a name that the file has for something else."""
    if hasattr(builtins, own) or Counter(_names(ast.parse(code)))[own] > 1:
        stop(USAGE, f"{name}: its file would call it {own}, which is another thing there: take another id")


def _names(tree: ast.Module) -> Iterator[str]:
    """What a file binds at its top: imports, classes, functions and constants."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _refuse_no_name(name: str) -> None:
    words = (name, name.replace("-", "_"), class_name(name))
    if not _NAME.fullmatch(name) or any(map(keyword.iskeyword, words)):
        stop(USAGE, f"{name}: an id is small letters and digits, in words with dashes between, and no keyword: fib-4")
    if not FHIR_ID.fullmatch(name):
        stop(USAGE, f"{name[:20]}…: an id has at most 64 characters")


def class_name(name: str) -> str:
    """corrected-calcium -> CorrectedCalcium."""
    return "".join(part.capitalize() for part in name.split("-"))
