"""The house rules that a machine can check, so that a reviewer need not."""

import ast
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("cds", "hooks", "models")
LONGEST_FILE = 300
LONGEST_FUNCTION = 60

# A room may import from its own storey only itself, and from every storey below it.
STOREYS = (
    ("cli",),
    ("web", "bulk"),
    ("site", "smart"),
    ("trust",),
    ("cdshooks", "batch"),
    ("ledger",),
    ("risk",),
    ("features",),
    ("fhir",),
    ("settings",),
    ("errors", "text"),
)
LEVEL = {room: level for level, rooms in enumerate(STOREYS) for room in rooms}
FACE = "the face"
"""What `from cds import …` reaches: cds/__init__.py."""

WEB_FRAMEWORKS = {"fastapi", "starlette"}
HTTPX_DOORS = ("cds/fhir/http.py", "cds/fhir/exchange.py")


def sources(root: Path) -> list[Path]:
    """Every module of the three packages; a package that does not exist yet has none."""
    return sorted(file for package in PACKAGES for file in (root / package).rglob("*.py"))


def ours(file: Path) -> bool:
    """False inside a virtualenv that a benchmark keeps for a peer, and inside any other hidden folder."""
    return not any(part.startswith(".") for part in file.relative_to(ROOT).parts)


def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def imports(file: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of each import, wherever in the file it stands; `from a import b` is `a.b`."""
    parts = file.relative_to(root).with_suffix("").parts
    package = parts[:-1]
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *filter(None, [node.module])))
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def room(dotted: str) -> str:
    """The room of cds that an imported name lives in."""
    second = dotted.split(".", 2)[1:2]
    return second[0] if second and second[0] in LEVEL else FACE


def own_room(file: Path, root: Path) -> str:
    return room(".".join(file.relative_to(root).with_suffix("").parts))


def wrong_turn(file: Path, root: Path, name: str) -> str | None:
    """Why this file may not import that name, or None when it may."""
    place = file.relative_to(root).as_posix()
    top = name.split(".", 1)[0]
    if top in WEB_FRAMEWORKS and not place.startswith("cds/web/"):
        return "only cds/web knows the web framework"
    if top == "httpx" and place.startswith(PACKAGES) and place not in HTTPX_DOORS:
        return f"only {' and '.join(HTTPX_DOORS)} import httpx"
    if place.startswith("cds/"):
        return wrong_turn_in_cds(own_room(file, root), name)
    if top == "cds" and (room(name) != FACE or name.count(".") > 1):
        return "a model or a service imports from cds its face only: from cds import …"
    if place.startswith("models/") and top == "hooks":
        return "a model knows no service"
    return None


def wrong_turn_in_cds(here: str, name: str) -> str | None:
    top = name.split(".", 1)[0]
    if top in {"hooks", "models"}:
        return "cds names no model and no service"
    if top != "cds":
        return None
    there = room(name)
    if here == FACE:
        return "the face offers what lies below the web" if LEVEL.get(there, 99) <= LEVEL["web"] else None
    if there == FACE:
        # The web and the command may use the words that site authors use; below, the face would be an upward arrow.
        return None if LEVEL[here] <= LEVEL["web"] else "the face lies above this room"
    if there != here and LEVEL[there] <= LEVEL[here]:
        return f"{here} may not import {there}: imports run downstairs"
    return None


def wrong_turns(root: Path) -> list[str]:
    return [
        f"{file.relative_to(root)}:{line} imports {name}: {why}"
        for file in sources(root)
        for line, name in imports(file, root)
        if (why := wrong_turn(file, root, name))
    ]


def functions(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            yield node.name, (node.end_lineno or first) - first + 1


def opening_fault(file: Path) -> str | None:
    """A module opens with one sentence; more may follow only after an empty line, so that the sentence stands alone."""
    tree = parse(file)
    if not tree.body:
        return None  # an empty __init__.py says nothing and needs no reason
    opening = (ast.get_docstring(tree) or "").split("\n\n")[0].strip()
    if not opening:
        return "no opening sentence"
    sentences = re.split(r"[.!?]\s+(?=[A-Z])", opening)
    return None if opening.endswith(".") and len(sentences) == 1 else f"the opening is not one sentence: {opening!r}"


def test_imports_run_downstairs() -> None:
    assert wrong_turns(ROOT) == []


@pytest.mark.parametrize(
    ("place", "planted"),
    [
        ("cds/errors.py", "from cds.fhir import facts"),
        ("cds/fhir/units.py", "import cds.features.needs"),
        ("cds/fhir/units.py", "from ..risk import model"),
        ("cds/fhir/units.py", "from .. import site"),
        ("cds/fhir/units.py", "from cds import Latest"),
        ("cds/cdshooks/wire.py", "def late() -> None:\n    from cds.web import app"),
        ("cds/cdshooks/wire.py", "import cds.batch.local"),
        ("cds/cdshooks/wire.py", "from starlette.requests import Request"),
        ("cds/features/kinds.py", "import httpx"),
        ("cds/site.py", "import models.kfre.model"),
        ("cds/trust/jwt.py", "from cds.site import Site"),
        ("cds/smart/scopes.py", "from cds.site import Site"),
        ("cds/__init__.py", "from cds.web.app import app"),
        ("models/kfre/model.py", "from cds.risk.model import RiskModel"),
        ("models/kfre/model.py", "from cds import risk"),
        ("models/kfre/model.py", "from hooks import kidney_failure"),
        ("hooks/kidney_failure.py", "import cds.errors"),
        ("hooks/kidney_failure.py", "from fastapi import FastAPI"),
    ],
)
def test_a_planted_wrong_import_is_seen(tmp_path: Path, place: str, planted: str) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    before = wrong_turns(tmp_path)
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((file.read_text(encoding="utf-8") if file.exists() else "") + f"\n{planted}\n", encoding="utf-8")
    assert len(wrong_turns(tmp_path)) == len(before) + 1


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("cds/cli.py", "cds.web.app"),
        ("cds/web/app.py", "fastapi.FastAPI"),
        ("cds/web/app.py", "cds.site.Site"),
        ("cds/fhir/http.py", "httpx"),
        ("cds/fhir/facts.py", "cds.fhir.units"),
        ("cds/__init__.py", "cds.features.kinds.Latest"),
        ("models/kfre/model.py", "cds.Latest"),
        ("hooks/kidney_failure.py", "models.kfre.model.kfre"),
    ],
)
def test_an_import_that_runs_downstairs_is_allowed(place: str, name: str) -> None:
    assert wrong_turn(ROOT / place, ROOT, name) is None


def test_files_and_functions_stay_on_a_screen() -> None:
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in sources(ROOT)}
    lengths = {(file, name): length for file in lines for name, length in functions(file)}
    print(figures("file", lines.values()), figures("function", lengths.values()), sep="\n")
    long_files = [f"{file.relative_to(ROOT)}: {count}" for file, count in lines.items() if count > LONGEST_FILE]
    long_functions = [
        f"{file.relative_to(ROOT)} {name}: {count}"
        for (file, name), count in lengths.items()
        if count > LONGEST_FUNCTION
    ]
    assert long_files + long_functions == []


def figures(what: str, lengths: Collection[int]) -> str:
    return f"{what}: {len(lengths)}, median {statistics.median(lengths):.0f}, longest {max(lengths)} lines"


def test_every_module_opens_with_its_reason() -> None:
    beside = [file for folder in ("tests", "bench") for file in sorted((ROOT / folder).rglob("*.py")) if ours(file)]
    files = sources(ROOT) + beside
    faults = [f"{file.relative_to(ROOT)}: {fault}" for file in files if (fault := opening_fault(file))]
    assert faults == []


def test_hooks_and_models_leave_room_for_a_hospitals_own() -> None:
    assert not (ROOT / "hooks" / "__init__.py").exists()
    assert not (ROOT / "models" / "__init__.py").exists()


@pytest.mark.parametrize(
    ("planted", "workers", "code"),
    [
        ("import pytest\ndef test_it(): pytest.skip('no browser')", "0", pytest.ExitCode.TESTS_FAILED),
        ("import pytest\npytest.importorskip('no_such_module')", "1", pytest.ExitCode.TESTS_FAILED),
        ("def test_it(shared_data): pass", "1", pytest.ExitCode.OK),
    ],
)
def test_a_skip_fails_in_ci_unless_the_shared_data_is_absent(
    tmp_path: Path, planted: str, workers: str, code: int
) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_planted.py").write_text(planted, encoding="utf-8")
    (tmp_path / "test_other.py").write_text("def test_other(): pass", encoding="utf-8")
    environment = os.environ | {"CI": "true", "BEDSIDE_TEST_DATA": str(tmp_path / "nowhere"), "BEDSIDE_PROOF": ""}
    plugins = ["-p", "no:asyncio", "-p", "no:cacheprovider", "-n", workers]
    command = [sys.executable, "-m", "pytest", "--rootdir", str(tmp_path), *plugins]
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert run.returncode == code, run.stdout + run.stderr
