"""Who should be seen by nephrology first: the group of each patient, the unscored before all, and when to be silent."""

from collections.abc import Callable
from typing import Any

import pytest

from cds.settings import read_settings
from cds.site import load_site
from tests.cdshooks.charts import CREATININE, ID, Json, condition, kidney, lab, person
from tests.cdshooks.desk import Desk, outcome

SERVICE = "appointment-kidney"
PATH = f"/cds-services/{SERVICE}"


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    settings = read_settings(
        services={SERVICE: {"stage": "live"}}, models={"kfre": {"region": "north-america"}}, answer_seconds=20.0
    )
    return open_desk(load_site(settings=settings))


def booking(of: str = ID, **members: Any) -> Json:
    appointment = {
        "resourceType": "Appointment",
        "id": "a1",
        "status": "proposed",
        "participant": [
            {"actor": {"reference": f"Patient/{of}"}, "status": "tentative"},
            {"actor": {"reference": "Practitioner/doc"}, "status": "tentative"},
        ],
        **members,
    }
    appointments = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": appointment}]}
    return {"hook": "appointment-book", "context": {"appointments": appointments}}


def card(desk: Desk, resources: list[Json]) -> Json:
    response = desk.post(desk.call(resources, **booking()), PATH)
    assert response.status_code == 200, response.text
    cards = response.json()["cards"]
    assert len(cards) <= 1
    return cards[0] if cards else {}


SAID = [
    (
        "above 40%",
        kidney(16, 1400, age=58),
        "warning",
        "Second group for a nephrology appointment: kidney failure risk 59.3% in 2 years, above 40%.",
    ),
    (
        "above 10%",
        kidney(20, 900, age=64),
        "info",
        "Third group for a nephrology appointment: kidney failure risk 33.8% in 2 years, above 10%.",
    ),
    (
        "above 5% in 5 years",
        kidney(34, 310),
        "info",
        "Fourth group for a nephrology appointment: kidney failure risk 15.4% in 5 years, above 5%.",
    ),
    (
        "no urine albumin",
        kidney(34, None),
        "warning",
        (
            "First for nephrology: kidney failure risk not calculated: "
            "no urine albumin-creatinine ratio in the last 24 months."
        ),
    ),
    (
        "a rise",
        [person(), lab(CREATININE, 3.2, "mg/dL", 10), lab(CREATININE, 1.5, "mg/dL", 100), lab("9318-7", 100, "mg/g")],
        "warning",
        "First for nephrology: creatinine up from 1.5 to 3.2 mg/dL: repeat now; kidney failure risk not calculated.",
    ),
    (
        "a diagnosis, and no creatinine",
        [person(), condition("433144002"), lab("9318-7", 100, "mg/g")],
        "warning",
        "First for nephrology: kidney failure risk not calculated: no creatinine or eGFR in the last 12 months.",
    ),
]


@pytest.mark.parametrize(("resources", "indicator", "summary"), [s[1:] for s in SAID], ids=[s[0] for s in SAID])
def test_the_group_of_a_patient(desk: Desk, resources: list[Json], indicator: str, summary: str) -> None:
    found = card(desk, resources)
    assert (found["summary"], found["indicator"]) == (summary, indicator)
    assert len(summary) < 140
    assert "The groups are an order, not a waiting time" in found["detail"]
    assert "suggestions" not in found


@pytest.mark.parametrize(
    ("resources", "why"),
    [
        (kidney(48, 45, age=68, sex="female"), "low-risk"),
        (kidney(80, 10, chronic=False), "egfr-60-or-above"),
        ([person()], "egfr-never-recorded"),
        (kidney(34, 310, condition("Z94.0", "http://hl7.org/fhir/sid/icd-10-cm")), "kidney-transplant"),
        (kidney(16, 1400, condition("Z51.5", "http://hl7.org/fhir/sid/icd-10-cm", ago=20)), "palliative-care"),
        (kidney(34, None, condition("Z51.5", "http://hl7.org/fhir/sid/icd-10-cm", ago=20)), "palliative-care"),
    ],
)
def test_silence_with_its_reason(desk: Desk, resources: list[Json], why: str) -> None:
    assert card(desk, resources) == {}
    assert desk.last().reason == why


def test_an_appointment_of_another_patient_refuses_the_call(desk: Desk) -> None:
    response = desk.post(desk.call(kidney(34, 310), **booking("somebody-else")), PATH)
    assert response.status_code == 412
    assert outcome(response)["code"] == "conflict"


URN = "urn:uuid:0f3cf2d6-5c5b-4c0e-9d64-1d9a51b4c0de"
DEFINITION = "http://hl7.org/fhir/StructureDefinition/"


def among(*actors: Json) -> Json:
    return booking(participant=[{"actor": actor, "status": "tentative"} for actor in actors])


@pytest.mark.parametrize(
    "actors",
    [
        [{"identifier": {"value": "1"}, "type": "Patient"}],
        [{"identifier": {"value": "1"}, "type": f"{DEFINITION}Patient"}],
        [{"identifier": {"value": "1"}}],
        [{"reference": URN, "type": "Patient"}],
        [{"reference": URN}],
        [{"reference": f"Patient/{ID}"}, {"reference": URN, "type": "Patient"}],
        [{"reference": f"Patient/{ID}"}, {"identifier": {"value": "1"}, "type": "Patient"}],
    ],
    ids=["identifier", "by definition", "identifier alone", "urn", "urn alone", "a second urn", "a second identifier"],
)
def test_a_participant_who_is_not_surely_this_patient_refuses_the_call(desk: Desk, actors: list[Json]) -> None:
    response = desk.post(desk.call(kidney(34, 310), **among(*actors)), PATH)
    assert response.status_code == 412
    assert outcome(response)["code"] == "conflict"


@pytest.mark.parametrize(
    "actors",
    [
        [{"reference": f"Patient/{ID}", "type": "Patient"}, {"identifier": {"value": "1"}, "type": "Practitioner"}],
        [{"reference": f"Patient/{ID}"}, {"identifier": {"value": "1"}}, {"reference": URN}],
        [{"reference": f"urn:uuid:{ID}", "type": "Patient"}, {"reference": URN, "type": f"{DEFINITION}Location"}],
        [{"reference": URN, "type": "Practitioner"}, {"identifier": {"value": "1"}, "type": "Location"}],
        [{"display": "to be announced"}],
    ],
    ids=["typed staff", "staff beside the patient", "urn", "no patient yet", "no name"],
)
def test_other_participants_are_nobodys_patient(desk: Desk, actors: list[Json]) -> None:
    assert desk.post(desk.call(kidney(34, 310), **among(*actors)), PATH).status_code == 200


@pytest.mark.parametrize(("who", "status"), [("somebody-else", 412), (ID, 200)], ids=["another", "this"])
def test_a_patient_in_the_bundle_is_this_one(desk: Desk, who: str, status: int) -> None:
    call = booking()
    call["context"]["appointments"]["entry"].append({"resource": person(of=who)})
    assert desk.post(desk.call(kidney(34, 310), **call), PATH).status_code == status
