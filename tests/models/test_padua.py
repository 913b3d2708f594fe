"""The Padua score: every item, and what must be asked before there is a number."""

import random
from typing import Any

import pytest

from cds import NotScored, Risk
from cds.risk.scoring import score_row
from tests.charts import AT, Json, ago, concept, condition, lab, model, outcome
from tests.models.score_charts import NO, YES, aged, answer, diagnosed, taking

MOBILE, UNHURT = answer("reduced_mobility", NO), answer("trauma_or_surgery_within_a_month", NO)
BMI = lab("39156-5", 24, "kg/m2", ago(20))
BASE = (MOBILE, UNHURT, BMI)
WORTH = {
    "cancer": 3,
    "thromboembolism": 3,
    "immobility": 3,
    "thrombophilia": 3,
    "trauma": 2,
    "heart_failure": 1,
    "infarction_or_stroke": 1,
    "infection": 1,
    "hormones": 1,
}


def asked(*resources: Json, years: int = 60) -> Risk | NotScored:
    return outcome(*resources, variant="padua", who=aged(years))


def points(*resources: Json, **how: Any) -> float:
    found = asked(*resources, **how)
    assert isinstance(found, Risk), found.text
    return found.score().value


def test_1000_random_inputs_agree_with_a_second_implementation() -> None:
    draw, scorer = random.Random(7), model("padua")
    for _ in range(1000):
        age, bmi = draw.randint(18, 110), round(draw.uniform(14, 50), 1)
        held = {name for name in WORTH if draw.random() < 0.4}
        given: dict[str, Any] = dict.fromkeys(held, True) | {name: name in held for name in ("immobility", "trauma")}
        found = score_row(scorer, scorer.predictors.given(AT, age=age, bmi=bmi, **given))
        assert isinstance(found, Risk)
        expected = sum(WORTH[name] for name in held) + (age >= 70) + (bmi >= 30)
        assert found.score().value == expected
        assert found.score().band == ("high" if expected >= 4 else "low")


def asked_whether(code: str) -> Json:
    """An Observation whose code is a diagnosis, and whose answer is no."""
    return lab(code, None, None, ago(1), valueCodeableConcept=concept(NO))


@pytest.mark.parametrize(
    ("resources", "worth"),
    [
        ((), 0),
        ((diagnosed("icd10cm|C50.9"),), 3),
        ((diagnosed("icd10cm|C50.9", clinical="remission"),), 0),
        ((diagnosed("icd10cm|C50.9", 150, "remission"),), 3),
        ((diagnosed("icd10cm|C50.9", 184, "remission"),), 0),
        ((condition("icd10cm|C50.9", ago(900), "resolved", abatementDateTime=ago(100)),), 3),
        ((condition("icd10cm|C50.9", ago(900), None, abatementDateTime=ago(300)),), 0),
        ((diagnosed("icd10cm|C50.9", clinical="remission"), diagnosed("icd10cm|Z51.11", 100, None)), 3),
        ((diagnosed("icd10cm|C50.9", clinical="remission"), diagnosed("icd10cm|Z51.11", 200, None)), 0),
        ((diagnosed("icd10cm|C50.9", 100, None),), 3),
        ((diagnosed("icd10cm|C50.9", 400, None),), 0),
        ((diagnosed("icd10cm|C44.91"),), 0),
        ((diagnosed("icd10cm|I26.99", 2000, "resolved"),), 3),
        ((diagnosed("icd10cm|D68.51"),), 3),
        ((diagnosed("icd10cm|I50.9"),), 1),
        ((diagnosed("icd10cm|J96.01", 2),), 1),
        ((diagnosed("icd10cm|I50.9"), diagnosed("icd10cm|J96.01", 2)), 1),
        ((diagnosed("icd10cm|I21.4", 3),), 1),
        ((diagnosed("icd10cm|I21.4", 40),), 0),
        ((diagnosed("icd10cm|I63.9", 3),), 1),
        ((asked_whether("snomed|363346000"),), 0),
        ((asked_whether("snomed|233604007"),), 0),
    ],
)
def test_what_each_item_is_worth(resources: tuple[Json, ...], worth: int) -> None:
    assert points(*BASE, *resources) == worth


@pytest.mark.parametrize(("onset", "status"), [("2026", "remission"), (None, "resolved"), ("2026", None)])
def test_a_cancer_that_may_be_of_six_months_is_asked_for(onset: str | None, status: str | None) -> None:
    found = asked(*BASE, condition("icd10cm|C50.9", onset, status))
    assert isinstance(found, NotScored)
    assert "Active cancer" in found.text


def test_beside_a_cancer_that_is_over_its_treatment_is_asked_for() -> None:
    over, never = asked(*BASE, diagnosed("icd10cm|C50.9", clinical="remission")), asked(*BASE)
    assert [len(answer.cautions) for answer in (over, never)] == [1, 0]
    assert "chemotherapy" in over.cautions[0]


def test_answers_are_worth_their_points() -> None:
    assert points(answer("reduced_mobility", YES), UNHURT, BMI) == 3
    assert points(MOBILE, answer("trauma_or_surgery_within_a_month", YES), BMI) == 2


@pytest.mark.parametrize(("years", "worth"), [(69, 0), (70, 1)])
def test_age(years: int, worth: int) -> None:
    assert points(*BASE, years=years) == worth


@pytest.mark.parametrize(("bmi", "worth"), [(29.9, 0), (30, 1)])
def test_body_mass_index(bmi: float, worth: int) -> None:
    assert points(MOBILE, UNHURT, lab("39156-5", bmi, "kg/m2", ago(20))) == worth


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ((UNHURT, BMI), ("reduced mobility",)),
        ((MOBILE, BMI), ("trauma or surgery",)),
        ((MOBILE, UNHURT), ("body mass index",)),
        ((), ("reduced mobility", "trauma or surgery", "body mass index")),
        ((answer("reduced_mobility", NO, 8), UNHURT, BMI), ("reduced mobility",)),
    ],
)
def test_what_nobody_said_is_asked_for_by_name(resources: tuple[Json, ...], named: tuple[str, ...]) -> None:
    found = asked(*resources, diagnosed("icd10cm|C50.9"))
    assert isinstance(found, NotScored)
    assert found.reason == "ask"
    assert all(name in found.text for name in named)
    assert found.text.endswith("(3 points from the chart so far)")


@pytest.mark.parametrize(
    ("code", "onset", "clinical", "answer"),
    [
        ("icd10cm|I21.4", "2026", "active", "Acute myocardial infarction or ischaemic stroke"),
        ("icd10cm|I21.4", "2026-10", "active", "Acute myocardial infarction or ischaemic stroke"),
        ("icd10cm|I21.4", "2026-11", "active", 1),
        ("icd10cm|I21.4", "2026-10-23", "active", 1),
        ("icd10cm|I21.4", "2025", "active", 0),
        ("icd10cm|J18.9", "2026", None, "Acute infection or rheumatological disorder"),
        ("icd10cm|C50.9", "2026", None, "Active cancer"),
        ("icd10cm|C50.9", "2026", "active", 3),
        ("icd10cm|C50.9", "2026-06", None, 3),
    ],
)
def test_a_date_that_leaves_open_whether_it_is_recent_is_asked_about(
    code: str, onset: str, clinical: str | None, answer: str | int
) -> None:
    found = asked(*BASE, condition(code, onset, clinical))
    if isinstance(answer, int):
        assert isinstance(found, Risk)
        assert found.score().value == answer
    else:
        assert isinstance(found, NotScored)
        assert found.text == f"ask about: {answer} (0 points from the chart so far)"


def test_newer_results_and_answers_that_are_not_final_are_said() -> None:
    index = lab("39156-5", 31, "kg/m2", ago(1), status="preliminary")
    found = asked(*BASE, answer("reduced_mobility", YES, 0.5, status="preliminary"), index)
    assert isinstance(found, Risk)
    assert found.score().value == 0
    assert found.cautions == (
        "a newer answer (reduced mobility) is not final and was not used",
        "a newer result (31 kg/m2, 21 Nov 2026) is not final and was not used",
    )


def test_hormones_of_more_than_a_year_ago_that_nobody_stopped_are_asked_about() -> None:
    found = asked(*BASE, taking("atc|G03CA03", 400))
    assert isinstance(found, NotScored)
    assert "Ongoing hormonal treatment" in found.text
    assert points(*BASE, taking("atc|G03CA03", 400, "stopped")) == 0


def test_adults_only() -> None:
    found = asked(*BASE, years=17)
    assert isinstance(found, NotScored)
    assert found.reason == "age"
