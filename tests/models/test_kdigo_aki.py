"""Staging of acute kidney injury: each criterion on both sides of its edge, the baseline rule, and the gate's word."""

import csv
import json
from datetime import timedelta
from random import Random
from typing import Any, cast

import pytest

from cds import NotScored, Reading, Risk, Score
from models._kidney.acute import EXACT, by_kdigo, repeated_rise, unexplained
from models.kdigo_aki.staging import LOWEST, MEDIAN, Unit, aki_stage, worst
from tests.charts import (
    AT,
    Json,
    ago,
    chart,
    condition,
    creatinine,
    during,
    encounter,
    model,
    outcome,
    patient,
    procedure,
)

Series = list[tuple[float, float]]
"""(days before AT, mg/dL)."""
DIALYSIS = "snomed|302497006"


def series(values: Series, unit: str = "mg/dL") -> list[Json]:
    return [creatinine(value, ago(days), unit) for days, value in values]


def answer(*resources: Json, **how: Any) -> Risk | NotScored:
    return outcome(*resources, variant="kdigo-aki", **how)


def staged(*resources: Json, **how: Any) -> Risk:
    found = answer(*resources, **how)
    assert isinstance(found, Risk), found.text
    return found


def stage(risk: Risk) -> int:
    [found] = risk.estimates
    assert isinstance(found, Score)
    return int(found.value)


def reason(*resources: Json, **how: Any) -> str:
    found = answer(*resources, **how)
    return found.reason if isinstance(found, NotScored) else f"stage {stage(found)}"


def test_the_shared_rows(shared_data: Any) -> None:
    with (shared_data / "models" / "scores_reference.csv").open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["model"] == "kdigo_aki_stage"]
    assert len(rows) == 6
    for row in rows:
        given = json.loads(row["inputs"])
        assert aki_stage(given["cur"], given["base"], given["delta48"]) == int(row["expected"])


@pytest.mark.parametrize(
    ("current", "baseline", "rise", "unit", "expected"),
    [
        (1.49, 1.0, None, "mg/dL", 0),
        (1.5, 1.0, None, "mg/dL", 1),
        (1.99, 1.0, None, "mg/dL", 1),
        (2.0, 1.0, None, "mg/dL", 2),
        (2.99, 1.0, None, "mg/dL", 2),
        (3.0, 1.0, None, "mg/dL", 3),
        (1.3, 1.0, 0.3, "mg/dL", 1),
        (1.29, 1.0, 0.29, "mg/dL", 0),
        (1.2, 0.9, 1.2 - 0.9, "mg/dL", 1),
        (1.3, 1.01, 26.5, "umol/L", 1),
        (1.3, 1.01, 26.4, "umol/L", 0),
        (4.0, 3.9, None, "mg/dL", 0),  # alone it is no acute injury
        (9.0, 8.8, 0.2, "mg/dL", 0),
        (4.0, 3.7, 0.3, "mg/dL", 3),
        (3.99, 3.69, 0.3, "mg/dL", 1),
        (4.0, 2.6, None, "mg/dL", 3),
        (4.0, None, None, "mg/dL", 0),
    ],
)
def test_each_criterion_on_both_sides_of_its_edge(
    current: float, baseline: float | None, rise: float | None, unit: str, expected: int
) -> None:
    assert aki_stage(current, baseline, rise, cast("Unit", unit)) == expected


@pytest.mark.parametrize(
    ("values", "expected", "method"),
    [
        ([(1, 2.0), (3, 1.0), (5, 1.4)], 2, LOWEST),
        ([(1, 2.0), (3, 1.0), (30, 0.5)], 2, LOWEST),  # the week has a value: older ones are not asked
        ([(1, 2.0), (8.01, 1.0), (30, 1.0), (60, 3.0)], 2, MEDIAN),
        ([(1, 2.0), (8.01, 1.3), (30, 1.4), (60, 3.0)], 0, MEDIAN),
        ([(1, 3.0), (366, 1.0)], 3, MEDIAN),
        ([(1, 1.0), (3, 3.1)], 3, LOWEST),  # recovery seen first
        ([(1, 1.4), (8, 2.0)], 0, LOWEST),
        ([(1.5, 3.0), (60, 1.0), (200, 1.0)], 3, MEDIAN),
        ([(0.2, 3.0), (1.5, 3.0), (60, 1.0), (200, 1.0)], 3, MEDIAN),  # a repeat does not undo it
        ([(0.2, 2.2), (1.5, 3.0), (60, 1.0), (200, 1.0)], 3, MEDIAN),
        ([(1, 3.0), (7.1, 3.0), (60, 1.0), (200, 1.0)], 0, LOWEST),  # it rose before the last seven days
    ],
)
def test_the_baseline(values: Series, expected: int, method: str) -> None:
    risk = staged(*series(values))
    assert stage(risk) == expected
    baseline = risk.row.answers()["baseline"]
    assert isinstance(baseline, Reading)
    assert baseline.method == method


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        ([(1, 1.3), (2.9, 1.0)], "mg/dL", 1),
        ([(1, 1.3), (3.01, 1.0)], "mg/dL", 0),
        ([(1, 202.5), (2, 176.0)], "umol/L", 1),
        ([(1, 202.4), (2, 176.0)], "umol/L", 0),
    ],
)
def test_the_rise_within_48_hours(values: Series, unit: str, expected: int) -> None:
    assert stage(staged(*series(values, unit))) == expected


def test_every_setting_counts() -> None:
    ward = encounter("e1", "IMP", ago(3))
    inside = creatinine(3.2, ago(1), **during("e1"))
    assert stage(staged(ward, inside, creatinine(1.0, ago(40)))) == 3


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([procedure(DIALYSIS, ago(3))], "stage 3"),
        ([procedure(DIALYSIS, ago(7.5))], "stage 0"),
        ([procedure(DIALYSIS, ago(3), status="not-done")], "stage 0"),
        ([procedure(DIALYSIS, ago(3)), procedure(DIALYSIS, ago(100))], "dialysis"),
        ([procedure(DIALYSIS, ago(100))], "stage 0"),
        ([condition("icd10cm|Z99.2", ago(400), "active"), procedure(DIALYSIS, ago(3))], "dialysis"),
        ([condition("icd10cm|N18.6", ago(400), "active"), procedure(DIALYSIS, ago(3))], "esrd"),
    ],
)
def test_kidney_replacement_is_stage_3_unless_it_is_long_term(resources: list[Json], expected: str) -> None:
    assert reason(*series([(1, 1.0), (3, 1.0)]), *resources) == expected


@pytest.mark.parametrize("performed", ["2026", "2026-11"])
def test_dialysis_of_an_unknown_day_is_asked_about(performed: str) -> None:
    assert reason(creatinine(1.0, ago(0.1)), creatinine(1.0, ago(60)), procedure(DIALYSIS, performed)) == "ask"


def test_dialysis_alone_is_stage_3_and_said_to_be_the_reason() -> None:
    risk = staged(procedure(DIALYSIS, ago(3)))
    assert stage(risk) == 3
    assert any("because of dialysis" in caution for caution in risk.cautions)


@pytest.mark.parametrize(
    ("resources", "who", "expected"),
    [
        ([], None, "creatinine-never-recorded"),
        (series([(8, 1.0), (30, 1.0)]), None, "creatinine-too-old"),
        (series([(1, 1.0)]), None, "no-baseline"),
        (series([(1, 5.0)]), None, "no-baseline"),
        (series([(1, 1.0), (400, 0.5)]), None, "no-baseline"),
        ([creatinine(1.0, ago(1), "mg"), *series([(2, 1.0), (3, 1.0)])], None, "creatinine-unit-not-accepted"),
        ([creatinine("<1.0", ago(1)), *series([(2, 1.0), (3, 1.0)])], None, "creatinine-comparator"),
        (series([(1, 1.0), (3, 1.0)]), patient(birthDate="2010-01-01"), "age"),
        (series([(1, 1.0), (3, 1.0)]), patient(birthDate=None), "age"),
        (series([(1, 1.0), (3, 1.0)]), patient(deceasedDateTime=ago(0.5)), "deceased"),
        (series([(1, 1.0), (3, 1.0)]), patient(gender="unknown"), "stage 0"),  # sex is not asked
    ],
)
def test_who_is_not_staged(resources: list[Json], who: Json | None, expected: str) -> None:
    assert reason(*resources, who=who) == expected


def test_urine_output_is_said_to_be_unread() -> None:
    assert any("urine output was not read" in c for c in staged(*series([(1, 1.0), (3, 1.0)])).cautions)
    kidney = model("kdigo-aki")
    [urine] = [i for i in kidney.inputs(staged(*series([(1, 1.0), (3, 1.0)])).row) if i.name == "Urine output"]
    assert urine.missing == "not read"


def test_a_stage_of_0_says_what_else_the_chart_holds() -> None:
    quiet = [*series([(1, 1.0), (3, 1.0), (20, 2.0), (22, 1.0)]), condition("icd10cm|N17.9", ago(20), "active")]
    risk = staged(*quiet)
    assert stage(risk) == 0
    assert any(c.startswith("creatinine showed acute kidney injury on") for c in risk.cautions)
    assert any(c.startswith("acute kidney injury is recorded") for c in risk.cautions)


def test_a_plateau_above_the_usual_is_said() -> None:
    risk = staged(*series([(1, 2.0), (4, 2.0), (8.5, 2.0), (30, 1.0), (60, 1.0)]))
    assert stage(risk) == 0
    assert any("2.0 times the median of days 8 to 365" in caution for caution in risk.cautions)


def test_4_0_alone_is_said_to_be_no_acute_injury() -> None:
    risk = staged(*series([(1, 4.2), (4, 4.1)]))
    assert stage(risk) == 0
    assert any("4.0 mg/dL or more without a rise" in caution for caution in risk.cautions)


MOLAR, MASS = (88.0, 100.0, 114.5, 115.0, 132.0, 176.0, 353.6), (0.9, 1.0, 1.2, 1.3, 1.5, 2.0, 3.0, 4.0)


def _random(random: Random) -> list[Json]:
    """One to nine days, many of them on the edges of 48 hours, 7 and 90 days; now and then two values at once."""
    spread = random.choice((12, 120, 300))
    edges = (1.0, 3.0, 8.0, 15.0, 90.0)
    moments = {
        random.choice((round(random.uniform(0, spread), 2), random.choice(edges))) for _ in range(random.randint(1, 9))
    }
    values: list[Json] = []
    for days in sorted(moments):
        molar = random.random() < 0.4
        value = random.choice(MOLAR) if molar else random.choice(MASS)
        values.append(creatinine(value, ago(days), "umol/L" if molar else "mg/dL"))
        if random.random() < 0.15:
            values.append(creatinine(random.choice((1.0, 1.5, 2.0)), ago(days)))
    return values


def test_the_gate_of_the_kidney_failure_equations_and_the_stage_never_disagree() -> None:
    """The gate open means stage 0; injury that the gate dates within the last seven days means at least stage 1.

    A rise that was repeated closes the gate whatever the stage, which compares with the lowest of seven days.
    """
    random = Random(20261122)
    seen = {"gate": 0, "rise": 0, "repeated": 0, "open": 0}
    for _ in range(1000):
        found = chart(*_random(random)).read(EXACT, AT)
        rose, rise = by_kdigo(found, AT), unexplained(found, AT)
        now = worst(found, AT)
        level = now.stage if now else 0
        week = AT - timedelta(days=7)
        if isinstance(rose, Reading) and rose.when and rose.when >= week:
            seen["gate"] += 1
            assert level >= 1
        elif isinstance(rise, Reading) and rise.when and rise.when >= week:
            seen["rise"] += 1
            assert level >= 1
        elif isinstance(repeated_rise(found, AT), Reading):
            seen["repeated"] += 1
        elif not isinstance(rose, Reading) and not isinstance(rise, Reading):
            seen["open"] += 1
            assert level == 0
        else:
            assert level == 0  # what the gate saw is older than seven days
    assert min(seen.values()) >= 5, seen


def test_every_criterion_explains_itself() -> None:
    kidney = model("kdigo-aki")
    risk = staged(*series([(1, 4.1), (2, 3.8)]))
    told = kidney.explanation(risk.row)
    assert told is not None
    assert {c.name: c.amount for c in told.contributions} == {
        "Dialysis within 7 days": 0.0,
        "Creatinine against its baseline": 0.0,
        "Rise within 48 hours": 1.0,
        "Creatinine of 4.0 mg/dL or more, once injured": 3.0,
    }
    assert stage(risk) == max(c.amount for c in told.contributions)
