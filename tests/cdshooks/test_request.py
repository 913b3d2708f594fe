"""CDS Hooks, section C: which calls are accepted."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.cdshooks.broken import beside
from tests.cdshooks.charts import ID, Json, kidney
from tests.cdshooks.desk import Desk, outcome, site, without
from tests.cdshooks.test_discovery import silent

TOKEN: Json = {
    "access_token": "canary-token",
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "patient/*.read",
    "subject": "bedside",
}
SERVER = "https://ehr.example/fhir"


@pytest.mark.parametrize("member", ["hook", "hookInstance", "context"])
@pytest.mark.parametrize("how", ["absent", "null", "empty"])
def test_c27_a_required_member_that_is_missing_is_named(desk: Desk, lenient: Desk, member: str, how: str) -> None:
    for server in (desk, lenient):
        call = server.call(kidney())
        changed = without(call) | {member: None if how == "null" else {} if member == "context" else ""}
        if how == "absent":
            del changed[member]
        response = server.post(changed)
        assert response.status_code == 400
        assert outcome(response)["expression"][0].startswith(member)


@pytest.mark.parametrize("hook", ["order-sign", "Patient-View", "patient-view ", "*", "appointment-book"])
def test_c28_a_hook_that_is_not_advertised_gets_400(desk: Desk, hook: str) -> None:
    response = desk.post(desk.call(kidney()) | {"hook": hook})
    assert (response.status_code, outcome(response)["expression"]) == (400, ["hook"])


@pytest.mark.parametrize(
    ("instance", "strict"),
    [
        ("d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", 200),
        ("D1577C69-DFBE-44AD-BA6D-3E05E953B2EA", 200),
        ("urn:uuid:d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", 200),
        ("test", 400),
        ("d1577c69dfbe44adba6d3e05e953b2ea", 400),
        ("d1577c69-dfbe-44ad-ba6d-3e05e953b2ea\n", 400),
        ("{d1577c69-dfbe-44ad-ba6d-3e05e953b2ea}", 400),
    ],
)
def test_c29_hook_instance_is_a_uuid(desk: Desk, lenient: Desk, instance: str, strict: int) -> None:
    assert desk.post(desk.call(kidney()) | {"hookInstance": instance}).status_code == strict
    assert lenient.post(lenient.call(kidney()) | {"hookInstance": instance}).status_code == 200
    assert lenient.post(lenient.call(kidney()) | {"hookInstance": 7}).status_code == 400


def test_c30_a_repeated_call_has_the_same_ids(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(beside(site(), silent))
    call = desk.call(kidney())
    first, again = desk.post(call), desk.post(call)
    assert first.content == again.content
    assert [a.repeats for a in desk.answers()] == [1]
    assert desk.post(call, "/cds-services/silent").status_code == 200
    assert len(desk.answers()) == 2


def test_c31_a_token_needs_a_server(desk: Desk) -> None:
    response = desk.post(desk.call(kidney()) | {"fhirAuthorization": TOKEN})
    assert (response.status_code, outcome(response)["expression"]) == (400, ["fhirServer"])


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"token_type": "bearer"}, 200),
        ({"token_type": "Basic"}, 400),
        ({"expires_in": "300"}, 400),
        ({"expires_in": 1.5}, 400),
        ({"expires_in": True}, 400),
        ({"access_token": None}, 400),
        ({"scope": 1}, 400),
        ({"subject": None}, 400),
        ({"patient": ID}, 200),
        ({"patient": 1}, 400),
        ({"extra": {}}, 200),
    ],
)
def test_c33_the_token_has_its_members(desk: Desk, change: Json, status: int) -> None:
    call = desk.call(kidney()) | {"fhirServer": SERVER, "fhirAuthorization": TOKEN | change}
    response = desk.post(call)
    assert response.status_code == status
    if status == 400:
        assert outcome(response)["expression"][0].startswith("fhirAuthorization")


@pytest.mark.parametrize("member", ["access_token", "token_type", "expires_in", "scope", "subject"])
def test_c33_a_member_of_the_token_that_is_missing_is_refused(desk: Desk, member: str) -> None:
    token = {name: value for name, value in TOKEN.items() if name != member}
    assert desk.post(desk.call(kidney()) | {"fhirServer": SERVER, "fhirAuthorization": token}).status_code == 400


@pytest.mark.parametrize(
    "change", [{"fhirAuthorization": None}, {"fhirServer": None}, {"fhirServer": None, "fhirAuthorization": None}]
)
def test_c33_null_is_absent_in_lenient_mode_only(desk: Desk, lenient: Desk, change: Json) -> None:
    assert desk.post(desk.call(kidney()) | change).status_code == 400
    assert lenient.post(lenient.call(kidney()) | change).status_code == 200
    context = {"encounterId": None}
    assert desk.post(desk.call(kidney(), context=context)).status_code == 400
    assert lenient.post(lenient.call(kidney(), context=context)).status_code == 200


def test_c34_the_tokens_patient_is_the_contexts(desk: Desk) -> None:
    call = desk.call(kidney()) | {"fhirServer": SERVER, "fhirAuthorization": TOKEN | {"patient": "p2"}}
    response = desk.post(call)
    assert (response.status_code, outcome(response)["code"]) == (412, "conflict")
    assert outcome(response)["expression"] == ["fhirAuthorization.patient"]
    assert (desk.last().status, desk.last().kind) == (412, "unavailable")


BUNDLE: Json = {"resourceType": "Bundle"}


@pytest.mark.parametrize(
    ("hook", "context", "at_fault"),
    [
        ("patient-view", {}, None),
        ("patient-view", {"userId": None}, "userId"),
        ("patient-view", {"userId": ""}, "userId"),
        ("patient-view", {"userId": "doc"}, "userId"),
        ("patient-view", {"userId": "Device/1"}, "userId"),
        ("patient-view", {"userId": "Practitioner/"}, "userId"),
        ("patient-view", {"userId": "Practitioner/a b"}, "userId"),
        ("patient-view", {"userId": "https://ehr.example/Practitioner/1"}, "userId"),
        ("patient-view", {"userId": "Patient/p1"}, None),
        ("patient-view", {"userId": "RelatedPerson/r1"}, None),
        ("patient-view", {"userId": "PractitionerRole/r1"}, None),
        ("patient-view", {"userId": 7}, "userId"),
        ("patient-view", {"patientId": None}, "patientId"),
        ("patient-view", {"patientId": "Patient/p1"}, "patientId"),
        ("patient-view", {"patientId": "p1 "}, "patientId"),
        ("patient-view", {"patientId": "{{context.patientId}}"}, "patientId"),
        ("patient-view", {"patientId": "../x"}, "patientId"),
        ("patient-view", {"patientId": ["p1"]}, "patientId"),
        ("patient-view", {"encounterId": "e/1"}, "encounterId"),
        ("patient-view", {"encounterId": 1}, "encounterId"),
        ("encounter-start", {}, "encounterId"),
        ("encounter-start", {"encounterId": "e1"}, None),
        ("encounter-start", {"encounterId": "e1", "userId": "Patient/p1"}, "userId"),
        ("problem-list-item-create", {}, "conditions"),
        ("problem-list-item-create", {"conditions": []}, "conditions"),
        ("problem-list-item-create", {"conditions": {"resourceType": "Condition"}}, "conditions"),
        ("problem-list-item-create", {"conditions": BUNDLE}, None),
        ("problem-list-item-create", {"conditions": BUNDLE, "encounterId": "e1"}, None),
    ],
)
def test_c35_context_is_checked_by_its_hooks_table(desk: Desk, hook: str, context: Json, at_fault: str | None) -> None:
    call = desk.call(kidney(), hook=hook)
    call["context"] |= context
    response = desk.post(call)
    assert response.status_code == (200 if at_fault is None else 400)
    if at_fault:
        assert outcome(response)["expression"] == [f"context.{at_fault}"]


@pytest.mark.parametrize("context", [[], "x", 1, True])
def test_c35_a_context_that_is_no_object_is_refused(desk: Desk, context: Any) -> None:
    assert desk.post(desk.call(kidney()) | {"context": context}).status_code == 400


def test_c36_the_optional_members_reach_the_service(desk: Desk) -> None:
    card = desk.card(kidney(), context={"encounterId": "enc-7"})
    created = [action["resource"] for s in card["suggestions"] for action in s["actions"]]
    assert [resource["encounter"] for resource in created] == [{"reference": "Encounter/enc-7"}] * 2


@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "kfre-4",
        "KIDNEY-FAILURE-RISK",
        "%2e%2e",
        "kidney-failure-risk%00",
        "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
    ],
)
def test_c37_an_unknown_service_gets_404(desk: Desk, path: str) -> None:
    for end in ("", "/feedback"):
        response = desk.post(desk.call(kidney()), f"/cds-services/{path}{end}")
        assert (response.status_code, outcome(response)["code"]) == (404, "not-found")
