"""FIB-4: whom it scores, from which results, and where its bands begin."""

import math
import random
from typing import Any

import pytest

from cds import NotScored, Reading, Risk
from cds.risk.scoring import score_row
from models.fib_4.model import Inputs, band, fib_4
from tests.charts import AT, Json, outcome
from tests.charts import model as model_of
from tests.models.score_charts import CIRRHOSIS, aged, alt, ast, diagnosed, platelets

LABS = (ast(80), alt(36), platelets(100))


def asked(*resources: Json, years: int = 60, **how: Any) -> Risk | NotScored:
    return outcome(*(resources or LABS), variant="fib-4", who=aged(years), **how)


def reason(*resources: Json, **how: Any) -> str:
    answer = asked(*resources, **how)
    return answer.reason if isinstance(answer, NotScored) else "scored"


def test_a_chart_is_scored_with_its_band() -> None:
    risk = asked()
    assert isinstance(risk, Risk)
    assert risk.score().value == pytest.approx(60 * 80 / (100 * 6), abs=1e-12)
    assert risk.score().band == "high"


def test_1000_random_inputs_agree_with_a_second_implementation() -> None:
    draw = random.Random(4)
    for _ in range(1000):
        age, count = draw.randint(35, 110), draw.uniform(1, 1000)
        first, last = draw.uniform(1, 2000), draw.uniform(1, 2000)
        second = math.exp(math.log(age) + math.log(first) - math.log(count) - 0.5 * math.log(last))
        assert fib_4(age, first, last, count) == pytest.approx(second, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "age", "expected"),
    [
        (1.299, 64, "low"),
        (1.30, 64, "indeterminate"),
        (1.999, 65, "low"),
        (2.0, 65, "indeterminate"),
        (1.5, 64, "indeterminate"),
        (1.5, 65, "low"),
        (2.67, 50, "indeterminate"),
        (2.6701, 50, "high"),
        (2.6701, 80, "high"),
    ],
)
def test_bands_at_their_edges(value: float, age: int, expected: str) -> None:
    assert band(value, age) == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ((alt(36), platelets(100)), "ast-never-recorded"),
        ((ast(80), platelets(100)), "alt-never-recorded"),
        ((ast(80), alt(36)), "platelets-never-recorded"),
        ((ast(80), alt(0), platelets(100)), "alt-zero"),
        ((ast(80), alt(36), platelets(0)), "platelets-zero"),
        ((ast(0), alt(36), platelets(100)), "ast-zero"),
        ((ast("<5"), alt(36), platelets(100)), "ast-comparator"),
        ((ast(80), alt(36, unit="mg/dL"), platelets(100)), "alt-unit-not-accepted"),
        ((ast(80), alt(36), platelets(100, unit=None)), "platelets-unit-not-accepted"),
        ((ast(80, status="preliminary"), alt(36), platelets(100)), "ast-not-final"),
        ((ast(80, status="entered-in-error"), alt(36), platelets(100)), "ast-never-recorded"),
        ((ast(80, 190), alt(36, 190), platelets(100, 190)), "ast-too-old"),
        ((ast(80, 5), alt(36, 5), platelets(100, 35.5)), "tests-apart"),
        ((ast(80, 5), alt(36, 20), platelets(100, 34.9)), "scored"),
        ((*LABS, diagnosed("icd10cm|B16.9", 100)), "acute-hepatitis"),
        ((*LABS, diagnosed("icd10cm|B16.9", 300)), "scored"),
        ((*LABS, diagnosed("snomed|235866006", 10, None)), "acute-hepatitis"),
        ((*LABS, diagnosed("icd10cm|B18.2", 10)), "scored"),
    ],
)
def test_who_is_not_scored(resources: tuple[Json, ...], expected: str) -> None:
    assert reason(*resources) == expected


@pytest.mark.parametrize(("years", "expected"), [(34, "age"), (35, "scored"), (110, "scored"), (111, "age")])
def test_age(years: int, expected: str) -> None:
    assert reason(years=years) == expected


def test_under_35_is_told_in_words() -> None:
    answer = asked(years=30)
    assert isinstance(answer, NotScored)
    assert answer.text == "under 35: FIB-4 is not reliable at this age"


def test_what_is_said_beside_the_number() -> None:
    old, very_old, middle = asked(years=70), asked(years=95), asked(years=60)
    assert [len(answer.cautions) for answer in (middle, old, very_old)] == [0, 1, 2]
    assert "2.0" in old.cautions[0]


def test_every_factor_is_told_against_the_reference_person() -> None:
    risk = asked()
    assert isinstance(risk, Risk)
    told = model_of("fib-4").explanation(risk.row)
    assert told is not None
    assert {c.scale for c in told.contributions} == {"log value"}
    product = math.prod(math.exp(c.amount) for c in told.contributions)
    assert product * fib_4(50, 40, 40, 250) == pytest.approx(risk.score().value, rel=1e-12)


def test_platelets_per_microlitre_and_enzymes_in_katals_are_converted() -> None:
    same = asked(ast(80 / 60, unit="ukat/L"), alt(36), platelets(100_000, unit="/uL"))
    assert isinstance(same, Risk)
    assert same.score().value == pytest.approx(8.0, rel=1e-9)


def test_a_recorded_cirrhosis_is_in_the_row_and_stops_nothing() -> None:
    risk = asked(*LABS, diagnosed(CIRRHOSIS))
    assert isinstance(risk, Risk)
    assert isinstance(risk.row, Inputs)
    assert isinstance(risk.row.cirrhosis, Reading)


def test_a_row_is_scored_from_its_values_alone() -> None:
    row = Inputs.given(AT, age=50, ast=40.0, alt=40.0, platelets=250.0)
    answer = score_row(model_of("fib-4"), row)
    assert isinstance(answer, Risk)
    assert round(answer.score().value, 2) == 1.26
