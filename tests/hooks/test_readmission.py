"""What is read at a discharge of LACE and of the HOSPITAL score: high, hanging on an answer, or nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from cds.errors import SiteError
from hooks._readmission_cards import HIGH
from tests.cdshooks.charts import Json, condition, lab, person, request
from tests.cdshooks.desk import Desk, without
from tests.cdshooks.wards import admissions, admitted, at, emergency_visits, encounter, operation, ward_desk

Open = Callable[..., Desk]
SERVICE = "readmission"
CM = "http://hl7.org/fhir/sid/icd-10-cm"
FAILING, DEMENTED = condition("I50.9", CM), condition("G30.9", CM)


@pytest.fixture
def ward(open_desk: Open) -> Desk:
    return ward_desk(open_desk, SERVICE)


def templates(desk: Desk) -> Json:
    found: Json = next(s["prefetch"] for s in desk.services() if s["id"] == SERVICE)
    return found


def card(desk: Desk, *resources: Json, of: str = "now", age: int = 64, **members: Any) -> Json:
    call = request(
        [person(age), *resources],
        templates(desk),
        hook="encounter-discharge",
        context={"encounterId": of},
        **members,
    )
    response = desk.post(call, path=f"/cds-services/{SERVICE}")
    assert response.status_code == 200, response.text
    cards = response.json()["cards"]
    assert len(cards) <= 1
    return cards[0] if cards else {}


def blood(hemoglobin: float = 13, sodium: float = 140) -> list[Json]:
    return [lab("718-7", hemoglobin, "g/dL", ago=1), lab("2951-2", sodium, "mmol/L", ago=1)]


def test_a_high_lace(ward: Desk) -> None:
    said = card(ward, admitted(8), FAILING, DEMENTED)  # 5 + 3 + 5
    assert said["summary"] == "LACE is 13: high risk of readmission. Consider early follow-up after discharge."
    assert said["indicator"] == "info"
    assert "| Comorbidity | heart failure 2, dementia 3 | 5 |" in said["detail"]
    assert "HOSPITAL not calculated: no usable hemoglobin of this stay" in said["detail"]


def test_only_a_high_score_proposes_early_follow_up(open_desk: Open) -> None:
    desk = ward_desk(open_desk, SERVICE, show_low_risk=True, ask_for_missing=True)
    low = card(desk, admitted(3))
    assert low["summary"] == "LACE is 6, below 10."
    assert "follow-up" not in low["detail"]
    hanging = card(desk, admitted(6, priority=None), FAILING, DEMENTED)
    assert hanging["summary"].endswith("answer what is asked.")
    assert "**Consider:** answer what is asked; early follow-up if the score is then high." in hanging["detail"]
    assert "arrange early follow-up" in card(desk, admitted(8), FAILING, DEMENTED)["detail"]


def test_silence_below(ward: Desk) -> None:
    assert card(ward, admitted(3)) == {}  # 3 + 3
    assert card(ward, admitted(6), *emergency_visits(2)) == {}  # 4 + 3 + 2
    assert card(ward, admitted(6), *emergency_visits(3))["summary"].startswith("LACE is 10: high risk")


def test_the_emergency_visit_of_this_admission_does_not_count(ward: Desk) -> None:
    by_ambulance = encounter("ed", "EMER", at(days=6, hours=5), at(days=6, hours=1))
    assert card(ward, admitted(6), by_ambulance, *emergency_visits(2)) == {}


def test_what_charts_do_not_code_makes_no_card_by_itself(ward: Desk) -> None:
    assert card(ward, admitted(8, priority=None), FAILING) == {}  # 5 + 2, and 3 if it was acute
    assert ward.last().reason == "ask"
    sure = card(ward, admitted(8, priority=None), DEMENTED, FAILING)
    assert sure["summary"].startswith("LACE is at least 10: high risk")
    assert "was this admission acute? It may add 3 points." in sure["detail"]
    assert "| Acute admission | not recorded | not known |" in sure["detail"]
    assert "suggestions" not in sure


@pytest.mark.parametrize("low", [False, True], ids=["asks", "asks-and-shows-low"])
def test_acuity_is_asked_for_when_it_decides_and_the_site_wants_it(open_desk: Open, low: bool) -> None:
    asking = ward_desk(open_desk, SERVICE, ask_for_missing=True, show_low_risk=low)
    said = card(asking, admitted(8, priority=None), FAILING)
    assert said["summary"] == "LACE is 7 to 10, high from 10: answer what is asked."
    assert "was this admission acute?" in said["detail"]
    assert "suggestions" not in said
    never = card(asking, admitted(3, priority=None))  # it would not decide
    assert never.get("summary") == ("LACE is at least 3, below 10." if low else None)


def test_a_score_that_hangs_on_an_answer_is_never_shown_as_low(open_desk: Open) -> None:
    shown = ward_desk(open_desk, SERVICE, show_low_risk=True)
    assert card(shown, admitted(8, priority=None), FAILING) == {}


def test_both_scores_share_one_card(ward: Desk) -> None:
    resources = [admitted(8, service="OMED"), DEMENTED, FAILING, *blood(9, 130), operation(), *admissions(2)]
    said = card(ward, *resources)
    assert said["summary"] == (
        "LACE is 13 and HOSPITAL is 10: high risk of readmission. Consider early follow-up after discharge."
    )
    (suggestion,) = said["suggestions"]
    assert len(suggestion["actions"]) == 2
    assert "UNVERIFIED" in said["detail"]


def test_the_items_that_charts_do_not_code_are_asked_for(ward: Desk) -> None:
    said = card(ward, admitted(6), *blood(9, 130), *admissions(2))  # 1 + 1 + 1 + 2 + 2, oncology and procedure open
    assert said["summary"].startswith("HOSPITAL is at least 7: high risk")
    assert "discharged from an oncology service? any procedure in this stay?" in said["detail"]
    assert [s.model for s in ward.last().scores] == ["lace", "hospital"]


@pytest.mark.parametrize(
    ("of", "stay"), [("clinic", encounter("clinic", "AMB", at(hours=2))), ("nowhere", admitted(8))]
)
def test_no_stay_no_card(ward: Desk, of: str, stay: Json) -> None:
    assert card(ward, stay, FAILING, DEMENTED, of=of) == {}
    assert ward.last().reason == "no-inpatient-stay"


def test_the_card_says_from_where_a_score_is_high_as_the_models_card_does(ward: Desk) -> None:
    models = ward.site.models
    assert {name: models[name].thresholds[0].at_least for name in ("lace", "hospital")} == HIGH


@pytest.mark.parametrize("key", ["encounters", "conditions"])
def test_what_was_not_read_is_not_none(ward: Desk, key: str) -> None:
    call = request([person(), admitted(8)], templates(ward), hook="encounter-discharge", context={"encounterId": "now"})
    assert ward.post(without(call, key), path=f"/cds-services/{SERVICE}").status_code == 412


def test_the_context_needs_its_encounter(ward: Desk) -> None:
    call = request([person(), admitted(8)], templates(ward), hook="encounter-discharge")
    assert ward.post(call, path=f"/cds-services/{SERVICE}").status_code == 400


def test_a_low_score_is_shown_where_a_site_asks_for_it(open_desk: Open) -> None:
    shown = ward_desk(open_desk, SERVICE, show_low_risk=True)
    assert card(shown, admitted(3))["summary"] == "LACE is 6, below 10."


def breaks(*_: Any) -> Any:
    raise ZeroDivisionError


def test_a_score_that_fails_is_named_and_does_not_silence_the_other(
    ward: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ward.site.models["hospital"], "refuse", breaks)
    said = card(ward, admitted(8), FAILING, DEMENTED)
    assert said["summary"].startswith("LACE is 13: high risk")
    assert "the model hospital failed and is not shown" in said["detail"]
    monkeypatch.setattr(ward.site.models["lace"], "refuse", breaks)
    call = request([person(), admitted(8)], templates(ward), hook="encounter-discharge", context={"encounterId": "now"})
    assert ward.post(call, path=f"/cds-services/{SERVICE}").status_code == 500


def refuses(*_: Any) -> Any:
    raise SiteError("the file of a model is not the one on its card")


@pytest.mark.parametrize(("where", "fault"), [("read", breaks), ("refuse", breaks), ("refuse", refuses)])
def test_one_models_inputs_or_file_do_not_silence_the_other(
    ward: Desk, monkeypatch: pytest.MonkeyPatch, where: str, fault: Callable[..., Any]
) -> None:
    hospital = ward.site.models["hospital"]
    if where == "read":
        monkeypatch.setattr(hospital, "predictors", type("Broken", (hospital.predictors,), {"read": fault}))
    else:
        monkeypatch.setattr(hospital, where, fault)
    said = card(ward, admitted(8), FAILING, DEMENTED)
    assert said["summary"].startswith("LACE is 13: high risk")
    assert "the model hospital failed and is not shown" in said["detail"]
    assert [s.reason for s in ward.last().scores] == [None, "model-failed"]
