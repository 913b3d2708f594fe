"""Makes docs/proofs.md: each item of the checklists, the tests that prove it, and the figure they assert."""

import ast
import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "proofs.md"
CHAPTERS = {
    "C": "CDS Hooks: the client's token",
    "R": "Reliability, security and clinical safety",
    "S": "SMART App Launch",
    "P": "The clinician's page",
    "B": "Bulk data: export, score, write back",
    "D": "Decisions",
}
HEAD = """# What is proven, and by which test

Made by `python -m tests.matrix` from the `proves` marks of the tests; a test fails when it is stale. A figure is what
its test asserts; campaigns run a twentieth in `make test` and all in `make proof` (`bench/proof.md`).
"""


class Proof(NamedTuple):
    item: str
    figure: str
    test: str


def table(name: str) -> dict[str, str]:
    """A two-column CSV of this folder."""
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    return dict(rows)


def proofs() -> list[Proof]:
    """Every `proves` mark in the tests, in the order of the files."""
    return [proof for path in sorted(HERE.rglob("test_*.py")) for proof in _marks(path)]


def _marks(path: Path) -> Iterator[Proof]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.proves":
                item, figure = (ast.literal_eval(argument) for argument in mark.args)
                yield Proof(item, figure, f"{path.relative_to(HERE.parent)}::{node.name}")


def page() -> str:
    """The page's Markdown."""
    items, elsewhere = table("items.csv"), table("items_not_here.csv")
    found: dict[str, list[Proof]] = defaultdict(list)
    for proof in proofs():
        found[proof.item].append(proof)
    parts = [HEAD]
    for letter, title in CHAPTERS.items():
        parts.append(f"## {title}\n")
        parts.append("| item | what | proven by | figure |\n|---|---|---|---|")
        for item, what in items.items():
            if item.startswith(letter):
                parts += _rows(item, what, found[item], elsewhere.get(item, ""))
        parts.append("")
    return "\n".join(parts)


def _rows(item: str, what: str, by: list[Proof], why_not: str) -> Iterator[str]:
    if not by:
        yield f"| {item} | {what} | not here: {why_not} | |"
    for number, proof in enumerate(by):
        first = (item, what) if number == 0 else ("", "")
        path, name = proof.test.split("::")
        yield f"| {first[0]} | {first[1]} | [`{name}`](../{path}) | {proof.figure} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
