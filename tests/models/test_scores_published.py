"""The published rows of the scores: every one is in our reference files and comes out, points exactly."""

import csv
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from cds import Risk
from cds.risk.scoring import score_row
from tests.charts import model

Row = Mapping[str, Any]
CHADS = {
    "chf": "heart_failure",
    "htn": "hypertension",
    "dm": "diabetes",
    "stroke": "stroke",
    "vasc": "vascular_disease",
}
PADUA = {
    "cancer": "cancer",
    "vte": "vte",
    "immob": "immobility",
    "thromb": "thrombophilia",
    "trauma": "trauma",
    "age": "age",
    "hf": "heart_respiratory",
    "mi": "infarction_stroke",
    "inf": "infection_rheumatic",
    "bmi": "bmi",
    "horm": "hormones",
}
BLED = {
    "htn": "hypertension",
    "renal": "renal",
    "liver": "liver",
    "stroke": "stroke",
    "bleed": "bleeding",
    "inr": "labile_inr",
    "drugs": "drugs",
    "alcohol": "alcohol",
}
NAMES: dict[str, tuple[str, str, Mapping[str, str], int]] = {
    "meld3": (
        "meld-3",
        "meld_3",
        {
            "female": "female",
            "bili": "bilirubin",
            "na": "sodium",
            "inr": "inr",
            "cr": "creatinine",
            "alb": "albumin",
            "dialysis": "dialysis",
        },
        5,
    ),
    "fib4": ("fib-4", "fib_4", {"age": "age", "ast": "ast", "alt": "alt", "plt": "platelets"}, 5),
    "cha2ds2vasc": ("cha2ds2-vasc", "cha2ds2", {"age": "age", "female": "female", **CHADS}, 5),
    "cha2ds2va": ("cha2ds2-va", "cha2ds2", {"age": "age", **CHADS}, 5),
    "hasbled": ("has-bled", "has_bled", BLED, 5),
    "padua": ("padua", "padua", PADUA, 5),
}
"""By the name in the published file: our id, our folder, our columns by theirs, and how many rows there are."""


def published(folder: Path, name: str) -> list[tuple[Row, float]]:
    with (folder / "models" / "scores_reference.csv").open(encoding="utf-8") as lines:
        found = [row for row in csv.DictReader(lines) if row["model"] == name]
    return [(json.loads(row["inputs"]), float(row["expected"])) for row in found]


@pytest.mark.parametrize("name", NAMES)
def test_every_published_row_comes_out(shared_data: Path, name: str) -> None:
    ours, _, columns, count = NAMES[name]
    rows = published(shared_data, name)
    assert len(rows) == count
    scorer = model(ours)
    for inputs, expected in rows:
        values = {column: str(inputs[theirs]) for theirs, column in columns.items()}
        spare = {"age": "50", "score": ours, "female": "", "points": "0", "meld_3": "0", "fib_4": "0", "tolerance": "0"}
        age = {"age": "70" if inputs["elderly"] else "60"} if "elderly" in inputs else {}
        reference = scorer.reference_row({**spare, **values, **age})
        assert reference is not None
        answer = score_row(scorer, reference.row)
        assert isinstance(answer, Risk)
        exact = 5.0000001e-7 if name == "fib4" else 0
        assert abs(answer.score().value - expected) <= exact


@pytest.mark.parametrize("name", NAMES)
def test_every_published_row_is_in_our_reference_file(shared_data: Path, name: str) -> None:
    _, folder, columns, count = NAMES[name]
    with (files(f"models.{folder}") / "reference.csv").open(encoding="utf-8") as lines:
        kept = list(csv.DictReader(lines))
    for inputs, _ in published(shared_data, name):
        wanted = {column: float(inputs[theirs]) for theirs, column in columns.items()}
        assert any(all(float(row[c] or "nan") == value for c, value in wanted.items()) for row in kept)
    assert len(kept) > count
