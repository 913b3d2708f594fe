"""No value makes a card's sentence too long for the standard, and none says more than is known."""

import math
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cds import Bound, Estimate, HookCall, Missing, NotScored, Reading, Risk
from cds.cdshooks.wire import page_call
from cds.features.feature import Why
from cds.risk.assessment import of_100, percent
from hooks import _kidney_cards as cards
from hooks._kidney_detail import scored
from hooks.kidney_failure import KidneyFailureSettings
from models._kidney.albuminuria import CONVERTED
from models._kidney.gates import VISIT
from models.kfre.model import OUTCOME, Kfre
from models.kfre.refusals import first_refusal
from tests.cdshooks.charts import CREATININE, UACR, UPCR, Json, kidney, lab, person
from tests.cdshooks.desk import Desk
from tests.charts import AT, model

BOUNDS: list[Bound | None] = [None, "at most", "at least"]
LONG = "351.123456789012 mg{creatinine}/dL of a laboratory's own"


def row(**answers: Any) -> Any:
    return model().predictors.given(AT, **answers)


def call(referral_percent: float) -> HookCall:
    asked = page_call("p", user=None, encounter_id=None, fhir_server="", token="", scope="", expires_in=60)
    deployed = model(referral_percent=referral_percent)
    settings = KidneyFailureSettings(show_low_risk=True)
    return HookCall(asked, AT, {}, {"kfre-4": deployed}, settings, "seed")


PROBABILITIES = st.one_of(st.floats(0, 1), st.sampled_from([0.03, 0.05, 0.1, 0.4, 1.0])).flatmap(
    lambda p: st.sampled_from([p, math.nextafter(p, 1), min(p + 1e-10, 1.0)])
)


@given(
    two=PROBABILITIES,
    five=PROBABILITIES,
    egfr=st.floats(0.5, 59.999),
    acr=st.one_of(st.floats(0.1, 25_000), st.sampled_from([9.99, 1000.0, 9999.6, 24_999.99])),
    bound=st.sampled_from(BOUNDS),
    method=st.sampled_from(["spot urine", CONVERTED]),
    referral=st.floats(3, 5),
    fell=st.booleans(),
    care=st.booleans(),
)
@example(0.01, 0.041, 50.0, 24_999.99, "at least", CONVERTED, 5.0, False, False)
@pytest.mark.proves(
    "PAGE", "every sentence of a scored patient stays under 140 characters for 100 drawn sets of values"
)
def test_no_value_makes_a_scored_patients_sentence_too_long(
    two: float,
    five: float,
    egfr: float,
    acr: float,
    bound: Bound | None,
    method: str,
    referral: float,
    fell: bool,
    care: bool,
) -> None:
    more = {"sustained_fall": Reading(150.0)} if fell else {}
    more |= {"kidney_care": Reading(True, method=VISIT)} if care else {}
    made = row(
        age=Reading(64), sex=Reading("male"), egfr=Reading(egfr), acr=Reading(acr, bound=bound, method=method), **more
    )
    estimates = tuple(Estimate(OUTCOME, y, p, bound) for y, p in ((2, two), (5, five)))
    risk = Risk("kfre-4", "1.0.0", AT, made, estimates)
    message = cards._message(call(referral), risk, scored(risk))
    if message is not None:
        assert 0 < len(message.summary) < 140
        assert not message.summary.endswith("…")


def refused() -> list[Any]:
    """A row for each way in which a laboratory's own words reach a sentence."""
    person_ = {"age": Reading(64), "sex": Reading("male")}
    shown: dict[str, Any] = {"shown": LONG, "when": AT}
    rows = [row(**person_, egfr=Missing(why, **shown)) for why in get_args(Why)]
    rows += [row(**person_, egfr=Reading(30.0), acr=Missing(why, **shown)) for why in get_args(Why)]
    pcr: dict[str, Any] = {"shown": f"PCR {LONG}", "when": AT}
    rows += [row(**person_, egfr=Reading(30.0), acr=Missing(why, **pcr)) for why in get_args(Why)]
    rows.append(row(**person_, unexplained_rise=Reading(88.0, as_sent=f"{LONG} to {LONG}")))
    rows.append(row(**person_, egfr=Reading(58.0), acr=Reading(300.0, bound="at least", as_sent=LONG)))
    return rows


@pytest.mark.parametrize("made", refused(), ids=lambda made: "")
def test_no_laboratorys_words_make_a_refusal_too_long(made: Any) -> None:
    one = model()
    assert isinstance(one, Kfre)
    refusal = one.refuse(made) or first_refusal(made)
    assert refusal is not None
    summary = cards.not_scored(NotScored("kfre-4", "1.0.0", AT, made, refusal.reason, refusal.text))
    assert 0 < len(summary) < 140
    assert not summary.endswith("…")


@pytest.mark.parametrize("pcr", [2000, 2400, 3500, 9000, 39_000])
def test_a_large_converted_ratio_makes_a_card(pcr: float, desk: Desk) -> None:
    card = desk.card(kidney(50, None, lab(UPCR, pcr, "mg/g"), sex="female"))
    assert "%" in card["summary"]


def test_the_converted_ratio_is_named_in_the_sentence(desk: Desk) -> None:
    card = desk.card(kidney(50, None, lab(UPCR, 2400, "mg/g"), sex="female"))
    assert card["summary"].startswith("Urine ACR from PCR 1024 mg/g (116 mg/mmol) is 300 mg/g or more: consider ")


@pytest.mark.parametrize(
    ("bound", "probability", "shown", "people"),
    [
        (None, 0.154, "15.4%", "about 15 in 100"),
        (None, 0.0004, "<0.1%", "fewer than 1 in 100"),
        (None, 0.9999, ">99.9%", "more than 99 in 100"),
        ("at least", 0.098, "9.8%", "at least 9 in 100"),
        ("at least", 0.0976, "9.7%", "at least 9 in 100"),
        ("at least", 0.004, "0.4%", "at least 4 in 1000"),
        ("at least", 0.9999, "99.9%", "at least 99 in 100"),
        ("at most", 0.294, "29.4%", "at most 30 in 100"),
        ("at most", 0.2941, "29.5%", "at most 30 in 100"),
        ("at most", 0.0004, "0.1%", "at most 1 in 100"),
    ],
)
def test_a_bound_is_rounded_so_that_it_stays_true(
    bound: Bound | None, probability: float, shown: str, people: str
) -> None:
    assert (percent(probability, bound), of_100(probability, bound)) == (shown, people)


@given(st.floats(1e-6, 1), st.sampled_from(["at least", "at most"]))
def test_no_bound_says_more_than_it_proves(probability: float, bound: Bound) -> None:
    shown = float(percent(probability, bound).rstrip("%")) / 100
    number, whole = of_100(probability, bound).split()[2::2]
    told = int(number) / int(whole)
    for said in (shown, told):
        assert said <= probability + 1e-8 if bound == "at least" else said >= probability - 1e-8


def bounded(comparator: str, value: float) -> Json:
    return lab(UACR, None, None, valueQuantity={"value": value, "comparator": comparator, "unit": "mg/g"})


@pytest.mark.parametrize(
    ("egfr", "ratio", "stage"), [(28, bounded(">", 300), "G4, A3"), (18, bounded("<", 30), "G4, A1")]
)
def test_the_albumin_category_of_a_bound_is_the_one_that_it_proves(
    egfr: float, ratio: Json, stage: str, desk: Desk
) -> None:
    assert f"KDIGO {stage}." in desk.card(kidney(egfr, None, ratio))["detail"]


@pytest.mark.parametrize(
    ("more", "gone"),
    [
        (lab(CREATININE, 5.0, "furlongs", ago=40, id="odd"), "acute kidney injury"),
        (lab("82810-3", "maybe", None, ago=10), "pregnancy"),
    ],
    ids=["a creatinine that cannot be read", "a pregnancy status that cannot be understood"],
)
def test_what_is_left_open_is_not_listed_as_not_found(more: Json, gone: str, desk: Desk) -> None:
    detail = desk.card(kidney(34, 310, more, age=35, sex="female"))["detail"]
    listed = detail.split("**Checked, not found:** ")[1].split(". Not valid")[0].split(", ")
    assert gone not in listed
    assert len(listed) == 4


def test_a_creatinine_of_a_patient_without_a_recorded_sex_says_so(open_desk: Callable[..., Desk]) -> None:
    resources = [person(gender=None), lab(CREATININE, 2.1, "mg/dL"), lab(UACR, 310, "mg/g")]
    card = open_desk(service={"show_out_of_domain": True}).card(resources)
    assert card["summary"] == "Kidney failure risk not calculated: sex is not recorded as male or female."
    assert "not stated" in card["detail"]
    assert "not precise" not in card["detail"]
