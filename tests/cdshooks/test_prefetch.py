"""CDS Hooks, section D: what each prefetch key says, and what is done when it says nothing."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.cdshooks.charts import CREATININE, ID, UACR, Json, condition, kidney, lab, person
from tests.cdshooks.desk import SERVICE, Desk, outcome, with_key, without
from tests.cdshooks.ehr import BASE, TOKEN, Ehr

KEYS = (
    "patient",
    "conditions",
    "procedures",
    "encounters",
    "dialysisLabs",
    "pregnancyStatus",
    "creatinine",
    "egfr",
    "uacr",
    "upcr",
)
REQUIRED = tuple(key for key in KEYS if key != "upcr")
EMPTY: Json = {"resourceType": "Bundle", "type": "searchset", "total": 0}
NEXT: Json = {"link": [{"relation": "next", "url": f"{BASE}?page=2"}]}


def failed(severity: str | None) -> Json:
    issue = {"code": "processing"} | ({"severity": severity} if severity else {})
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def entries(*resources: Json, **members: Any) -> Json:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": r} for r in resources], **members}


def can_fetch(open_desk: Callable[..., Desk], **changes: Any) -> Desk:
    return open_desk(fhir_servers=(BASE,), **changes)


def test_the_keys_are_those_that_are_tested(desk: Desk) -> None:
    needs = desk.site.services[SERVICE].needs
    assert {need.key for need in needs} == set(KEYS)
    assert {need.key for need in needs if need.required} == set(REQUIRED)


@pytest.mark.parametrize("key", KEYS)
def test_c38_each_key_is_satisfied_null_absent_or_failed(desk: Desk, key: str) -> None:
    call = desk.call(kidney())
    empty_is = {"patient": 412, "creatinine": 200, "uacr": 200}.get(key, 200)
    assert desk.post(call).status_code == 200
    assert desk.post(with_key(call, key, None)).status_code == empty_is
    assert desk.post(without(call, key)).status_code == (412 if key in REQUIRED else 200)
    assert desk.post(with_key(call, key, failed("error"))).status_code == (412 if key in REQUIRED else 200)


@pytest.mark.proves("R52", "each required key left out in turn: 1 request, the same card")
@pytest.mark.parametrize("key", REQUIRED)
def test_c39_an_absent_key_is_fetched(open_desk: Callable[..., Desk], ehr: Ehr, key: str) -> None:
    desk, resources = can_fetch(open_desk), kidney(34, 310, condition("38341003"))
    ehr.resources = resources
    call = desk.call(resources) | {"fhirServer": BASE, "fhirAuthorization": TOKEN}
    whole = desk.post(call).json()
    assert ehr.seen == []
    fetched = desk.post(without(call, key))
    assert fetched.status_code == 200
    assert fetched.json()["cards"][0]["detail"] == whole["cards"][0]["detail"]
    assert len(ehr.seen) == 1


@pytest.mark.parametrize(
    "key", ["conditions", "procedures", "encounters", "uacr", "creatinine", "dialysisLabs", "upcr"]
)
def test_c40_null_is_known_to_be_empty_and_not_asked_again(open_desk: Callable[..., Desk], ehr: Ehr, key: str) -> None:
    desk = can_fetch(open_desk)
    ehr.resources = kidney(34, 310, condition("N18.6", "http://hl7.org/fhir/sid/icd-10-cm"))
    call = with_key(desk.call(kidney()), key, None) | {"fhirServer": BASE, "fhirAuthorization": TOKEN}
    assert desk.post(call).status_code == 200
    assert ehr.seen == []


@pytest.mark.parametrize("key", ["conditions", "uacr", "creatinine"])
def test_c41_a_bundle_of_nothing_says_the_same_as_null(desk: Desk, key: str) -> None:
    call = desk.call(kidney())
    null, empty, listed = (desk.post(with_key(call, key, v)).json() for v in (None, EMPTY, EMPTY | {"entry": []}))
    assert [card.get("detail") for card in null["cards"]] == [card.get("detail") for card in empty["cards"]]
    assert [card.get("detail") for card in listed["cards"]] == [card.get("detail") for card in empty["cards"]]


@pytest.mark.parametrize(
    ("severity", "in_a_bundle", "status"),
    [
        ("error", False, 412),
        ("fatal", False, 412),
        ("warning", False, 412),
        (None, False, 412),
        ("error", True, 412),
        ("fatal", True, 412),
        ("warning", True, 200),
        ("information", True, 200),
        (None, True, 412),
    ],
)
@pytest.mark.parametrize("key", ["conditions", "creatinine", "uacr"])
def test_c42_an_operation_outcome_of_error_or_fatal_fails_a_key(
    open_desk: Callable[..., Desk], ehr: Ehr, key: str, severity: str | None, in_a_bundle: bool, status: int
) -> None:
    desk = can_fetch(open_desk)
    call = desk.call(kidney(34, 310, condition("38341003"))) | {"fhirServer": BASE, "fhirAuthorization": TOKEN}
    good = [entry["resource"] for entry in call["prefetch"][key]["entry"]]
    response = desk.post(with_key(call, key, entries(*good, failed(severity)) if in_a_bundle else failed(severity)))
    assert response.status_code == status
    assert ehr.seen == []
    if status == 412:
        assert outcome(response)["expression"] == [f"prefetch.{key}"]


def pages(key: str, *first: Json) -> Json:
    return {key: entries(*first) | NEXT}


def test_c43_one_sorted_page_suffices_for_a_latest_value(desk: Desk) -> None:
    newer, older = lab(UACR, 310, "mg/g", ago=20), lab(UACR, 30, "mg/g", ago=300)
    call = desk.call(kidney())
    assert desk.post(with_key(call, "uacr", entries(newer, older) | NEXT)).status_code == 200
    assert desk.post(with_key(call, "uacr", entries(newer, newer | {"id": "tie"}) | NEXT)).status_code == 200


@pytest.mark.parametrize("why", ["unsorted", "undated", "none counts", "empty"])
def test_c43_a_page_that_does_not_show_the_latest_value_is_incomplete(desk: Desk, why: str) -> None:
    newer, older = lab(UACR, 310, "mg/g", ago=20), lab(UACR, 30, "mg/g", ago=300)
    undated = {name: value for name, value in newer.items() if name != "effectiveDateTime"}
    page = {
        "unsorted": [older, newer],
        "undated": [undated, older],
        "empty": [],
        "none counts": [newer | {"status": "cancelled"}, older | {"status": "entered-in-error"}],
    }[why]
    response = desk.post(with_key(desk.call(kidney()), "uacr", entries(*page) | NEXT))
    assert (response.status_code, outcome(response)["expression"]) == (412, ["prefetch.uacr"])


@pytest.mark.parametrize("key", ["creatinine", "egfr", "conditions", "procedures", "encounters"])
def test_c43_a_series_follows_every_page_or_is_refused(open_desk: Callable[..., Desk], ehr: Ehr, key: str) -> None:
    desk, resources = can_fetch(open_desk), kidney()
    ehr.resources = resources
    call = desk.call(resources)
    cut = with_key(call, key, call["prefetch"][key] | {"link": [{"relation": "next", "url": f"{BASE}/{_rest(key)}"}]})
    refused = desk.post(cut)
    assert (refused.status_code, outcome(refused)["expression"]) == (412, [f"prefetch.{key}"])
    followed = desk.post(cut | {"fhirServer": BASE, "fhirAuthorization": TOKEN})
    assert followed.status_code == 200
    assert len(ehr.seen) == 1


def _rest(key: str) -> str:
    kind = {"creatinine": "Observation", "egfr": "Observation", "conditions": "Condition"}
    return f"{kind.get(key, key[:-1].capitalize())}?patient={ID}&_count=1&_offset=99"


def test_c43_what_stands_on_the_next_page_counts(open_desk: Callable[..., Desk], ehr: Ehr) -> None:
    desk = can_fetch(open_desk)
    dialysis = condition("Z99.2", "http://hl7.org/fhir/sid/icd-10-cm")
    resources = kidney(34, 310, *(condition(str(n)) for n in range(5)), dialysis)
    ehr.resources, ehr.page = resources, 2
    call = without(desk.call(resources), "conditions") | {"fhirServer": BASE, "fhirAuthorization": TOKEN}
    assert desk.post(call).json() == {"cards": []}
    assert desk.last().scores[0].reason == "dialysis"
    assert len(ehr.seen) == 3


def test_c44_what_cannot_be_had_gets_412_and_is_named(desk: Desk) -> None:
    response = desk.post(without(desk.call(kidney()), "uacr", "creatinine", "patient"))
    issue = outcome(response)
    assert (response.status_code, issue["code"], issue["severity"]) == (412, "incomplete", "error")
    assert issue["expression"] == ["prefetch.creatinine", "prefetch.patient", "prefetch.uacr"]
    assert "creatinine: absent in prefetch, and no fhirServer was sent" in issue["details"]["text"]
    assert desk.last().missing == ("creatinine", "patient", "uacr")
    nothing = desk.call(kidney()) | {"prefetch": {}}
    assert len(outcome(desk.post(nothing))["expression"]) == len(REQUIRED)
    del nothing["prefetch"]
    assert desk.post(nothing).status_code == 412


@pytest.mark.parametrize(("acr", "status"), [(310, 200), (None, 412)])
def test_c45_an_optional_key_is_missed_only_when_it_is_needed(desk: Desk, acr: float | None, status: int) -> None:
    response = desk.post(without(desk.call(kidney(34, acr)), "upcr"))
    assert response.status_code == status
    if status == 412:
        assert outcome(response)["expression"] == ["prefetch.upcr"]
        assert desk.last().missing == ("upcr",)


def test_c45_a_larger_variant_falls_back_when_its_keys_are_missing(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(service={"variant": "kfre-8"})
    call = desk.call(kidney())
    for changed in (call, without(call, "calcium", "albumin"), with_key(call, "calcium", failed("error"))):
        card = desk.post(changed).json()["cards"][0]
        assert "(4-variable" in card["source"]["label"]
        assert "the 8-variable equation needs" in card["detail"]
        assert "calcium" in card["detail"]


FOREIGN = [
    ("patient", person(of="p2")),
    ("uacr", entries(lab(UACR, 310, "mg/g", of="p2"))),
    ("uacr", entries(lab(UACR, 310, "mg/g"), lab("x-1", 1, "g", of="p2"))),
    ("creatinine", lab(CREATININE, 2, "mg/dL", of="p2")),
    ("creatinine", entries({**lab(CREATININE, 2, "mg/dL"), "subject": {"identifier": {"value": "1"}}})),
    ("creatinine", entries({k: v for k, v in lab(CREATININE, 2, "mg/dL").items() if k != "subject"})),
    ("conditions", entries(condition("1", subject={"reference": "https://other.example/fhir/Patient/p1"}))),
    ("conditions", entries(condition("1", subject={"reference": "Patient/P1"}))),
    ("conditions", entries(condition("1", subject={"reference": "Group/p1"}))),
    ("unasked", lab(UACR, 310, "mg/g", of="p2")),
    ("unasked", person(of="p2")),
    ("unasked", entries({"resourceType": "Coverage", "id": "c", "beneficiary": {"reference": "Patient/p2"}})),
]


@pytest.mark.parametrize(("key", "value"), FOREIGN)
@pytest.mark.parametrize("mode", ["strict", "lenient"])
def test_c46_anything_about_another_refuses_the_whole_call(
    open_desk: Callable[..., Desk], mode: str, key: str, value: Json
) -> None:
    desk = open_desk(lenient=mode == "lenient")
    response = desk.post(with_key(desk.call(kidney()), key, value))
    assert (response.status_code, outcome(response)["code"]) == (412, "conflict")
    assert desk.last().scores == ()
    assert "p2" not in response.text


@pytest.mark.parametrize("reference", ["Patient/p1", f"{BASE}/Patient/p1", "Patient/p1/_history/3", "urn:uuid:p1"])
def test_c46_the_same_patient_by_another_name_is_the_same(desk: Desk, reference: str) -> None:
    call = desk.call(kidney()) | {"fhirServer": BASE}
    diagnosis = condition("38341003", subject={"reference": reference})
    assert desk.post(with_key(call, "conditions", entries(diagnosis))).status_code == 200


def test_c46_an_id_that_the_patient_replaces_is_the_same_under_any_key(desk: Desk) -> None:
    resources = kidney()
    resources[0]["link"] = [{"type": "replaces", "other": {"reference": "Patient/old"}}]
    old = lab(UACR, 30, "mg/g", of="old", ago=300)
    assert desk.post(with_key(desk.call(resources), "unasked", old)).status_code == 200
    resources[0]["link"][0]["type"] = "seealso"
    assert desk.post(with_key(desk.call(resources), "unasked", old)).status_code == 412


def test_c47_missing_keys_are_fetched_side_by_side(open_desk: Callable[..., Desk], ehr: Ehr) -> None:
    desk, resources = can_fetch(open_desk), kidney(34, 310, condition("38341003"))
    ehr.resources = resources
    bare = desk.call(resources) | {"prefetch": {}, "fhirServer": BASE, "fhirAuthorization": TOKEN}
    response = desk.post(bare)
    assert response.status_code == 200
    assert response.json()["cards"][0]["summary"] == desk.card(resources)["summary"]
    assert len(ehr.seen) == len(KEYS)


def test_c48_nothing_is_fetched_beyond_what_discovery_says(open_desk: Callable[..., Desk], ehr: Ehr) -> None:
    desk = can_fetch(open_desk)
    ehr.resources = kidney()
    desk.post(desk.call(kidney()) | {"prefetch": {}, "fhirServer": BASE, "fhirAuthorization": TOKEN})
    wanted = {f"{BASE}/{t.replace('{{context.patientId}}', ID)}" for t in desk.templates.values()}
    assert {str(r.url).replace("%7C", "|") for r in ehr.seen} == wanted


def test_c49_a_key_that_was_not_asked_for_is_ignored(desk: Desk) -> None:
    call = desk.call(kidney())
    plain = desk.post(call).json()["cards"][0]["detail"]
    for value in (None, EMPTY, failed("error"), lab(UACR, 9000, "mg/g"), {"resourceType": "Practitioner", "id": "d"}):
        assert desk.post(with_key(call, "unasked", value)).json()["cards"][0]["detail"] == plain


def test_c49_wrapped_and_listed_values_are_read_in_lenient_mode(desk: Desk, lenient: Desk) -> None:
    call = desk.call(kidney())
    plain = desk.post(call).json()["cards"][0]["detail"]

    def wrapped(value: Json) -> Json:
        return {"response": {"status": "200 OK"}, "resource": value}

    every = {key: wrapped(value) for key, value in call["prefetch"].items()}
    listed = {
        key: [e["resource"] for e in v.get("entry", [])] if v["resourceType"] == "Bundle" else [v]
        for key, v in call["prefetch"].items()
    }
    for prefetch in (every, listed, {k: every[k] if k == "patient" else listed[k] for k in KEYS}):
        assert lenient.post(call | {"prefetch": prefetch}).json()["cards"][0]["detail"] == plain
        assert desk.post(call | {"prefetch": prefetch}).status_code in (400, 412)
    assert (
        lenient.post(with_key(call, "conditions", {"response": {"status": "200"}, "resource": None})).status_code == 200
    )


@pytest.mark.parametrize(
    "value", [1, "x", True, [], [1], [[]], {"entry": 1}, {"resourceType": 1}, {"resourceType": "Bundle", "entry": {}}]
)
def test_c49_a_value_that_is_no_resource_is_refused(desk: Desk, lenient: Desk, value: Any) -> None:
    assert desk.post(with_key(desk.call(kidney()), "creatinine", value)).status_code in (400, 412)
    assert lenient.post(with_key(lenient.call(kidney()), "creatinine", value)).status_code in (200, 400, 412)
    assert desk.post(desk.call(kidney()) | {"prefetch": [value]}).status_code == 400


def test_c50_a_superset_is_filtered_here(desk: Desk) -> None:
    call = desk.call(kidney())
    plain = desk.post(call).json()["cards"][0]["detail"]
    noise = [
        lab("2345-7", 99, "mg/dL", ago=1),
        lab(UACR, 9, "mg/g", ago=2, id="e1", status="entered-in-error"),
        lab(UACR, 9, "mg/g", ago=3, id="e2", status="cancelled"),
        lab(UACR, 9, "mg/g", ago=-5, id="e3"),
    ]
    mine = [entry["resource"] for entry in call["prefetch"]["uacr"]["entry"]]
    assert desk.post(with_key(call, "uacr", entries(*noise, *mine))).json()["cards"][0]["detail"] == plain


def test_c51_no_token_reaches_an_outgoing_url(open_desk: Callable[..., Desk], ehr: Ehr) -> None:
    desk = can_fetch(open_desk)
    ehr.resources = kidney()
    for patient in ("{{context.patientId}}", "p1?x=1", "p1&_count=9", "p1/../p2", "%7B%7B"):
        call = desk.call(kidney()) | {"prefetch": {}, "fhirServer": BASE}
        call["context"]["patientId"] = patient
        assert desk.post(call).status_code == 400
    assert ehr.seen == []
    desk.post(desk.call(kidney()) | {"prefetch": {}, "fhirServer": BASE})
    assert not any("{" in str(r.url) or "%7B" in str(r.url).upper() for r in ehr.seen)
