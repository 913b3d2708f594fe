"""Takes in a trained pipeline: hashed first, opened once somebody vouches for it, and asked for golden vectors."""

import io
import platform
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

import typer
from msgspec import Struct

from cds.cli.common import UNSAFE, USAGE, err, stop
from cds.risk.estimator import LIBRARY, Cell, Estimator, no_classifier, table, unpickled

GOLDEN_ROWS, MADE_UP = 8, 200

Golden = tuple[dict[str, Cell], float]


class Taken(Struct, frozen=True):
    """A pipeline as it will lie in models/: its bytes, what the card says of it, and its golden vectors."""

    content: bytes
    artefact: dict[str, Any]
    golden: list[Golden]


def from_joblib(file: Path, examples: Path | None, *, mine: bool) -> Taken:
    """A team's own file. The command ends unless somebody says that it is."""
    content = _read(file)
    err.print(f"{file.name}: {len(content)} bytes, SHA-256 {sha256(content).hexdigest()}; not opened yet.")
    if not mine and not typer.confirm(
        "Opening it runs whatever it holds. Did your own team make it, and has nobody else touched it?", err=True
    ):
        stop(UNSAFE, "not opened, nothing written. From outside, ask for a file by skops.io.dump: --from-skops FILE")
    try:
        found = unpickled(content)
    except Exception as error:  # noqa: BLE001 - whatever it raises, it cannot be used
        stop(USAGE, f"{file.name} cannot be opened: {type(error).__name__}: {error}")
    return _taken(content, found, file.name, examples)


def from_skops(file: Path, examples: Path | None) -> Taken:
    """A file from outside: skops opens only types that it knows to be harmless. Kept with joblib from then on."""
    try:
        import joblib
        import skops.io
    except ModuleNotFoundError as error:
        stop(USAGE, f"{error.name} is not installed: pip install 'bedside[skops]'")
    content = _read(file)
    err.print(f"{file.name}: {len(content)} bytes, SHA-256 {sha256(content).hexdigest()}.")
    try:
        if strange := skops.io.get_untrusted_types(data=content):
            stop(
                UNSAFE,
                f"not opened, nothing written: {file.name} holds {', '.join(strange)}, which skops does not know",
            )
        found = skops.io.loads(content, trusted=[])
    except typer.Exit:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it raises, it cannot be used
        stop(USAGE, f"{file.name} cannot be opened: {type(error).__name__}: {error}")
    kept = io.BytesIO()
    joblib.dump(found, kept)
    return _taken(kept.getvalue(), found, file.name, examples)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        stop(USAGE, f"{file}: {error.strerror}")


def _taken(content: bytes, found: Any, name: str, examples: Path | None) -> Taken:
    if fault := no_classifier(found):
        stop(USAGE, f"{name} {fault}")
    columns = tuple(getattr(found, "feature_names_in_", _numbered(found)))
    if not columns:
        stop(USAGE, f"{name} does not say how many columns it takes")
    rows = _examples(examples, columns) if examples else _made_up(columns)
    try:
        golden = list(zip(rows, Estimator(found, columns).probabilities(rows), strict=True))
    except Exception as error:  # noqa: BLE001 - a pipeline may raise anything for rows that it was not made for
        asked = f"the rows of {examples.name}" if examples else "made-up numbers"
        advice = "mend them" if examples else "give rows with --examples FILE"
        stop(USAGE, f"{name} does not answer for {asked} ({type(error).__name__}): {advice}")
    artefact = {
        "file": "model.joblib",
        "sha256": sha256(content).hexdigest(),
        "python": platform.python_version(),
        "scikit_learn": version(LIBRARY),
        "columns": [str(column) for column in columns],
    }
    return Taken(content, artefact, golden if examples else _telling(golden, name))


def _telling(golden: list[Golden], name: str) -> list[Golden]:
    """Of made-up rows those that tell most: where an answer is all but certain, another file would answer the same."""
    told = sorted(golden, key=lambda one: abs(one[1] - 0.5))[:GOLDEN_ROWS]
    if abs(told[0][1] - 0.5) > 0.49:
        stop(USAGE, f"{name} is all but certain for every made-up row: give rows with --examples FILE")
    return told


def _numbered(found: Any) -> tuple[str, ...]:
    return tuple(f"x{number}" for number in range(getattr(found, "n_features_in_", 0)))


def _examples(file: Path, columns: Sequence[str]) -> list[dict[str, Cell]]:
    return [row for _, row in table(file, columns)] or stop(USAGE, f"{file} has no rows")


def _made_up(columns: Sequence[str]) -> list[dict[str, Cell]]:
    """Numbers of no meaning, from 0.1 to 100: golden vectors are to tell a file that computes otherwise."""
    draw = Random(20261122)  # noqa: S311 - numbers to compare by, not a secret
    return [{name: round(10 ** draw.uniform(-1, 2), 3) for name in columns} for _ in range(MADE_UP)]
