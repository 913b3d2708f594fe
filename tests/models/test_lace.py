"""LACE against its published rows, a second implementation, and what is asked for instead of assumed."""

from importlib.resources import files
from random import Random
from typing import Any

import pytest

from cds import CHARLSON_CODES, STAY_CODES, Missing, NotScored, Outcome, Risk
from cds.fhir.codes import Vocabulary
from cds.risk.scoring import score_row
from models.lace.equation import WEIGHTS
from models.lace.model import Lace, LaceRow
from tests.spec.charts import AT, chart, told

MODEL = Lace.build(files("models.lace"), Lace.settings_type())
USUAL: dict[str, Any] = {
    "age": 70,
    "length_of_stay": 0,
    "acute_admission": False,
    "charlson": 0,
    "emergency_visits": 0,
}


def outcome(**values: Any) -> Outcome:
    return score_row(MODEL, LaceRow.given(AT, **(USUAL | values)))


def points(**values: Any) -> float:
    scored = outcome(**values)
    assert isinstance(scored, Risk)
    return scored.score().value


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0, 0, 0, 0), 0), ((1, 1, 1, 0), 5), ((5, 1, 4, 2), 14), ((7, 0, 2, 4), 11), ((13, 1, 4, 0), 13)],
)
def test_the_published_rows(values: tuple[int, int, int, int], expected: float) -> None:
    days, acute, charlson, visits = values
    found = points(length_of_stay=days, acute_admission=bool(acute), charlson=charlson, emergency_visits=visits)
    assert found == expected


def second(days: int, acute: bool, charlson: int, visits: int) -> int:
    stay = days if days < 4 else 4 if days < 7 else 5 if days < 14 else 7
    return stay + 3 * acute + (5 if charlson > 3 else charlson) + (min(4, visits))


def test_a_second_implementation_agrees_on_a_thousand_stays() -> None:
    random = Random(7)
    for _ in range(1000):
        given = random.randint(0, 30), random.random() < 0.5, random.randint(0, 12), random.randint(0, 9)
        days, acute, charlson, visits = given
        found = points(length_of_stay=days, acute_admission=acute, charlson=charlson, emergency_visits=visits)
        assert found == second(*given)


@pytest.mark.parametrize(("visits", "band"), [(2, "not high"), (3, "high")])
def test_ten_is_high(visits: int, band: str) -> None:
    scored = outcome(length_of_stay=4, acute_admission=True, emergency_visits=visits)
    assert isinstance(scored, Risk)
    assert scored.score().band == band


def test_the_weights_are_laces_own() -> None:
    """As the publication's table has them; 4 for liver, kidney and AIDS is UNVERIFIED."""
    by_weight = {
        weight: sorted(g for g, w in WEIGHTS.items() if w == weight) for weight in sorted(set(WEIGHTS.values()))
    }
    assert by_weight == {
        1: ["cerebrovascular", "diabetes_uncomplicated", "myocardial_infarction", "peripheral_vascular"],
        2: ["copd", "diabetes_complicated", "heart_failure", "mild_liver", "mild_renal", "tumour"],
        3: ["connective_tissue", "dementia"],
        4: ["aids", "severe_liver", "severe_renal"],
        6: ["metastatic"],
    }
    assert set(WEIGHTS) == set(CHARLSON_CODES)
    assert any("weight 4" in said for said in MODEL.card.unverified)


CM = "http://hl7.org/fhir/sid/icd-10-cm"


@pytest.mark.parametrize(
    ("codes", "answer"),
    [
        (("I21.4",), 1),
        (("I21.4", "I25.2"), 1),  # one group
        (("E11.9", "E11.22"), 2),
        (("K74.60", "K72.90"), 4),
        (("N18.30", "K73.0"), 2),  # mild liver or renal disease is one line of the table
        (("N18.30", "N18.5"), 4),
        (("N18.30", "K76.6"), 4),
        (("C50.9", "C79.51"), 6),
        (("I50.9", "J44.9", "F03.90"), 7),
        (("J45.909",), 0),  # asthma is not COPD
        (("B20",), 4),
        (("Z21",), 0),
        (("C44.91",), 0),
    ],
)
def test_charlson_of_a_chart(codes: tuple[str, ...], answer: int) -> None:
    table = "\n".join(["Condition | code | onset", *(f"c{n} | {CM}|{code} | 2020" for n, code in enumerate(codes))])
    built = chart(table, vocabulary=Vocabulary([*CHARLSON_CODES.values(), *STAY_CODES.values()]))
    assert LaceRow.charlson.read(built, AT).value == answer


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"deceased": True}, "deceased"),
        ({"age": 17}, "age"),
        ({"age": None}, "age"),
        ({"length_of_stay": None}, "no-inpatient-stay"),
        ({"length_of_stay": Missing("no date")}, "stay-no-date"),
        ({"length_of_stay": Missing("not precise enough")}, "stay-not-precise-enough"),
        ({"emergency_visits": None}, "emergency-visits"),
        ({"charlson": None}, "charlson"),
        ({"acute_admission": None}, "ask"),
    ],
)
def test_whom_it_does_not_score(values: dict[str, Any], reason: str) -> None:
    refused = outcome(**values)
    assert isinstance(refused, NotScored)
    assert refused.reason == reason


def test_every_item_is_explained_zeros_too() -> None:
    told_ = MODEL.explanation(LaceRow.given(AT, **(USUAL | {"length_of_stay": 8, "acute_admission": True})))
    assert [(one.name, one.amount) for one in told_.contributions] == [
        ("Length of stay", 5),
        ("Acute admission", 3),
        ("Comorbidity", 0),
        ("Emergency visits in 180 days", 0),
    ]
    assert {one.scale for one in told_.contributions} == {"points"}


def test_a_chart_without_a_stay() -> None:
    built = chart(vocabulary=Vocabulary([*CHARLSON_CODES.values(), *STAY_CODES.values()]), birthDate="1950-01-01")
    assert told(LaceRow.length_of_stay.read(built, AT)) == "never recorded"
