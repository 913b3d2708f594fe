"""What a nurse or doctor reads of NEWS2: when it speaks, how urgently, and what it never takes as normal."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.cdshooks.charts import Json, condition, person, request
from tests.cdshooks.desk import Desk, without
from tests.cdshooks.wards import at, coded, vital, vitals, ward_desk

Open = Callable[..., Desk]
SERVICE = "deterioration"


@pytest.fixture
def ward(open_desk: Open) -> Desk:
    return ward_desk(open_desk, SERVICE)


def templates(desk: Desk) -> Json:
    found: Json = next(s["prefetch"] for s in desk.services() if s["id"] == SERVICE)
    return found


def post(desk: Desk, resources: list[Json], **members: Any) -> Any:
    return desk.post(request(resources, templates(desk), **members), path=f"/cds-services/{SERVICE}")


def card(desk: Desk, *resources: Json, age: int = 64, **members: Any) -> Json:
    response = post(desk, [person(age), *resources], **members)
    assert response.status_code == 200, response.text
    cards = response.json()["cards"]
    assert len(cards) <= 1
    return cards[0] if cards else {}


@pytest.mark.parametrize(
    ("values", "indicator", "summary"),
    [
        ({}, "", ""),
        ({"rr": 22, "pulse": 95, "temp": 38.5}, "", ""),  # 2 + 1 + 1
        ({"rr": 22, "pulse": 115, "temp": 38.5}, "info", "NEWS2 is 5. Urgent review by a clinician."),
        ({"rr": 22, "pulse": 115, "temp": 39.5}, "info", "NEWS2 is 6. Urgent review by a clinician."),
        (
            {"rr": 26, "pulse": 115, "temp": 39.5},
            "warning",
            "NEWS2 is 7. Emergency assessment by a critical care team.",
        ),
        ({"rr": 26}, "info", "NEWS2 is 3 (respiratory rate alone gives 3). Review by a clinician."),
        ({"gcs": 14}, "info", "NEWS2 is 3 (consciousness alone gives 3). Review by a clinician."),
        ({"spo2": 90, "flow": 2}, "info", "NEWS2 is 5. Urgent review by a clinician."),
    ],
)
def test_when_it_speaks(ward: Desk, values: dict[str, float], indicator: str, summary: str) -> None:
    said = card(ward, *vitals(**values))
    assert said.get("summary", "") == summary
    assert said.get("indicator", "") == indicator
    assert len(ward.last().scores) == 1


def test_the_points_stand_on_the_card_with_the_scale_and_the_mark(ward: Desk) -> None:
    said = card(ward, *vitals(rr=26, pulse=115, temp=39.5))
    assert "| Respiratory rate | 26 /min | 3 |" in said["detail"]
    assert "| Oxygen saturation (scale 1) | 97 % | 0 |" in said["detail"]
    assert "no prescribed target of 88 to 92 % is charted" in said["detail"]
    assert "UNVERIFIED" in said["detail"]
    (suggestion,) = said["suggestions"]
    assert suggestion["actions"][0]["resource"]["resourceType"] == "RiskAssessment"
    assert "probabilityDecimal" not in suggestion["actions"][0]["resource"]["prediction"][0]


def test_the_encounter_that_starts_is_heard_too(ward: Desk) -> None:
    context = {"encounterId": "now"}
    assert card(ward, *vitals(gcs=14), hook="encounter-start", context=context)["indicator"] == "info"


@pytest.mark.parametrize("left", ["rr", "spo2", "flow", "sbp", "pulse", "gcs", "temp"])
def test_what_is_missing_is_never_normal(ward: Desk, left: str) -> None:
    assert card(ward, *vitals(left)) == {}
    assert ward.last().reason == "vitals-incomplete"


def test_an_incomplete_set_that_reaches_a_threshold_by_itself_is_not_silent(ward: Desk) -> None:
    said = card(ward, *vitals("flow", "temp", rr=26, pulse=135, sbp=95))
    assert said["summary"] == (
        "NEWS2 is at least 8, and the set is not complete. Emergency assessment by a critical care team."
    )
    assert said["indicator"] == "warning"
    missing = "oxygen or room air (never recorded), temperature (never recorded)"
    assert f"complete the set: {missing}." in said["detail"]
    assert "suggestions" not in said  # there is no score to save


def test_yesterdays_temperature_is_of_another_set(ward: Desk) -> None:
    assert card(ward, *vitals("temp", pulse=95), vital("temp", 37.0, hours=20)) == {}
    assert ward.last().reason == "vitals-incomplete"


def test_scale_2_only_where_a_clinician_chose_it(ward: Desk) -> None:
    low = vitals(spo2=89, rr=22)
    assert card(ward, *low)["summary"].startswith("NEWS2 is 5.")
    chose = {
        "resourceType": "Observation",
        "id": "scale",
        "status": "final",
        "code": coded("http://snomed.info/sct", "1104321000000108"),
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": at(hours=3),
        "valueInteger": 0,
    }
    assert card(ward, *low, chose) == {}
    assert ward.last().scores[0].estimates[0]["value"] == 2


@pytest.mark.parametrize(
    ("more", "age", "reason"),
    [
        ([], 15, "age"),
        ([condition("77386006", ago=100)], 30, "pregnancy"),
    ],
)
def test_whom_it_is_not_for(ward: Desk, more: list[Json], age: int, reason: str) -> None:
    assert card(ward, *vitals(gcs=9), *more, age=age) == {}
    assert ward.last().reason == reason


def test_conditions_that_cannot_be_had_are_not_no_pregnancy(ward: Desk) -> None:
    call = without(request([person(), *vitals(gcs=9)], templates(ward)), "conditions")
    assert ward.post(call, path=f"/cds-services/{SERVICE}").status_code == 412


def test_low_is_shown_where_a_site_asks_for_it(open_desk: Open) -> None:
    shown = ward_desk(open_desk, SERVICE, show_low_risk=True)
    assert card(shown, *vitals())["summary"] == "NEWS2 is 0. No threshold is reached."
