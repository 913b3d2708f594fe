"""MELD 3.0: its limits, whom it refuses, how old and of which draw its results may be, and dialysis."""

import random
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from cds import NotScored, Risk
from models.meld_3.equation import points, terms
from tests.charts import Json, ago, creatinine, during, encounter, model, outcome, procedure
from tests.models.score_charts import (
    CIRRHOSIS,
    WARFARIN,
    aged,
    albumin,
    bilirubin,
    diagnosed,
    inr,
    sodium,
    taking,
)

CR = creatinine(1.5, ago(1))
REST = (bilirubin(3), inr(1.5), sodium(130), albumin(3))
LABS = (*REST, CR)
ILL = diagnosed(CIRRHOSIS)
HAEMODIALYSIS = "snomed|302497006"


def asked(*resources: Json, years: int = 50, gender: str | None = "female", **how: Any) -> Risk | NotScored:
    return outcome(*resources, variant="meld-3", who=aged(years, gender), **how)


def reason(*resources: Json, **how: Any) -> str:
    answer = asked(*resources, **how)
    return answer.reason if isinstance(answer, NotScored) else "scored"


def score(*resources: Json, **how: Any) -> float:
    answer = asked(*resources, **how)
    assert isinstance(answer, Risk), answer.text
    return answer.score().value


def second(female: bool, bili: str, na: str, inr_: str, cr: str, alb: str) -> int:
    """The published formula once more, in decimal arithmetic and written out in one line."""
    b, n, i, c, a = (Decimal(text) for text in (bili, na, inr_, cr, alb))
    b, i, c = max(b, Decimal(1)), max(i, Decimal(1)), min(max(c, Decimal(1)), Decimal(3))
    n, a = min(max(n, Decimal(125)), Decimal(137)), min(max(a, Decimal("1.5")), Decimal("3.5"))
    x = (Decimal("1.33") if female else 0) + Decimal("4.56") * b.ln() + Decimal("0.82") * (137 - n)
    x += -Decimal("0.24") * (137 - n) * b.ln() + Decimal("9.09") * i.ln() + Decimal("11.14") * c.ln()
    x += Decimal("1.85") * (Decimal("3.5") - a) - Decimal("1.83") * (Decimal("3.5") - a) * c.ln() + 6
    return min(max(int(x.quantize(Decimal(1), rounding=ROUND_HALF_UP)), 6), 40)


def test_1000_random_inputs_agree_with_a_second_implementation() -> None:
    draw = random.Random(3)
    for _ in range(1000):
        female = draw.random() < 0.5
        b, i, c, a = (f"{draw.uniform(low, high):.1f}" for low, high in ((0.1, 40), (0.7, 9), (0.2, 9), (0.8, 5.5)))
        n = str(draw.randint(110, 150))
        ours = points(terms(female, float(b), float(n), float(i), float(c), float(a)))
        assert ours == second(female, b, n, i, c, a)


def test_a_chart_is_scored() -> None:
    assert score(*LABS, ILL) == second(True, "3", "130", "1.5", "1.5", "3")
    assert score(*LABS, ILL, gender="male") == second(False, "3", "130", "1.5", "1.5", "3")


@pytest.mark.parametrize(("years", "expected"), [(15, "age"), (17, "age"), (18, "scored"), (111, "age")])
def test_age(years: int, expected: str) -> None:
    assert reason(*LABS, ILL, years=years) == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        (LABS, "no-cirrhosis"),
        ((*LABS, ILL, taking(WARFARIN)), "vitamin-k-antagonist"),
        ((*LABS, ILL, taking(WARFARIN, status="stopped")), "scored"),
        ((*LABS, ILL, taking(WARFARIN, status="on-hold")), "ask"),
        ((*LABS, ILL, taking(WARFARIN, 800)), "scored"),
        ((*REST[1:], CR, ILL), "bilirubin-never-recorded"),
        ((*REST[:1], *REST[2:], CR, ILL), "inr-never-recorded"),
        ((*REST[:2], *REST[3:], CR, ILL), "sodium-never-recorded"),
        ((*REST[:3], CR, ILL), "serum-albumin-never-recorded"),
        ((*REST, ILL), "creatinine-never-recorded"),
        ((bilirubin(3, 8), inr(1.5, 8), *REST[2:], CR, ILL), "bilirubin-too-old"),
        ((*REST[:2], sodium(130, 8), REST[3], CR, ILL), "sodium-too-old"),
        ((*REST[:3], albumin(3, 89), CR, ILL), "scored"),
        ((*REST[:3], albumin(3, 91), CR, ILL), "serum-albumin-too-old"),
        ((bilirubin(3, 3), *REST[1:], CR, ILL), "not-one-draw"),
        ((bilirubin(3, 1.9), *REST[1:], CR, ILL), "scored"),
        ((bilirubin("<0.2"), *REST[1:], CR, ILL), "bilirubin-comparator"),
        ((bilirubin(51, unit="umol/L"), *REST[1:], CR, ILL), "scored"),
        ((bilirubin(51, unit=None), *REST[1:], CR, ILL), "bilirubin-unit-not-accepted"),
        ((*REST[:3], albumin(30), CR, ILL), "serum-albumin-implausible"),
    ],
)
def test_who_is_not_scored(resources: tuple[Json, ...], expected: str) -> None:
    assert reason(*resources) == expected


def test_the_reason_for_warfarin_is_told() -> None:
    answer = asked(*LABS, ILL, taking(WARFARIN))
    assert isinstance(answer, NotScored)
    assert answer.text.startswith("a vitamin K antagonist such as warfarin")
    assert answer.text.endswith("makes the INR invalid")


def test_an_old_prescription_of_warfarin_is_told() -> None:
    answer = asked(*LABS, ILL, taking(WARFARIN, 800))
    assert isinstance(answer, Risk)
    assert any("last prescribed 13 Sep 2024" in caution for caution in answer.cautions)


def test_sex_is_needed_from_18_on() -> None:
    assert reason(*LABS, ILL, gender="other") == "sex"


def test_a_creatinine_of_an_outpatient_may_be_90_days_old_and_is_told() -> None:
    answer = asked(*REST, creatinine(1.5, ago(60)), ILL)
    assert isinstance(answer, Risk)
    assert any("not from the draw" in caution for caution in answer.cautions)
    assert reason(*REST, creatinine(1.5, ago(91)), ILL) == "creatinine-too-old"


def test_a_creatinine_of_a_hospital_stay_is_of_the_same_draw_within_7_days() -> None:
    stay = encounter("in", "IMP", ago(30))
    assert reason(*LABS[:-1], creatinine(1.5, ago(1), **during("in")), stay, ILL) == "scored"
    assert reason(*REST, creatinine(1.5, ago(5), **during("in")), stay, ILL) == "not-one-draw"
    assert reason(*REST, creatinine(1.5, ago(20), **during("in")), stay, ILL) == "creatinine-too-old"


def sessions(*days_ago: float, code: str = HAEMODIALYSIS) -> tuple[Json, ...]:
    return tuple(procedure(code, ago(days)) for days in days_ago)


def test_dialysis_twice_in_7_days_makes_creatinine_3() -> None:
    expected = second(True, "3", "130", "1.5", "3", "3")
    assert score(*LABS, ILL, *sessions(2, 5)) == expected
    assert score(*REST, ILL, *sessions(2, 5)) == expected
    assert score(*LABS, ILL, *sessions(3, code="icd10pcs|5A1D90Z")) == expected
    answer = asked(*LABS, ILL, *sessions(2, 5))
    assert "creatinine is taken as 3.0 mg/dL because of dialysis" in answer.cautions


@pytest.mark.parametrize("days", [(2,), (2, 2.1), (2, 9)])
def test_dialysis_that_may_have_been_twice_is_asked_for(days: tuple[float, ...]) -> None:
    answer = asked(*LABS, ILL, *sessions(*days))
    assert isinstance(answer, NotScored)
    assert answer.reason == "ask"
    assert "dialysis twice" in answer.text


def session(code: str, start: str, end: str, status: str = "completed") -> Json:
    return procedure(code, None, status, performedPeriod={"start": start, "end": end})


NIGHT = session(HAEMODIALYSIS, "2026-11-20T22:00:00Z", "2026-11-21T02:00:00Z")


@pytest.mark.parametrize(
    ("records", "twice"),
    [
        ((procedure("cpt|90935", "2026-11-20"), NIGHT), False),  # the bill and the record of one session
        ((procedure("cpt|90935", "2026-11-21T01:30:00Z"), NIGHT), False),
        ((procedure("cpt|90935", "2026-11-19"), procedure("cpt|90935", "2026-11-20")), True),
        ((procedure("cpt|90935", "2026-11-18"), NIGHT), True),
        ((procedure("cpt|90935", "2026-11-20T08:00:00Z"), procedure("cpt|90937", "2026-11-20T21:00:00Z")), False),
        ((NIGHT, session(HAEMODIALYSIS, "2026-11-21T09:59:00Z", "2026-11-21T14:00:00Z")), False),  # 11:59 later
        ((NIGHT, session(HAEMODIALYSIS, "2026-11-21T10:00:00Z", "2026-11-21T14:00:00Z")), True),
        ((session(HAEMODIALYSIS, "2026-11-22T11:00:00Z", "2026-11-23T01:00:00Z", "in-progress"),), False),
        ((procedure("cpt|90935", "2026"), NIGHT), False),
        ((procedure("cpt|90935", "2026-11"), procedure("cpt|90935", "2026")), False),
        ((procedure("icd10pcs|5A1D90Z", "2026"),), False),
        ((procedure("icd10pcs|5A1D90Z", "2026-11-20"),), True),
    ],
)
def test_two_records_are_not_two_sessions(records: tuple[Json, ...], twice: bool) -> None:
    answer = asked(*LABS, ILL, *records)
    expected = second(True, "3", "130", "1.5", "3", "3")
    assert (answer.score().value == expected) if isinstance(answer, Risk) else answer.reason == "ask"
    assert isinstance(answer, Risk) is twice


def test_a_creatinine_of_3_and_more_needs_no_question() -> None:
    assert score(*REST, creatinine(4.2, ago(1)), ILL, *sessions(2)) == second(True, "3", "130", "1.5", "3", "3")


@pytest.mark.parametrize(
    ("code", "counts"),
    [
        ("snomed|108241001", True),
        ("snomed|265764009", True),
        ("cpt|90935", True),
        ("cpt|90937", True),
        ("cpt|90945", True),
        ("cpt|90947", True),
        ("cpt|90999", True),
        ("icd10pcs|5A1D70Z", True),
        ("icd10pcs|5A1D80Z", True),
        ("cpt|90960", False),
    ],
)
def test_which_procedures_count(code: str, counts: bool) -> None:
    answer = asked(*LABS, ILL, *sessions(2, 5, code=code))
    assert isinstance(answer, Risk) is counts


def test_every_term_is_told_in_points() -> None:
    answer = asked(*LABS, ILL)
    assert isinstance(answer, Risk)
    told = model("meld-3").explanation(answer.row)
    assert told is not None
    assert round(sum(c.amount for c in told.contributions)) == answer.score().value
    assert {c.scale for c in told.contributions} == {"points"}
    shown = {c.name: c.value for c in told.contributions}
    assert (shown["INR"], shown["Sodium"], shown["Sex"]) == ("1.5", "130 mmol/L", "female")
