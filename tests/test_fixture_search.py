"""The fixtures' FHIR search finds what was asked for, in order and in pages, and refuses what it does not know."""

import importlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from fhir_fixtures.search import prefetch, search

Resource = dict[str, Any]
LOINC = "http://loinc.org"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def creatinine(identity: str, when: str | None, patient: str = "Patient/a", status: str = "final") -> Resource:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": status,
        "category": [{"coding": [{"code": "laboratory"}]}],
        "code": {"coding": [{"system": LOINC, "code": "2160-0"}, {"system": "urn:local", "code": "CREA"}]},
        "subject": {"reference": patient},
        **({"effectiveDateTime": when} if when else {}),
    }


CHART: list[Resource] = [
    {"resourceType": "Patient", "id": "a"},
    creatinine("c1", "2026-05-04T09:00:00-04:00"),
    creatinine("c2", "2026-11-03T23:30:00-05:00"),
    creatinine("c3", "2026-11-04T01:00:00Z", status="preliminary"),
    creatinine("c4", None),
    creatinine("c5", "2026", patient="https://ehr.example/fhir/Patient/b"),
    {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "in-progress",
        "class": {"system": ACT, "code": "AMB"},
        "subject": {"reference": "Patient/a"},
        "period": {"start": "2026-11-03T08:00:00-05:00"},
    },
    {"resourceType": "Condition", "id": "k1", "code": {"text": "free text"}, "subject": {"reference": "Patient/a"}},
]


def ids(kind: str, *params: tuple[str, str]) -> list[str]:
    return [entry["resource"]["id"] for entry in search(CHART, kind, params).get("entry", [])]


@pytest.mark.parametrize("name", ["patient", "subject"])
@pytest.mark.parametrize("value", ["b", "Patient/b"])
def test_a_patient_with_or_without_its_type(name: str, value: str) -> None:
    assert ids("Observation", (name, value)) == ["c5"]


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("2160-0", True),
        (f"{LOINC}|2160-0", True),
        (f"{LOINC}|", True),
        ("urn:local|CREA", True),
        (f"{LOINC}|9318-7,{LOINC}|2160-0", True),
        ("urn:local|2160-0", False),
        ("|2160-0", False),
        ("9318-7", False),
    ],
)
def test_a_code_with_or_without_its_system(code: str, found: bool) -> None:
    assert bool(ids("Observation", ("code", code))) is found


def test_status_category_class_and_id() -> None:
    assert ids("Observation", ("status", "preliminary,registered")) == ["c3"]
    assert ids("Observation", ("category", "laboratory"), ("_id", "c1,c2")) == ["c1", "c2"]
    assert ids("Encounter", ("class", f"{ACT}|AMB,{ACT}|IMP")) == ["e1"]
    assert ids("Patient", ("_id", "a")) == ["a"]
    assert ids("Condition", ("patient", "a"), ("code", "N18.4")) == []


@pytest.mark.parametrize(
    ("date", "found"),
    [
        ("2026-11-04", ["c2", "c3"]),  # 23:30 of the third at -05:00 is the fourth in UTC
        ("eq2026", ["c1", "c2", "c3", "c5"]),
        ("ge2026-11-04T01:00:00Z", ["c2", "c3", "c5"]),
        ("gt2026-11-04T01:00:00Z", ["c2", "c5"]),
        ("lt2026-05-05", ["c1", "c5"]),
        ("le2026-05-04T13:00:00Z", ["c1", "c5"]),
        ("gt2026", []),
    ],
)
def test_dates_are_compared_as_instants(date: str, found: list[str]) -> None:
    assert ids("Observation", ("date", date)) == found


def test_repeated_parameters_all_hold_and_an_open_period_has_no_end() -> None:
    assert ids("Observation", ("date", "ge2026-05"), ("date", "lt2026-06"), ("patient", "a")) == ["c1"]
    assert ids("Encounter", ("date", "ge2030")) == ["e1"]


def test_sorting_is_by_instant_with_the_undated_last() -> None:
    assert ids("Observation", ("patient", "a"), ("_sort", "-date")) == ["c2", "c3", "c1", "c4"]
    assert ids("Observation", ("patient", "a"), ("_sort", "date")) == ["c1", "c3", "c2", "c4"]


def test_following_next_gives_every_match_once() -> None:
    params, seen = [("patient", "a"), ("_sort", "-date"), ("_count", "3")], []
    while params:
        page = search(CHART, "Observation", params, base="https://ehr.example/fhir/")
        seen += [entry["fullUrl"] for entry in page["entry"]]
        links = {link["relation"]: link["url"] for link in page["link"]}
        params = parse_qsl(urlsplit(links["next"]).query) if "next" in links else []
    assert page["total"] == 4
    assert seen == [f"https://ehr.example/fhir/Observation/{one}" for one in ("c2", "c3", "c1", "c4")]


def test_count_nought_asks_only_how_many() -> None:
    page = search(CHART, "Observation", [("_count", "0")])
    assert page["total"] == 5
    assert "entry" not in page
    assert [link["relation"] for link in page["link"]] == ["self"]


@pytest.mark.parametrize(
    ("kind", "param", "named"),
    [
        ("Observation", ("value-quantity", "gt5"), "value-quantity"),
        ("Observation", ("code:text", "creatinine"), "code:text"),
        ("Condition", ("status", "active"), "status"),
        ("Patient", ("patient", "a"), "patient"),
        ("Observation", ("_sort", "code"), "_sort"),
        ("Condition", ("_sort", "-date"), "_sort"),
        ("Observation", ("_count", "-1"), "_count"),
        ("Observation", ("_offset", "ten"), "_offset"),
        ("Observation", ("date", "sa2026"), "sa"),
        ("Observation", ("date", "yesterday"), "date"),
        ("Observation", ("date", "2026-13"), "date"),
        ("RiskAssessment", ("date", "2026-00"), "date"),
        ("Flag", ("patient", "a"), "Flag"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(kind: str, param: tuple[str, str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        search(CHART, kind, [("patient", "nobody"), param] if kind == "Observation" else [param])


def test_a_page_is_a_valid_bundle() -> None:
    bundle = importlib.import_module("fhir.resources.R4B.bundle").Bundle
    empty, full = (
        search(CHART, "Condition", [("patient", "b")]),
        search(CHART, "Patient", [], base="https://ehr.example"),
    )
    for page in (empty, full):
        assert bundle.model_validate(page).get_resource_type() == "Bundle"


def test_prefetch_fills_reads_and_searches() -> None:
    templates = {
        "patient": "Patient/{{context.patientId}}",
        "creatinine": f"Observation?patient={{{{ context.patientId }}}}&code={LOINC}|2160-0&_sort=-date&_count=1",
        "uacr": f"Observation?patient={{{{context.patientId}}}}&code={LOINC}|9318-7",
        "user": "Practitioner/{{userPractitionerId}}",
    }
    filled = prefetch(CHART, templates, {"patientId": "a", "userPractitionerId": "p1"})
    assert filled["patient"] == {"resourceType": "Patient", "id": "a"}
    assert filled["user"] is None
    assert filled["creatinine"] is not None
    assert [entry["resource"]["id"] for entry in filled["creatinine"]["entry"]] == ["c2"]
    assert filled["uacr"] is not None
    assert filled["uacr"]["total"] == 0


@pytest.mark.parametrize(
    "token", ["{{context.encounterId}}", "{{today()}}", "{{patientId}}", "{{context.a.b}}", "{{}}"]
)
def test_a_token_without_a_value_never_reaches_a_search(token: str) -> None:
    with pytest.raises(ValueError, match="prefetch token"):
        prefetch(CHART, {"key": f"Observation?patient={token}"}, {"patientId": "a"})


def test_an_include_brings_what_the_page_refers_to_and_counts_no_match() -> None:
    drug, other = ({"resourceType": "Medication", "id": name} for name in ("m1", "m2"))
    request = {
        "resourceType": "MedicationRequest",
        "id": "r1",
        "subject": {"reference": "Patient/a"},
        "medicationReference": {"reference": "Medication/m1"},
    }
    asked = [("patient", "a"), ("_include", "MedicationRequest:medication")]
    found = search([*CHART, request, drug, other], "MedicationRequest", asked)
    assert [(e["resource"]["id"], e["search"]["mode"]) for e in found["entry"]] == [("r1", "match"), ("m1", "include")]
    assert found["total"] == 1


@pytest.mark.parametrize(
    ("kind", "value"),
    [("MedicationRequest", "MedicationStatement:medication"), ("Observation", "Observation:subject")],
)
def test_an_include_that_is_not_known_is_refused(kind: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"_include not supported for {kind}: {value}"):
        search(CHART, kind, [("_include", value)])
