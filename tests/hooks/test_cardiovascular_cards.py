"""What a clinician reads of the cardiovascular service, over charts built for it; and when she reads nothing."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from cds.settings import read_settings
from cds.site import Site, load_site
from tests.cdshooks.charts import CREATININE, UACR, Json, condition, creatinine_for, day, lab, person
from tests.cdshooks.desk import Desk

Open = Callable[..., Desk]
SERVICE = "cardiovascular-risk"
TOTAL, HDL, SBP, BMI, HBA1C = "2093-3", "2085-9", "8480-6", "39156-5", "4548-4"
SNOMED = "http://snomed.info/sct"
NEVER, CURRENT, UNKNOWN = "266919005", "77176002", "266927001"
SAVE = "Save this risk assessment to the chart"


def site(model: Json | None = None, **service: Any) -> Site:
    services = {SERVICE: {"stage": "live", **service}}
    models = {"prevent": model or {}}
    return load_site(settings=read_settings(services=services, models=models, answer_seconds=20.0))


def smoking(code: str, ago: int = 20) -> Json:
    answer = {"coding": [{"system": SNOMED, "code": code}]}
    return lab("72166-2", None, None, ago, valueCodeableConcept=answer)


def prescription(code: str = "29046", **members: Any) -> Json:
    """Lisinopril, unless another RxNorm code is given."""
    coding = {"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": code}
    return {
        "resourceType": "MedicationRequest",
        "id": f"rx-{code}",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"coding": [coding]},
        "subject": {"reference": "Patient/p1"},
        "authoredOn": day(30),
        **members,
    }


def heart(
    *more: Json, age: int = 50, gender: str = "female", sbp: float = 160, status: str | None = NEVER, **left_out: bool
) -> list[Json]:
    """The publication's woman of 50, with diabetes and an antihypertensive drug; `hdl=False` leaves a result out."""
    resources = {
        "total": lab(TOTAL, 200, "mg/dL"),
        "hdl": lab(HDL, 45, "mg/dL"),
        "sbp": lab(SBP, sbp, "mm[Hg]"),
        "bmi": lab(BMI, 35, "kg/m2"),
        "creatinine": lab(CREATININE, creatinine_for(90, age, "female"), "mg/dL"),
    }
    kept = [resource for name, resource in resources.items() if left_out.get(name, True)]
    told = [smoking(status)] if status else []
    return [person(age, gender), *kept, *told, condition("44054006"), prescription(), *more]


def answered(desk: Desk, resources: Iterable[Json]) -> list[Json]:
    response = desk.post(desk.call(resources), f"/cds-services/{SERVICE}")
    assert response.status_code == 200, response.text
    cards: list[Json] = response.json()["cards"]
    return cards


def labels(card: Json) -> list[str]:
    return [suggestion["label"] for suggestion in card.get("suggestions", [])]


def test_without_a_percentage_of_the_site_there_is_no_card(open_desk: Open) -> None:
    desk = open_desk(site())
    assert answered(desk, heart(status=CURRENT)) == []
    assert desk.last().scores[0].estimates  # scored all the same
    assert desk.last().reason == "no-threshold"


def test_a_site_that_says_from_which_risk_on_gets_a_card_there(open_desk: Open) -> None:
    [card] = answered(open_desk(site(act_at_percent=7.5)), heart())
    assert card["summary"] == (
        "Cardiovascular risk 14.7% in 10 years, at or above this site's 7.5%. Consider a talk about prevention."
    )
    assert (card["indicator"], labels(card)) == ("info", [SAVE])
    assert card["source"]["label"] == "PREVENT equations"
    saved = card["suggestions"][0]["actions"][0]["resource"]
    assert saved["resourceType"] == "RiskAssessment"
    assert len(saved["prediction"]) == 10
    for said in (
        "**10 years: 14.7%** (about 15 in 100 people like this)",
        "| Total cardiovascular disease | 14.7% | 53.0% |",
        "| eGFR | 90 mL/min/1.73 m², CKD-EPI 2021 | 2 Nov 2026 |",
        "| Antihypertensive drug | recorded, prescribed | 23 Oct 2026 |",
        "PREVENT, base equations.",
        "| Systolic blood pressure | 160 mmHg | odds",
        "**Why:** against a woman of 55 with",
        "Of what can change, most comes from systolic blood pressure (160 mmHg)",
        "**Please note:** calculated by the PREVENT base equations",
        "**Checked, not found:** atherosclerotic cardiovascular disease, heart failure, pregnancy",
    ):
        assert said in card["detail"]
    assert "| Body mass index | 35 kg/m² | odds" not in card["detail"]  # it moves heart failure alone


@pytest.mark.parametrize(("percent", "cards"), [(14.6, 1), (14.7, 0)])
def test_the_site_s_percentage_decides(open_desk: Open, percent: float, cards: int) -> None:
    desk = open_desk(site(act_at_percent=percent))
    assert len(answered(desk, heart())) == cards
    assert cards or desk.last().reason == "below-threshold"


def test_below_it_a_card_stands_only_where_the_site_shows_low_risks(open_desk: Open) -> None:
    [card] = answered(open_desk(site(act_at_percent=20, show_low_risk=True)), heart())
    assert card["summary"] == "Cardiovascular risk 14.7% in 10 years, below this site's 20%."
    assert not {"low", "high", "moderate"} & set(card["summary"].lower().split())


def test_every_summary_is_short_and_nothing_is_a_warning(open_desk: Open) -> None:
    desk = open_desk(site(act_at_percent=0.01, ask_for_missing=True, show_out_of_domain=True))
    for resources in (
        heart(),
        heart(sbp=260),
        heart(total=False),
        heart(status=None),
        heart(condition("22298006")),
        heart(lab(TOTAL, 200, "an uncommonly long unit that nobody knows", ago=1)),
    ):
        [card] = answered(desk, resources)
        assert len(card["summary"]) < 140
        assert card["indicator"] == "info"


ASKED = [
    (heart(total=False), "no total cholesterol in the last 5 years", ["Order a total cholesterol"]),
    (
        heart(hdl=False, creatinine=False),
        "no HDL cholesterol in the last 5 years",
        ["Order an HDL cholesterol", "Order a serum creatinine"],
    ),
    (heart(creatinine=False), "no creatinine or eGFR in the last 12 months", ["Order a serum creatinine"]),
    (heart(sbp=160, status=None), "smoking status is not recorded; ask", []),
    (heart(status=UNKNOWN), "smoking status is recorded as unknown; ask", []),
    (heart(bmi=False), "no body mass index in the last 24 months", []),
]


@pytest.mark.parametrize(("resources", "said", "offered"), ASKED, ids=[said for _, said, _ in ASKED])
def test_what_is_missing_is_asked_for_where_the_site_wants_it(
    open_desk: Open, resources: list[Json], said: str, offered: list[str]
) -> None:
    [card] = answered(open_desk(site(ask_for_missing=True)), resources)
    assert card["summary"] == f"Cardiovascular risk not calculated: {said}."
    assert labels(card) == offered
    assert "Nothing was estimated." in card["detail"]
    assert answered(open_desk(site(act_at_percent=7.5)), resources) == []


OUTSIDE = [
    (heart(condition("22298006")), "atherosclerotic cardiovascular disease recorded"),
    (heart(condition("84114007")), "heart failure recorded"),
    (heart(age=29), "age 29: the equations are for 30 to 79 years"),
    (heart(sbp=210), "systolic blood pressure 210 mmHg: the equations are for 90 to 200 mmHg"),
]


@pytest.mark.parametrize(("resources", "said"), OUTSIDE, ids=[said for _, said in OUTSIDE])
def test_people_for_whom_the_equations_are_not_are_left_in_peace(
    open_desk: Open, resources: list[Json], said: str
) -> None:
    desk = open_desk(site(act_at_percent=1, ask_for_missing=True))
    assert answered(desk, resources) == []
    [card] = answered(open_desk(site(show_out_of_domain=True)), resources)
    assert card["summary"].startswith(f"Cardiovascular risk does not apply: {said}")
    assert labels(card) == []


def test_the_richest_equations_are_named_on_the_card(open_desk: Open) -> None:
    desk = open_desk(site(act_at_percent=1))
    [card] = answered(desk, heart(lab(UACR, 40, "mg/g"), lab(HBA1C, 9.2, "%")))
    assert "PREVENT, full equations." in card["detail"]
    assert "social deprivation index is not known: the equations have a term for that" in card["detail"]
    [card] = answered(desk, heart(lab(UACR, 40, None)))
    assert "PREVENT, base equations." in card["detail"]
    assert "has a unit that is not accepted, or none and was not used" in card["detail"]


def test_a_site_that_sends_deciles_gets_the_equations_for_them(open_desk: Open) -> None:
    decile = lab("sdi_decile", None, None, valueInteger=9)
    decile["code"] = {"coding": [{"system": "urn:bedside:feature", "code": "sdi_decile"}]}
    silent = open_desk(site(act_at_percent=1))
    [card] = answered(silent, heart(decile))
    assert "PREVENT, base equations." in card["detail"]
    asked = open_desk(site({"social_deprivation": True}, act_at_percent=1))
    [card] = answered(asked, heart(decile))
    assert "PREVENT, equations with social deprivation." in card["detail"]


def test_the_unit_of_a_text_from_the_chart_is_made_harmless(open_desk: Open) -> None:
    desk = open_desk(site(ask_for_missing=True))
    [card] = answered(desk, heart(lab(TOTAL, 200, "<img src=x>|[a](http://b)", ago=1)))
    assert "\\<img" in card["detail"]
    assert re.search(r"(?<!\\)(?:[<\[]|\]\(http)", card["detail"]) is None


def test_a_drug_that_is_on_hold_leaves_the_number_open(open_desk: Open) -> None:
    held = [one for one in heart() if one["resourceType"] != "MedicationRequest"] + [prescription(status="on-hold")]
    desk = open_desk(site(act_at_percent=1))
    assert answered(desk, held) == []
    assert desk.last().scores[0].reason == "antihypertensive-not-stated"
    untreated = [one for one in heart() if one["resourceType"] != "MedicationRequest"]
    [card] = answered(desk, untreated)
    assert card["summary"].startswith("Cardiovascular risk 12.2% in 10 years")
