"""Acute kidney injury in the creatinine itself: every rule, on both sides of its boundary (D11, gate `aki`)."""

from datetime import timedelta

import pytest

from cds import day_text
from tests.charts import AT, SCORED, Json, acr, ago, creatinine, during, encounter, outcome, reason, risk

ACR = acr(100, ago(30))
Series = list[tuple[float, float]]
"""(days before AT, mg/dL)."""


def series(values: Series, unit: str = "mg/dL") -> list[Json]:
    return [creatinine(value, ago(days), unit) for days, value in values]


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        # 1.5 times the lowest of the seven days before.
        ([(10, 3.0), (17, 2.0)], "aki"),
        ([(10, 2.9), (17, 2.0)], "scored"),
        ([(10, 3.0), (17.01, 2.0)], "creatinine-rise"),
        ([(10, 3.0), (12, 2.75), (17, 2.0)], "aki"),
        # 0.3 mg/dL in 48 hours.
        ([(10, 2.3), (12, 2.0)], "aki"),
        ([(10, 2.29), (12, 2.0)], "scored"),
        ([(10, 2.3), (12.01, 2.0)], "scored"),
        ([(10, 1.7), (11, 1.4)], "aki"),
        # The same patient at one instant, by two analysers.
        ([(10, 2.3), (10, 2.0)], "aki"),
        ([(10, 2.2), (10, 2.0)], "scored"),
        # Recovery seen first.
        ([(10, 2.0), (17, 3.0)], "aki"),
        ([(10, 2.0), (17.01, 3.0)], "scored"),
        ([(10, 2.1), (12, 3.0)], "scored"),
        # The value itself must be of the last 90 days.
        ([(10, 2.0), (90, 3.0), (91, 2.0)], "aki"),
        ([(10, 2.0), (90.1, 3.0), (91, 2.0)], "scored"),
        ([(89, 2.0), (91, 3.0)], "scored"),
    ],
)
def test_creatinine_that_rises_or_falls_as_in_acute_injury(values: Series, answer: str) -> None:
    assert reason(*series(values), ACR) == answer
    assert reason(*reversed(series(values)), ACR) == answer


def test_a_rise_of_exactly_0_3_survives_binary_fractions() -> None:
    young = {"resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1935-01-01"}
    assert 1.2 - 0.9 < 0.3
    assert reason(creatinine(1.2, ago(10)), creatinine(0.9, ago(11)), ACR, who=young) == "aki"


@pytest.mark.parametrize(
    ("earlier", "later", "unit", "answer"),
    [
        (176.0, 202.5, "umol/L", "aki"),
        (176.0, 202.4, "umol/L", "scored"),
        (176.0, 202.5, "µmol/L", "aki"),
    ],
)
def test_26_5_micromoles_where_both_were_reported_so(earlier: float, later: float, unit: str, answer: str) -> None:
    assert reason(*series([(10, later), (11, earlier)], unit), ACR) == answer


def test_26_5_micromoles_is_not_asked_of_milligrams() -> None:
    mixed = (creatinine(202.5, ago(10), "umol/L"), creatinine(1.9912, ago(11)))
    assert reason(*mixed, ACR) == "scored"  # 0.2995 mg/dL


def test_every_setting_counts() -> None:
    ward = encounter("e1", "IMP", ago(21))
    inside = (creatinine(3.0, ago(20), **during("e1")), creatinine(2.0, ago(21), **during("e1")))
    assert reason(*SCORED[1:], creatinine(2.0, ago(1)), ward, *inside) == "aki"


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ([(10, 3.0), (40, 2.0)], "creatinine-rise"),
        ([(10, 2.99), (40, 2.0)], "scored"),
        ([(10, 3.0), (40, 2.0), (60, 2.0), (80, 3.0)], "creatinine-rise"),  # median 2.0
        ([(10, 3.0), (40, 2.0), (60, 2.2)], "scored"),  # median 2.1
        ([(10, 2.99), (16, 2.9), (40, 2.0)], "scored"),  # something in the last seven days
        ([(10, 3.0), (375, 2.0)], "creatinine-rise"),
        ([(10, 3.0), (375.1, 2.0)], "scored"),
        ([(200, 3.0), (230, 2.0)], "creatinine-rise"),  # the newest may itself be months old
        ([(10, 3.0)], "scored"),
    ],
)
def test_a_rise_that_nothing_explains(values: Series, answer: str) -> None:
    assert reason(*series(values), ACR) == answer


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        # A repeat within a week does not hide the rise, and nor does coming down a little.
        ([(2, 3.0), (6, 3.0), (40, 2.0)], "aki"),
        ([(2, 3.0), (9, 3.0), (40, 2.0)], "aki"),
        ([(2, 3.0), (9.01, 3.0), (40, 2.0)], "scored"),  # two values, more than a week apart: median 2.5
        ([(2, 2.99), (6, 2.99), (40, 2.0)], "scored"),
        ([(20, 2.9), (22, 3.0), (60, 2.0)], "aki"),
        ([(1, 2.1), (6, 3.0), (40, 2.0)], "aki"),
        ([(100, 3.0), (103, 3.0), (160, 2.0)], "aki"),  # as old as the newest may be
        ([(100, 2.2), (103, 3.0), (160, 2.0)], "scored"),  # over, and more than 90 days ago
        ([(87, 2.2), (90, 3.0), (160, 2.0)], "aki"),
        # In steps, none of which is large by itself.
        ([(10, 3.0), (16, 2.9), (40, 2.0)], "aki"),
        ([(10, 4.2), (16, 2.9), (40, 2.0)], "aki"),
        # Measured all along, or never before: there is no usual creatinine to compare with.
        ([(10, 3.0), (16, 3.0), (22, 2.9), (28, 2.0), (34, 2.0)], "scored"),
        ([(10, 3.0), (16, 3.0)], "scored"),
        ([(10, 3.0), (16, 3.0), (382, 2.0)], "scored"),
        ([(10, 3.0), (16, 3.0), (381, 2.0)], "aki"),
    ],
)
def test_a_rise_that_was_repeated(values: Series, answer: str) -> None:
    assert reason(*series(values), ACR) == answer
    assert reason(*reversed(series(values)), ACR) == answer


def test_a_rise_that_was_repeated_is_told_with_its_day() -> None:
    answer = outcome(*series([(2, 3.0), (6, 3.0), (40, 2.0)]), ACR)
    assert getattr(answer, "text", "").startswith(f"acute kidney injury {day_text(AT - timedelta(days=6))}")


@pytest.mark.parametrize(
    ("values", "unit", "said"),
    [
        ([(10, 3.0), (40, 1.9), (41, 2.0)], "mg/dL", "creatinine up from 1.95 to 3 mg/dL"),
        ([(10, 160.0), (40, 88.0), (60, 90.0)], "µmol/L", "creatinine up from 89 to 160 µmol/L"),
    ],
)
def test_the_rise_is_told_in_the_laboratory_s_unit(values: Series, unit: str, said: str) -> None:
    answer = outcome(*series(values, unit), ACR)
    assert getattr(answer, "text", "") == said


def test_values_that_cannot_be_read_are_left_out_and_said() -> None:
    odd = creatinine("<2.5", ago(60))
    day = AT.replace(month=9, day=23)
    assert f"a creatinine of {day:%-d %b %Y} (<2.5 mg/dL) could not be read; acute injury is not ruled out" in (
        risk(*SCORED, odd).cautions
    )
    assert not [c for c in risk(*SCORED, creatinine("<2.5", ago(91))).cautions if "could not be read" in c]
