"""HAS-BLED: nine points, labile INR only on a vitamin K antagonist, and drinking, which is asked for."""

import random
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from cds import NotScored, Risk
from cds.risk.scoring import score_row
from models.has_bled.labile import time_in_range
from tests.charts import AT, Json, ago, creatinine, model, outcome, procedure
from tests.models.score_charts import (
    AF,
    CIRRHOSIS,
    IBUPROFEN,
    NO,
    WARFARIN,
    YES,
    aged,
    answer,
    diagnosed,
    inr,
    pressure,
    taking,
)

IN_AF, SOBER = diagnosed(AF), answer("alcohol_8_drinks_a_week", NO)
NORMAL = (pressure(130), creatinine(1.0, ago(10)))
BASE = (IN_AF, SOBER, *NORMAL)


def asked(*resources: Json, years: int = 60, **how: Any) -> Risk | NotScored:
    return outcome(*resources, variant="has-bled", who=aged(years), **how)


def points(*resources: Json, **how: Any) -> float:
    found = asked(*resources, **how)
    assert isinstance(found, Risk), found.text
    return found.score().value


def refused(*resources: Json, **how: Any) -> tuple[str, str]:
    found = asked(*resources, **how)
    assert isinstance(found, NotScored)
    return found.reason, found.text


def test_1000_random_inputs_agree_with_a_second_implementation() -> None:
    draw, scorer = random.Random(9), model("has-bled")
    for _ in range(1000):
        age, systolic, mg = draw.randint(18, 110), draw.randint(80, 220), round(draw.uniform(0.5, 4), 2)
        flags = [draw.random() < 0.5 for _ in range(8)]
        liver, stroke, bleeding, drugs, vka, labile, drinks, dialysis = flags
        given = {"liver": liver, "stroke": stroke, "bleeding": bleeding, "drugs": drugs, "dialysis": dialysis}
        row = scorer.predictors.given(
            AT,
            age=age,
            atrial_fibrillation=True,
            systolic=float(systolic),
            creatinine=mg,
            vitamin_k_antagonist=True if vka else None,
            time_in_range=0.59 if labile else 0.6,
            alcohol=drinks,
            **{name: True for name, held in given.items() if held},
        )
        found = score_row(scorer, row)
        assert isinstance(found, Risk)
        renal = dialysis or mg >= 2.26
        expected = sum((systolic > 160, renal, liver, stroke, bleeding, vka and labile, age > 65, drugs, drinks))
        assert found.score().value == expected
        assert found.score().band == ("high" if expected > 2 else "not high")


@pytest.mark.parametrize(
    ("resources", "worth"),
    [
        ((), 0),
        ((pressure(160, 1),), 0),
        ((pressure(161, 1),), 1),
        ((creatinine(2.25, ago(1)),), 0),
        ((creatinine(2.26, ago(1)),), 1),
        ((creatinine(199, ago(1), "umol/L"),), 0),
        ((creatinine(200, ago(1), "umol/L"),), 1),
        ((procedure("snomed|302497006", ago(10)),), 1),
        ((diagnosed("icd10cm|Z94.0"),), 1),
        ((diagnosed(CIRRHOSIS),), 1),
        ((diagnosed("icd10cm|I63.9", 3000, "resolved"),), 1),
        ((diagnosed("icd10cm|I69.354"),), 1),
        ((diagnosed("icd10cm|Z86.73"),), 1),
        ((diagnosed("icd10cm|G45.9"),), 0),
        ((diagnosed("icd10cm|K92.2"),), 1),
        ((diagnosed("icd10cm|I61.9"),), 1),
        ((taking(IBUPROFEN),), 1),
        ((taking(IBUPROFEN, status="stopped"),), 0),
    ],
)
def test_what_each_item_is_worth(resources: tuple[Json, ...], worth: int) -> None:
    assert points(*BASE, *resources) == worth


@pytest.mark.parametrize(("years", "worth"), [(65, 0), (66, 1)])
def test_age_above_65(years: int, worth: int) -> None:
    assert points(*BASE, years=years) == worth


def test_only_with_atrial_fibrillation_in_adults() -> None:
    assert refused(SOBER, *NORMAL)[0] == "no-atrial-fibrillation"
    assert refused(*BASE, years=17)[0] == "age"


def test_drinking_is_asked_for_unless_it_is_coded_or_answered() -> None:
    reason, text = refused(IN_AF, *NORMAL, years=70)
    assert (reason, text) == ("ask", "ask about: 8 or more alcoholic drinks a week (1 point from the chart so far)")
    assert points(IN_AF, *NORMAL, answer("alcohol_8_drinks_a_week", YES)) == 1
    assert points(IN_AF, *NORMAL, diagnosed("icd10cm|F10.20")) == 1
    assert refused(IN_AF, *NORMAL, answer("alcohol_8_drinks_a_week", NO, 400))[0] == "ask"


def test_everything_that_no_chart_says_is_named() -> None:
    _, text = refused(IN_AF, taking(WARFARIN))
    for name in ("Systolic pressure", "Creatinine", "labile INR", "8 or more alcoholic drinks a week"):
        assert name in text


def test_labile_inr_counts_on_a_vitamin_k_antagonist_only() -> None:
    high = [inr(4.0, days) for days in range(0, 170, 20)]
    good = [inr(2.5, days) for days in range(0, 170, 20)]
    assert points(*BASE, *high) == 0
    assert points(*BASE, *high, taking(WARFARIN)) == 1
    assert points(*BASE, *good, taking(WARFARIN)) == 0


def test_a_drug_on_hold_is_asked_for() -> None:
    assert "Antiplatelet or NSAID" in refused(*BASE, taking(IBUPROFEN, status="on-hold"))[1]
    assert "labile INR" in refused(*BASE, taking(WARFARIN, status="on-hold"))[1]


def test_a_drug_of_more_than_a_year_ago_that_nobody_stopped_is_asked_for() -> None:
    assert "Antiplatelet or NSAID" in refused(*BASE, taking(IBUPROFEN, 400))[1]
    assert "labile INR" in refused(*BASE, taking(WARFARIN, 400))[1]
    assert points(*BASE, taking(IBUPROFEN, 400, "stopped"), taking(WARFARIN, 400, "completed")) == 0


def test_with_too_few_inrs_labile_inr_is_asked_for() -> None:
    few = (taking(WARFARIN), inr(4.0, 10), inr(4.0, 40))
    assert "labile INR" in refused(*BASE, *few)[1]
    assert points(*BASE, *few, answer("labile_inr", YES)) == 1
    assert points(*BASE, *few, answer("labile_inr", NO)) == 0


def test_an_inr_that_cannot_be_used_is_never_passed_over() -> None:
    good = [inr(2.5, days) for days in range(0, 170, 20)]
    assert refused(*BASE, *good, inr(">8", 30), taking(WARFARIN))[0] == "ask"


def day(number: float) -> Any:
    return AT + timedelta(days=number)


@pytest.mark.parametrize(
    ("series", "share"),
    [
        ([(0, 2.5), (50, 2.5), (100, 2.5)], 1.0),
        ([(0, 1.0), (50, 1.5), (100, 1.9)], 0.0),
        ([(0, 1.0), (50, 3.0), (100, 1.0)], 0.5),
        ([(0, 1.5), (50, 3.5), (100, 1.5)], 0.5),
        ([(0, 4.0), (50, 2.0), (100, 2.0)], 0.75),
        ([(0, 2.0), (50, 3.0), (100, 3.0)], 1.0),
        ([(0, 2.5), (57, 2.5), (100, 2.5)], None),
        ([(0, 2.5), (45, 2.5), (89, 2.5)], None),
        ([(0, 2.5), (45, 2.5), (90, 2.5)], 1.0),
        ([(0, 2.5)], None),
        ([], None),
    ],
)
def test_time_in_range_by_hand(series: list[tuple[float, float]], share: float | None) -> None:
    found = time_in_range([(day(number), value) for number, value in series])
    assert found == (None if share is None else pytest.approx(share))


def test_time_in_range_agrees_with_counting_the_minutes() -> None:
    draw = random.Random(6)
    for _ in range(50):
        days = sorted(draw.sample(range(180), 12))
        series = [(float(number), round(draw.uniform(1, 5), 1)) for number in days]
        inside = covered = 0
        for (begin, first), (end, last) in pairwise(series):
            steps = int((end - begin) * 200) if end - begin <= 56 else 0
            covered += steps
            inside += sum(2 <= first + (last - first) * (k + 0.5) / steps <= 3 for k in range(steps))
        found = time_in_range([(day(number), value) for number, value in series])
        if found is not None:
            assert found == pytest.approx(inside / covered, abs=2e-3)


def test_a_high_score_is_never_a_reason_to_withhold() -> None:
    found = asked(*BASE, diagnosed("icd10cm|K92.2"), taking(IBUPROFEN), years=80)
    assert isinstance(found, Risk)
    assert found.score().band == "high"
    assert any("never by itself a reason to withhold" in caution for caution in found.cautions)


def test_a_search_for_inr_that_failed_is_asked_for_and_silences_nothing() -> None:
    from tests.charts import chart

    scorer = model("has-bled")
    row = scorer.predictors.read(chart(*BASE, taking(WARFARIN), who=aged(60), unread=("inr",)), AT)
    found = score_row(scorer, row)
    assert isinstance(found, NotScored)
    assert found.reason == "ask"
