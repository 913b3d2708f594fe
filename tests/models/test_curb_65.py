"""CURB-65 against its rows, a second implementation, and confusion that must be charted."""

from importlib.resources import files
from random import Random
from typing import Any

import pytest

from cds import ALERT, GCS, Missing, NotScored, Outcome, Reading, Risk
from cds.features.vitals import ACVPU
from cds.fhir.codes import Vocabulary
from cds.risk.scoring import score_row
from models.curb_65.model import Curb65, Curb65Row
from tests.spec.charts import AT, chart

MODEL = Curb65.build(files("models.curb_65"), Curb65.settings_type())
CLEAR = Reading(ALERT, method=GCS)
CONFUSED = Reading("new confusion", method=ACVPU)
USUAL: dict[str, Any] = {
    "age": 50,
    "consciousness": CLEAR,
    "urea_nitrogen": 10.0,
    "resp_rate": 18.0,
    "sbp": 120.0,
    "dbp": 80.0,
}


def outcome(**values: Any) -> Outcome:
    return score_row(MODEL, Curb65Row.given(AT, **(USUAL | values)))


def points(**values: Any) -> float:
    scored = outcome(**values)
    assert isinstance(scored, Risk)
    return scored.score().value


def scored(confused: bool, urea: float, rate: int, sbp: int, dbp: int, age: int) -> float:
    level = CONFUSED if confused else CLEAR
    given = {"urea_nitrogen": float(urea), "resp_rate": float(rate), "sbp": float(sbp), "dbp": float(dbp)}
    return points(consciousness=level, age=age, **given)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((False, 36, 17, 120, 97, 79), 2),
        ((False, 20, 24, 114, 78, 74), 2),
        ((False, 15, 13, 100, 49, 45), 1),
        ((True, 53, 26, 156, 59, 90), 4),
        ((False, 21, 25, 91, 100, 28), 1),
    ],
)
def test_the_published_rows(values: tuple[bool, float, int, int, int, int], expected: float) -> None:
    assert scored(*values) == expected


def second(confused: bool, urea: float, rate: int, sbp: int, dbp: int, age: int) -> int:
    return sum((confused, urea / 2.8014 > 7, rate > 29, not (sbp > 89 and dbp > 60), age > 64))


def test_a_second_implementation_agrees_on_a_thousand_patients() -> None:
    random = Random(13)
    for _ in range(1000):
        given = (
            random.random() < 0.3,
            random.randint(20, 600) / 10,
            random.randint(8, 45),
            random.randint(60, 220),
            random.randint(30, 120),
            random.randint(18, 100),
        )
        assert scored(*given) == second(*given)


@pytest.mark.parametrize(
    ("value", "unit", "given"),
    [(7.0, "mmol/L", 0), (7.1, "mmol/L", 1), (19.6, "mg/dL", 0), (19.7, "mg/dL", 1)],
)
def test_urea_is_above_seven_in_either_unit(value: float, unit: str, given: int) -> None:
    code = "22664-7" if unit == "mmol/L" else "3094-0"
    table = f"Observation | code | effective | value | unit\nu | {code} | 2026-11-22T10:00:00Z | {value} | {unit}"
    built = chart(table, vocabulary=Vocabulary(Curb65Row.code_sets()))
    assert points(urea_nitrogen=Curb65Row.urea_nitrogen.read(built, AT)) == given


def test_urea_of_the_day_before_yesterday_is_too_old() -> None:
    table = "Observation | code | effective | value | unit\nu | 3094-0 | 2026-11-21T14:01:00Z | 30 | mg/dL"
    found = Curb65Row.urea_nitrogen.read(chart(table, vocabulary=Vocabulary(Curb65Row.code_sets())), AT)
    assert isinstance(found, Missing)
    assert found.why == "too old"


@pytest.mark.parametrize(
    ("level", "given"),
    [(CLEAR, 0), (CONFUSED, 1), (Reading("voice", method=ACVPU), 1), (Reading("GCS 14", method=GCS), 1)],
)
def test_charted_confusion(level: Reading[str], given: int) -> None:
    assert points(consciousness=level) == given


@pytest.mark.parametrize("level", [Reading(ALERT, method=ACVPU), Missing("never recorded"), Missing("too old")])
def test_confusion_that_is_not_charted_is_asked_for(level: Reading[str] | Missing) -> None:
    refused = outcome(consciousness=level)
    assert isinstance(refused, NotScored)
    assert (refused.reason, refused.text) == ("ask", "ask: is there new confusion? The chart does not say")


def test_impaired_consciousness_that_counts_as_confusion_is_said() -> None:
    found = outcome(consciousness=Reading("GCS 12", method=GCS))
    assert "impaired consciousness (GCS 12) counts as confusion" in found.cautions


@pytest.mark.parametrize(
    ("values", "band"),
    [
        ({}, "low"),
        ({"age": 65}, "low"),
        ({"age": 65, "resp_rate": 30.0}, "intermediate"),
        ({"age": 65, "resp_rate": 30.0, "dbp": 60.0}, "high"),
    ],
)
def test_bands(values: dict[str, Any], band: str) -> None:
    found = outcome(**values)
    assert isinstance(found, Risk)
    assert found.score().band == band


@pytest.mark.parametrize("name", ["urea_nitrogen", "resp_rate", "sbp", "dbp"])
def test_a_missing_measurement_is_named(name: str) -> None:
    refused = outcome(**{name: None})
    assert isinstance(refused, NotScored)
    assert refused.reason == "inputs-missing"
    assert "(never recorded)" in refused.text
