"""CHA2DS2-VASc and CHA2DS2-VA: the gate of atrial fibrillation, every item, and what follows from the points."""

import random
from typing import Any

import pytest

from cds import NotScored, Reading, Risk
from cds.risk.scoring import score_row
from tests.charts import AT, Json, model, outcome
from tests.models.score_charts import AF, APIXABAN, aged, diagnosed, taking

IN_AF = diagnosed(AF)
SCORES = ("cha2ds2-va", "cha2ds2-vasc")
NAMES = ("heart_failure", "hypertension", "diabetes", "stroke", "vascular_disease")


def asked(*resources: Json, which: str = "cha2ds2-vasc", years: int = 60, gender: str | None = "male") -> Any:
    return outcome(*resources, variant=which, who=aged(years, gender))


def points(*resources: Json, **how: Any) -> float:
    answer = asked(*resources, **how)
    assert isinstance(answer, Risk), answer.text
    return answer.score().value


def reason(*resources: Json, **how: Any) -> str:
    answer = asked(*resources, **how)
    return answer.reason if isinstance(answer, NotScored) else "scored"


@pytest.mark.parametrize("which", SCORES)
def test_1000_random_inputs_agree_with_a_second_implementation(which: str) -> None:
    draw, scorer = random.Random(2), model(which)
    for _ in range(1000):
        age, woman = draw.randint(18, 110), draw.random() < 0.5
        held = [name for name in NAMES if draw.random() < 0.5]
        given: dict[str, Any] = dict.fromkeys(held, True)
        if which == "cha2ds2-vasc":
            given["sex"] = "female" if woman else "male"
        answer = score_row(scorer, scorer.predictors.given(AT, age=age, atrial_fibrillation=True, **given))
        assert isinstance(answer, Risk)
        expected = len(held) + ("stroke" in held) + (age > 64) + (age > 74) + (woman and which == "cha2ds2-vasc")
        assert answer.score().value == expected


@pytest.mark.parametrize(("years", "expected"), [(64, 0), (65, 1), (74, 1), (75, 2)])
def test_age(years: int, expected: int) -> None:
    assert points(IN_AF, years=years) == expected


@pytest.mark.parametrize(
    ("code", "worth"),
    [
        ("icd10cm|I50.9", 1),
        ("icd10cm|I10", 1),
        ("icd10cm|E11.9", 1),
        ("icd10cm|I63.9", 2),
        ("icd10cm|G45.9", 2),
        ("icd10cm|I21.9", 1),
        ("icd10cm|I60.9", 0),
        ("icd10cm|I26.99", 0),
        ("icd10cm|G45.4", 0),
    ],
)
def test_what_each_diagnosis_is_worth(code: str, worth: int) -> None:
    assert points(IN_AF, diagnosed(code)) == worth


@pytest.mark.parametrize(("code", "worth"), [("icd10cm|I63.9", 2), ("icd10cm|I10", 0)])
def test_a_stroke_counts_when_it_is_over_and_hypertension_does_not(code: str, worth: int) -> None:
    assert points(IN_AF, diagnosed(code, clinical="resolved")) == worth


@pytest.mark.parametrize("which", SCORES)
def test_only_with_active_atrial_fibrillation(which: str) -> None:
    assert reason(which=which) == "no-atrial-fibrillation"
    assert reason(diagnosed(AF, clinical="resolved"), which=which) == "no-atrial-fibrillation"
    assert reason(IN_AF, which=which) == "scored"


@pytest.mark.parametrize(("years", "expected"), [(17, "age"), (18, "scored"), (110, "scored"), (111, "age")])
def test_adults(years: int, expected: str) -> None:
    assert reason(IN_AF, years=years) == expected


def test_sex_is_needed_where_it_counts() -> None:
    assert reason(IN_AF, gender="other") == "sex"
    assert reason(IN_AF, gender="other", which="cha2ds2-va") == "scored"
    assert points(IN_AF, gender="female") == 1
    assert points(IN_AF, gender="female", which="cha2ds2-va") == 0


def test_a_dead_patient_is_not_scored() -> None:
    answer = outcome(IN_AF, variant="cha2ds2-va", who=aged(70, deceasedBoolean=True))
    assert isinstance(answer, NotScored)
    assert answer.reason == "deceased"


@pytest.mark.parametrize("which", SCORES)
def test_not_with_a_mechanical_valve_or_mitral_stenosis(which: str) -> None:
    scorer = model(which)
    row = scorer.predictors.given(
        AT, age=70, atrial_fibrillation=True, valve=Reading(True), **({"sex": "male"} if which == SCORES[1] else {})
    )
    answer = score_row(scorer, row)
    assert isinstance(answer, NotScored)
    assert answer.reason == "valve"


@pytest.mark.parametrize(
    ("which", "gender", "codes", "band"),
    [
        ("cha2ds2-va", "female", 0, ""),
        ("cha2ds2-va", "female", 1, "anticoagulation to be considered"),
        ("cha2ds2-va", "female", 2, "anticoagulation recommended"),
        ("cha2ds2-vasc", "male", 1, ""),
        ("cha2ds2-vasc", "male", 2, "anticoagulation recommended"),
        ("cha2ds2-vasc", "female", 1, ""),
        ("cha2ds2-vasc", "female", 2, "anticoagulation recommended"),
    ],
)
def test_what_follows_from_the_points(which: str, gender: str, codes: int, band: str) -> None:
    held = [diagnosed(code) for code in ("icd10cm|I10", "icd10cm|E11.9")[:codes]]
    answer = asked(IN_AF, *held, which=which, gender=gender)
    assert isinstance(answer, Risk)
    assert answer.score().band == band


def test_every_item_is_told_with_its_points_zeros_too() -> None:
    answer = asked(IN_AF, diagnosed("icd10cm|I63.9", 400), years=80, gender="female")
    assert isinstance(answer, Risk)
    told = model("cha2ds2-vasc").explanation(answer.row)
    assert told is not None
    assert [(c.name, c.amount) for c in told.contributions] == [
        ("Heart failure", 0),
        ("Hypertension", 0),
        ("Age", 2),
        ("Diabetes", 0),
        ("Stroke, TIA or thromboembolism", 2),
        ("Vascular disease", 0),
        ("Female sex", 1),
    ]


def test_an_anticoagulant_is_in_the_row_and_gives_no_point() -> None:
    with_it, without = asked(IN_AF, taking(APIXABAN)), asked(IN_AF)
    assert isinstance(with_it.row.anticoagulant, Reading)
    assert with_it.score() == without.score()
