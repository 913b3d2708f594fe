"""How a chart is put together: references, two versions of a resource, encounters by any name, medications."""

import json
from pathlib import Path
from typing import Any

import pytest

from cds.errors import DataUnavailable, WrongPatient
from cds.features.labs import LAB_CODES
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet, Entry, Vocabulary
from cds.fhir.facts import Fact
from cds.fhir.identity import Identity, split, subject_of
from cds.fhir.resources import read
from models._kidney.codes import CODES

Json = dict[str, Any]
BASE = "https://ehr.example/fhir"
LAB = CodeSet("creatinine", [Entry("loinc", "2160-0")])
DRUG = CodeSet("drug", [Entry("snomed", "1")])
PATIENT: Json = {"resourceType": "Patient", "id": "p"}


def chart(*resources: Json, urls: tuple[str | None, ...] = (), bases: tuple[str, ...] = (BASE,)) -> Chart:
    names = (*urls, *[None] * (len(resources) + 1 - len(urls)))
    located = [(read(json.dumps(one)), url) for one, url in zip((PATIENT, *resources), names, strict=True)]
    return Chart.of(located, Identity("p", bases), Vocabulary([LAB, DRUG]))


def about(kind: str, id_: str | None = "one", **members: Any) -> Json:
    return {"resourceType": kind, "id": id_, "subject": {"reference": "Patient/p"}, **members}


def lab(id_: str | None = "one", value: float = 1.0, **members: Any) -> Json:
    code = {"coding": [{"system": "http://loinc.org", "code": "2160-0"}]}
    return about("Observation", id_, status="final", code=code, valueQuantity={"value": value}, **members)


@pytest.mark.parametrize(
    ("reference", "base", "name"),
    [
        ("Patient/p", "", "Patient/p"),
        ("Patient/p/_history/2", "", "Patient/p"),
        (f"{BASE}/Patient/p", BASE, "Patient/p"),
        (f"{BASE}/Patient/p/_history/2", BASE, "Patient/p"),
        ("urn:uuid:p", "", "urn:uuid:p"),
        ("#p", "", "#p"),
        ("/Patient/p", "", "/Patient/p"),
        ("p", "", "p"),
        ("", "", ""),
    ],
)
def test_a_reference_is_a_base_and_a_name(reference: str, base: str, name: str) -> None:
    assert split(reference) == (base, name)


def test_a_base_may_end_in_a_slash() -> None:
    assert Identity("p", [BASE + "/"]).owns(f"{BASE}/Patient/p")


@pytest.mark.parametrize("member", ["subject", "patient", "beneficiary"])
def test_every_type_keeps_its_subject_somewhere(member: str) -> None:
    resource = read(json.dumps({"resourceType": "Any", member: {"reference": "Patient/q"}}))
    found = subject_of(resource)
    assert found is not None
    assert found.reference == "Patient/q"


def test_one_right_subject_does_not_excuse_a_wrong_one() -> None:
    with pytest.raises(WrongPatient):
        chart(lab(patient={"reference": "Patient/q"}))


def test_an_appointment_names_its_patient_among_the_participants() -> None:
    actors = [{"actor": {"reference": "Practitioner/d"}}, {"actor": {"reference": "Patient/p"}}, {}]
    chart({"resourceType": "Appointment", "participant": actors})
    with pytest.raises(WrongPatient):
        chart({"resourceType": "Appointment", "participant": [*actors, {"actor": {"reference": "Patient/q"}}]})


def test_a_resource_without_a_type_is_nobodys() -> None:
    with pytest.raises(WrongPatient):
        chart({"id": "one", "code": {}})


def test_resources_that_have_no_subject_are_let_through() -> None:
    built = chart({"resourceType": "Practitioner", "id": "p"}, {"resourceType": "Organization", "id": "o"}, lab())
    assert [fact.source for fact in built.facts(LAB.name)] == ["Observation/one"]


@pytest.mark.parametrize(
    ("urls", "accepted"),
    [
        ((f"{BASE}/Patient/p", f"{BASE}/Observation/one"), True),
        (("https://inside.example/Patient/p", "https://inside.example/Observation/one"), True),  # behind one proxy
        ((None, "https://inside.example/Observation/one"), True),
        (("urn:uuid:a", f"{BASE}/Observation/one"), True),
        ((f"{BASE}/Patient/p", "https://other.example/Observation/one"), False),
        (("https://other.example/Patient/p", f"{BASE}/Observation/one"), False),
        (("https://a.example/Patient/p", "https://b.example/Observation/one"), False),
    ],
)
def test_a_relative_reference_is_meant_on_the_entrys_own_server(urls: tuple[str | None, ...], accepted: bool) -> None:
    if accepted:
        assert len(chart(lab(), urls=urls).facts("creatinine")) == 1
    else:
        with pytest.raises(WrongPatient):
            chart(lab(), urls=urls)


def numbers(built: Chart) -> list[float | None]:
    return [fact.value for fact in built.facts("creatinine")]


def test_one_resource_under_two_keys_is_one_fact() -> None:
    assert numbers(chart(lab(), lab(meta={"versionId": "1"}))) == [1.0]
    assert numbers(chart(lab("one"), lab("two"))) == [1.0, 1.0]
    assert numbers(chart(lab(None), lab(None))) == [1.0, 1.0]


def test_of_two_versions_the_one_updated_last_counts() -> None:
    older = lab(value=1, meta={"lastUpdated": "2026-11-01T12:00:00+02:00"})
    newer = lab(value=2, meta={"lastUpdated": "2026-11-01T11:00:00Z"})
    assert numbers(chart(older, newer)) == numbers(chart(newer, older)) == [2.0]


@pytest.mark.parametrize("meta", [None, {}, {"lastUpdated": "soon"}, {"lastUpdated": 7}, {"versionId": "2"}, "x"])
def test_two_versions_of_unknown_age_are_refused(meta: object) -> None:
    with pytest.raises(DataUnavailable) as fault:
        chart(lab(value=1, meta={"lastUpdated": "2026-11-01T12:00:00Z"}), lab(value=2, meta=meta))
    assert not isinstance(fault.value, WrongPatient)


def test_two_versions_of_the_patient_are_resources_like_any_other() -> None:
    changed = PATIENT | {"gender": "male"}
    with pytest.raises(DataUnavailable):
        chart(changed)
    assert chart(PATIENT).person.gender is None


ENCOUNTERS = [
    ("visit", f"{BASE}/Encounter/visit", "Encounter/visit"),
    ("visit", f"{BASE}/Encounter/visit", "Encounter/visit/_history/1"),
    ("visit", f"{BASE}/Encounter/visit", f"{BASE}/Encounter/visit"),
    ("visit", "urn:uuid:3f", "urn:uuid:3f"),
    ("visit", None, "urn:uuid:visit"),
    (None, "urn:uuid:3f", "urn:uuid:3f"),
]


@pytest.mark.parametrize(("id_", "url", "reference"), ENCOUNTERS)
def test_an_encounter_is_found_by_every_name(id_: str | None, url: str | None, reference: str) -> None:
    visit = about("Encounter", id_, status="finished", **{"class": {"code": "EMER"}})
    built = chart(visit, lab(encounter={"reference": reference}), urls=(None, url))
    assert inside(built) == "EMER"


@pytest.mark.parametrize("reference", ["https://other.example/fhir/Encounter/visit", "#visit", "Encounter/other", ""])
def test_another_encounter_is_not_found(reference: str) -> None:
    visit = about("Encounter", "visit", status="finished", **{"class": {"code": "EMER"}})
    assert inside(chart(visit, lab(encounter={"reference": reference}))) is None


def inside(built: Chart) -> str | None:
    encounter = built.encounter_of(built.facts("creatinine")[0])
    return encounter.coding.code if encounter else None


@pytest.mark.parametrize(
    ("class_", "code"),
    [
        ({"system": "v3", "code": "IMP"}, "IMP"),
        ([{"coding": [{"code": "IMP"}]}], "IMP"),
        ({"code": 7}, None),
        ({"code": "IMP", "system": 7}, "IMP"),
        ("IMP", None),
        (None, None),
    ],
)
def test_an_encounters_class_in_every_shape(class_: object, code: str | None) -> None:
    visit = about("Encounter", "visit", **{"class": class_})
    assert inside(chart(visit, lab(encounter={"reference": "Encounter/visit"}))) == code


CODE = {"coding": [{"system": "http://snomed.info/sct", "code": "1"}]}
MEDICATION = {"resourceType": "Medication", "id": "m", "code": CODE}


def drugs(*resources: Json, urls: tuple[str | None, ...] = ()) -> list[Fact]:
    return list(chart(*resources, urls=urls).facts("drug"))


@pytest.mark.parametrize("kind", ["MedicationRequest", "MedicationStatement", "MedicationAdministration"])
@pytest.mark.parametrize(
    "members",
    [
        {"medicationCodeableConcept": CODE},
        {
            "contained": [{"resourceType": "Medication", "id": "in", "code": CODE}],
            "medicationReference": {"reference": "#in"},
        },
        {"medicationReference": {"reference": "Medication/m"}},
        {"medicationReference": {"reference": "Medication/m/_history/1"}},
        {"medicationReference": {"reference": f"{BASE}/Medication/m"}},
        {"medicationReference": {"reference": "urn:uuid:med"}},
    ],
)
def test_a_medication_is_known_by_its_code_however_it_is_given(kind: str, members: Json) -> None:
    request = about(kind, status="active", **members)
    for order in ((request, MEDICATION), (MEDICATION, request)):
        urls = (None, *("urn:uuid:med" if one is MEDICATION else None for one in order))
        assert [(fact.kind, fact.status) for fact in drugs(*order, urls=urls)] == [(kind, "active")]


@pytest.mark.parametrize("reference", ["Medication/other", "#in", "https://other.example/Medication/m", ""])
def test_a_medication_that_is_not_there_has_no_code(reference: str) -> None:
    assert drugs(about("MedicationRequest", medicationReference={"reference": reference}), MEDICATION) == []


@pytest.mark.parametrize(
    ("kind", "members", "when"),
    [
        ("MedicationRequest", {"authoredOn": "2026-01-01"}, "2026-01-01"),
        ("MedicationStatement", {"effectiveDateTime": "2026-01-02", "dateAsserted": "2026-01-03"}, "2026-01-02"),
        ("MedicationStatement", {"effectivePeriod": {"start": "2026-01-02", "end": "2026-02-02"}}, "2026-01-02"),
        ("MedicationStatement", {"dateAsserted": "2026-01-03"}, "2026-01-03"),
        ("MedicationAdministration", {"effectivePeriod": {"start": "2026-01-04"}}, "2026-01-04"),
        ("MedicationRequest", {}, None),
    ],
)
def test_when_a_medication_was_given(kind: str, members: Json, when: str | None) -> None:
    (fact,) = drugs(about(kind, medicationCodeableConcept=CODE, **members))
    assert (str(fact.when.first.date()) if fact.when else None) == when


def test_a_transaction_bundle_names_everything_by_urn(shared_data: Path) -> None:
    vocabulary = Vocabulary([*LAB_CODES.values(), *CODES.values()])
    files = sorted((shared_data / "data" / "synthea-2019-bundles").rglob("*.json"))
    found = 0
    for file in files:
        entries = [(entry.resource, entry.full_url) for entry in read(file.read_bytes()).entry or () if entry.resource]
        own = next(one.id or "" for one, _ in entries if one.resource_type == "Patient")
        built = Chart.of(entries, Identity(own), vocabulary)
        facts = [fact for name in vocabulary.sets for fact in built.facts(name) if fact.encounter]
        assert all(built.encounter_of(fact) for fact in facts)
        found += len(facts)
    assert found
