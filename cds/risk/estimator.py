"""Opens a kept estimator when it is the very file that its card names, and uses it when its golden vectors hold."""

import csv
import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import file_digest, sha256
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from pathlib import Path
from typing import Any

from cds.errors import NotInstalled, SiteError
from cds.risk.artefact import Artefact

LIBRARY = "scikit-learn"
GOLDEN_TOLERANCE = 1e-9
PROBABILITY = "probability"
"""The column of golden vectors with what must come out."""

Cell = float | str
Columns = Mapping[str, Cell]


class Estimator:
    """An opened estimator that answers one row at a time: in a larger batch the last bit may be another."""

    def __init__(self, estimator: Any, names: tuple[str, ...]) -> None:
        self._estimator = estimator
        self._names = names
        self._by_name = hasattr(estimator, "feature_names_in_")

    def probabilities(self, rows: Sequence[Columns]) -> list[float]:
        """The probability (0 to 1) of the outcome for each row."""
        return [float(self._estimator.predict_proba(self._table(row))[0, 1]) for row in rows]

    def shared_out(self, columns: Columns, reference: Columns) -> dict[str, float]:
        """The difference in log odds from the reference, by column: Shapley values against that one reference.

        Exact for any estimator, and for one without interactions the same as its terms.
        """
        count = len(self._names)
        own = {
            subset: self._log_odds({name: (columns if name in subset else reference)[name] for name in self._names})
            for size in range(count + 1)
            for subset in map(frozenset, combinations(self._names, size))
        }
        orders = math.factorial(count)
        shared = dict.fromkeys(self._names, 0.0)
        for subset, value in own.items():
            for name in self._names:
                if name not in subset:
                    share = math.factorial(len(subset)) * math.factorial(count - len(subset) - 1) / orders
                    shared[name] += share * (own[subset | {name}] - value)
        return shared

    def _log_odds(self, columns: Columns) -> float:
        (probability,) = self.probabilities([columns])
        bounded = min(max(probability, 1e-12), 1 - 1e-12)  # a forest may be certain, and its log odds are infinite
        return math.log(bounded / (1 - bounded))

    def _table(self, columns: Columns) -> Any:
        values = [columns[name] for name in self._names]
        if self._by_name:  # it was fitted on a table with names, and asks for one
            import pandas as pd

            return pd.DataFrame([values], columns=list(self._names))
        return [values]


def refuse_other_library(artefact: Artefact) -> None:
    """Raises SiteError for another scikit-learn than the card's, NotInstalled without any.

    By the package's metadata alone: importing it takes seconds and 160 MB.
    """
    try:
        found = version(LIBRARY)
    except PackageNotFoundError:
        raise NotInstalled(f"{LIBRARY} is not installed: pip install {LIBRARY}=={artefact.scikit_learn}") from None
    if found != artefact.scikit_learn:
        raise SiteError(
            f"made with {LIBRARY} {artefact.scikit_learn}, and {found} is installed: "
            f"pip install {LIBRARY}=={artefact.scikit_learn}, or train it again and card the new file"
        )


def refuse_other_file(file: Path, artefact: Artefact) -> None:
    """Raises SiteError unless the file is the card's. It is hashed, not opened, and again only when it has changed."""
    try:
        stat = file.stat()
        found = _digest(file, stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        raise SiteError(f"{file.name} cannot be read: {type(error).__name__}") from None
    _compare(found, artefact)


@lru_cache(maxsize=64)
def _digest(file: Path, _changed: int, _size: int) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()


def _compare(found: str, artefact: Artefact) -> None:
    if found != artefact.sha256:
        raise SiteError(
            f"{artefact.file} is not the file of card.yaml (SHA-256 {found[:12]}…, the card says "
            f"{artefact.sha256[:12]}…) and was not opened: put that file back, or validate the new one and card it"
        )


@lru_cache(maxsize=64)
def opened(file: Path, artefact: Artefact) -> Estimator:
    """The estimator, from the very bytes whose SHA-256 was compared, once its golden vectors come out.

    Raises SiteError when it is another file, cannot be opened, or answers otherwise than it did when it was carded.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SiteError(f"{file.name} cannot be read: {type(error).__name__}") from None
    _compare(sha256(content).hexdigest(), artefact)
    try:
        found = unpickled(content)
    except Exception as error:
        # Whatever a foreign file raises becomes one error of ours.
        raise SiteError(f"{file.name} cannot be opened: {type(error).__name__}") from error
    if fault := _unfit(found, artefact):
        raise SiteError(f"{file.name} {fault}")
    estimator = Estimator(found, artefact.columns)
    if fault := _golden_fault(estimator, file.with_name(artefact.golden), artefact):
        raise SiteError(f"{artefact.golden} {fault}")
    return estimator


def unpickled(content: bytes) -> Any:
    """What a joblib file holds. It runs whatever the file says: only for bytes that somebody vouched for."""
    import joblib
    from sklearn.exceptions import InconsistentVersionWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)  # another version made it than runs here
        return joblib.load(io.BytesIO(content))


def no_classifier(found: Any) -> str:
    """Why an estimator gives no probability of one outcome; "" when it does."""
    if not hasattr(found, "predict_proba"):
        return "holds nothing that gives probabilities"
    if list(getattr(found, "classes_", ())) != [0, 1]:
        return "does not tell 0 (no outcome) from 1 (outcome)"
    return ""


def _unfit(found: Any, artefact: Artefact) -> str:
    if fault := no_classifier(found):
        return fault
    names = tuple(getattr(found, "feature_names_in_", artefact.columns))
    if names != artefact.columns or getattr(found, "n_features_in_", len(names)) != len(names):
        return "takes other columns than card.yaml lists"
    return ""


def _golden_fault(estimator: Estimator, file: Path, artefact: Artefact) -> str:
    vectors = list(table(file, (*artefact.columns, PROBABILITY)))  # its faults name the file themselves
    for line, row in vectors:
        expected = row.pop(PROBABILITY)
        if isinstance(expected, str):
            return f"line {line}: its probability is no number"
        try:
            (found,) = estimator.probabilities([row])
        except Exception as error:  # noqa: BLE001 - a pipeline may raise anything for a row that it was not made for
            return f"line {line}: the file does not answer: {type(error).__name__}"
        if not abs(found - expected) <= GOLDEN_TOLERANCE:
            return f"line {line}: the file gives {found!r} instead of {expected!r}"
    return "" if vectors else "has no golden vector"


def table(file: Path, names: Sequence[str]) -> Iterator[tuple[int, dict[str, Cell]]]:
    """The rows of a CSV with their lines: of `names` what reads as a number is one, anything else is a word.

    Raises SiteError that names the file, and the line, of what is no such table.
    """
    try:
        rows = csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8-sig"), newline=""))
        if lacking := [name for name in names if name not in (rows.fieldnames or ())]:
            raise SiteError(f"{file.name} has no column {', '.join(lacking)}")
        for row in rows:
            if None in row or None in row.values():  # as csv marks cells too many and too few
                raise SiteError(f"{file.name} line {rows.line_num}: has not as many cells as its first line")
            yield rows.line_num, {name: _cell(row[name]) for name in names}
    except (OSError, ValueError, csv.Error) as error:
        raise SiteError(f"{file.name} cannot be read: {type(error).__name__}") from None


def _cell(text: str) -> Cell:
    try:
        return float(text)
    except ValueError:
        return text
