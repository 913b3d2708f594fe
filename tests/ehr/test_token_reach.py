"""A token of the demo's EHR opens its patient's chart as far as its scopes reach, and nothing else."""

import pytest

from tests.ehr.standalone import PATIENT, Standalone, Visit, granted


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"Patient/{PATIENT}", 200),
        ("Patient/high-58m", 403),
        (f"Observation?patient={PATIENT}", 200),
        (f"Condition?patient={PATIENT}", 403),
        ("Practitioner/demo-clinician", 200),
    ],
)
def test_a_token_reaches_its_patient_and_its_scopes(ehr: Standalone, path: str, status: int) -> None:
    assert ehr.get(path, granted(Visit(ehr))["access_token"]).status_code == status


def test_a_search_for_another_patient_finds_nothing(ehr: Standalone) -> None:
    token = granted(Visit(ehr))["access_token"]
    assert ehr.get("Observation?patient=high-58m", token).json()["total"] == 0
    everyone = ehr.get("Observation", token).json()["entry"]
    assert {entry["resource"]["subject"]["reference"] for entry in everyone} == {f"Patient/{PATIENT}"}


def test_a_scope_with_a_category_opens_only_that(ehr: Standalone) -> None:
    category = "http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
    token = granted(Visit(ehr), scope=f"launch patient/Observation.rs?category={category}")["access_token"]
    found = ehr.get("Observation", token).json()["entry"]
    assert {entry["resource"]["category"][0]["coding"][0]["code"] for entry in found} == {"laboratory"}


def test_a_token_ends_with_its_time_and_a_made_up_one_never_counts(ehr: Standalone) -> None:
    token = granted(Visit(ehr))["access_token"]
    ehr.clock.move(3601)
    answer = ehr.get(f"Patient/{PATIENT}", token)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert ehr.get(f"Patient/{PATIENT}", "made-up").status_code == 401


def test_an_assessment_is_created_only_with_the_scope_and_for_the_patient(ehr: Standalone) -> None:
    def create(token: str, patient: str) -> int:
        risk = {"resourceType": "RiskAssessment", "status": "final", "subject": {"reference": f"Patient/{patient}"}}
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}
        return ehr.http.post(f"{ehr.fhir_base}/RiskAssessment", json=risk, headers=headers).status_code

    reader = granted(Visit(ehr))["access_token"]
    writer = granted(Visit(ehr), scope="launch patient/RiskAssessment.c")["access_token"]
    assert [create(reader, PATIENT), create(writer, PATIENT), create(writer, "high-58m")] == [403, 201, 403]
