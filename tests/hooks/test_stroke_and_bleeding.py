"""What a clinician reads in atrial fibrillation: a card when anticoagulation may be due and none is recorded."""

from typing import Any

import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment

from cds import SUMMARY_LIMIT
from tests.cdshooks.desk import Desk
from tests.charts import Json, ago, creatinine
from tests.hooks.score_desk import Open, card, post, served
from tests.models.score_charts import (
    AF,
    APIXABAN,
    IBUPROFEN,
    NO,
    WARFARIN,
    aged,
    answer,
    diagnosed,
    pressure,
    taking,
)

SERVICE = "stroke-and-bleeding"
IN_AF, HYPERTENSION, STROKE = diagnosed(AF), diagnosed("icd10cm|I10"), diagnosed("icd10cm|I63.9")
BLEEDING = (pressure(170), creatinine(1.0, ago(10)), answer("alcohol_8_drinks_a_week", NO), taking(IBUPROFEN))


@pytest.fixture
def desk(open_desk: Open) -> Desk:
    return open_desk(served(SERVICE))


@pytest.mark.parametrize(
    ("resources", "score", "due"),
    [
        ((aged(60), IN_AF, HYPERTENSION), "CHA2DS2-VA 1", "should be considered"),
        ((aged(80), IN_AF, HYPERTENSION, STROKE), "CHA2DS2-VA 5", "is recommended"),
    ],
    ids=["considered", "recommended"],
)
def test_what_is_said(desk: Desk, resources: tuple[Json, ...], score: str, due: str) -> None:
    said = card(desk, SERVICE, *resources)
    then = f"anticoagulation {due}, and no current anticoagulant is recorded."
    assert said["summary"] == f"{score} in atrial fibrillation: {then}"
    assert len(said["summary"]) < SUMMARY_LIMIT
    assert said["indicator"] == "info"
    assert "2024 ESC" in said["detail"]


@pytest.mark.parametrize(
    "resources",
    [
        (aged(60), IN_AF),
        (aged(80), HYPERTENSION, STROKE),
        (aged(80), IN_AF, STROKE, taking(APIXABAN)),
        (aged(80), IN_AF, STROKE, taking(WARFARIN)),
        (aged(17), IN_AF, STROKE),
        (aged(80), diagnosed(AF, clinical="resolved"), STROKE),
    ],
    ids=["no-points", "no-fibrillation", "apixaban", "warfarin", "a-child", "resolved"],
)
def test_silence(desk: Desk, resources: tuple[Json, ...]) -> None:
    assert card(desk, SERVICE, *resources) == {}
    assert desk.last().reason


def test_an_anticoagulant_that_was_stopped_does_not_silence(desk: Desk) -> None:
    assert card(desk, SERVICE, aged(80), IN_AF, taking(APIXABAN, status="stopped"))


def test_an_anticoagulant_on_hold_is_told(desk: Desk) -> None:
    said = card(desk, SERVICE, aged(80), IN_AF, taking(APIXABAN, status="on-hold"))
    assert "no current anticoagulant" in said["summary"]
    assert "not known to be taken now (on-hold 1364430" in said["detail"].replace("\\", "")


def test_has_bled_stands_beside_it_and_withholds_nothing(desk: Desk) -> None:
    said = card(desk, SERVICE, aged(80), IN_AF, STROKE, *BLEEDING)
    assert "anticoagulation is recommended" in said["summary"]
    assert "**HAS-BLED 4 points (high)**" in said["detail"]
    assert "never by itself a reason to withhold" in said["detail"]
    assert len(said["suggestions"][0]["actions"]) == 2


def test_what_has_bled_lacks_is_asked_for(desk: Desk) -> None:
    said = card(desk, SERVICE, aged(80), IN_AF, STROKE)
    assert "HAS-BLED is not calculated: ask about" in said["detail"]
    assert "8 or more alcoholic drinks a week" in said["detail"]
    assert len(said["suggestions"][0]["actions"]) == 1


def test_every_item_stands_in_the_detail(desk: Desk) -> None:
    detail = card(desk, SERVICE, aged(80), IN_AF, STROKE)["detail"]
    for item in ("Heart failure", "Hypertension", "Age", "Diabetes", "Stroke", "Vascular disease"):
        assert item in detail


def test_what_is_saved_is_valid_fhir(desk: Desk) -> None:
    said = card(desk, SERVICE, aged(80), IN_AF, STROKE, *BLEEDING)
    for action in said["suggestions"][0]["actions"]:
        RiskAssessment.model_validate(action["resource"])
        assert "probabilityDecimal" not in action["resource"]["prediction"][0]


@pytest.mark.parametrize(
    ("gender", "expected"), [("female", {}), ("male", "CHA2DS2-VASc 2"), ("other", {})], ids=["woman", "man", "unknown"]
)
def test_a_site_may_show_the_older_score(open_desk: Open, gender: str, expected: Any) -> None:
    older = open_desk(served(SERVICE, score="cha2ds2-vasc"))
    held = (HYPERTENSION, diagnosed("icd10cm|E11.9")) if gender == "male" else (HYPERTENSION,)
    said = card(older, SERVICE, aged(60, gender), IN_AF, *held)
    assert said == expected if expected == {} else said["summary"].startswith(expected)


def breaks(*_: Any) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("broken", "shown"),
    [("has-bled", "CHA2DS2-VA 5"), ("cha2ds2-va", "CHA2DS2-VASc 6"), ("cha2ds2-vasc", "CHA2DS2-VA 5")],
)
def test_a_model_that_fails_is_named_and_silences_no_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, broken: str, shown: str
) -> None:
    monkeypatch.setattr(desk.site.models[broken], "items", breaks)
    said = card(desk, SERVICE, aged(80), IN_AF, HYPERTENSION, STROKE)
    assert said["summary"].startswith(shown)
    assert f"the model {broken} failed and is not shown" in said["detail"].replace("\\", "")


def test_without_a_stroke_score_there_is_an_error_and_no_bleeding_card(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in ("cha2ds2-va", "cha2ds2-vasc"):
        monkeypatch.setattr(desk.site.models[model], "items", breaks)
    response = post(desk, SERVICE, aged(80), IN_AF, *BLEEDING)
    assert response.status_code == 500


def test_a_site_may_see_a_low_score_and_nothing_is_proposed(open_desk: Open) -> None:
    low = card(open_desk(served(SERVICE, show_low_risk=True)), SERVICE, aged(60), IN_AF)
    assert low["summary"].startswith("CHA2DS2-VA 0 points")
    assert low["summary"].endswith("nothing in this score calls for action.")
    assert "Consider" not in low["detail"]


def test_where_the_ehr_saves_by_itself_nothing_is_offered_to_save(open_desk: Open) -> None:
    said = post(open_desk(served(SERVICE, system_action=True)), SERVICE, aged(80), IN_AF, STROKE, *BLEEDING).json()
    assert "suggestions" not in said["cards"][0]
    assert [a["resource"]["resourceType"] for a in said["systemActions"]] == ["RiskAssessment"] * 2
