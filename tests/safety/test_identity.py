"""No chart and no card holds another patient's data, however the other patient's resources are spelled (R31, D19)."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from cds.cdshooks.answer import Answer, Deployed, answer
from cds.errors import WrongPatient
from cds.features.labs import LAB_CODES
from cds.features.needs import template
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet, Entry, Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.resources import read
from cds.settings import read_settings
from cds.site import load_site
from fhir_fixtures.search import prefetch

Json = dict[str, Any]
RIGHT, OLD, SEEN, FOREIGN = (f"{n}0000000-0000-4000-8000-000000000000" for n in (1, 2, 3, 4))
HERE, ELSEWHERE = "https://ehr.example/fhir", "https://other.example/fhir"
BUNDLES = 10_000
ANSWERS = 300

LINKS = [
    {"other": {"reference": f"Patient/{OLD}"}, "type": "replaces"},
    {"other": {"reference": f"Patient/{SEEN}"}, "type": "seealso"},
    {"other": {"reference": f"{ELSEWHERE}/Patient/{FOREIGN}"}, "type": "replaces"},
    {"other": {"identifier": {"value": FOREIGN}}, "type": "replaces"},
]


def references(*names: str) -> list[Json]:
    return [{"reference": name} for name in names]


OURS = references(
    f"Patient/{RIGHT}", f"Patient/{RIGHT}/_history/3", f"{HERE}/Patient/{RIGHT}", f"{HERE}/Patient/{RIGHT}/_history/3",
    f"urn:uuid:{RIGHT}", "urn:uuid:the-bundles-own-name", f"Patient/{OLD}", f"{HERE}/Patient/{OLD}/_history/1",
)  # fmt: skip
THEIRS: list[Json | None] = [
    *references(
        f"Patient/{FOREIGN}", f"Patient/{FOREIGN}/_history/3", f"{HERE}/Patient/{FOREIGN}", f"urn:uuid:{FOREIGN}",
        f"{ELSEWHERE}/Patient/{FOREIGN}", f"Patient/{SEEN}", "urn:oid:1.2.3", "",
    ),
    *references(  # not the right patient, although the right id stands in it
        f"{ELSEWHERE}/Patient/{RIGHT}", f"{HERE}x/Patient/{RIGHT}", f"http://ehr.example/fhir/Patient/{RIGHT}",
        f"{ELSEWHERE}/Patient/{OLD}", f"Group/{RIGHT}", f"RelatedPerson/{RIGHT}", f"patient/{RIGHT}", RIGHT,
        f"Patient/{RIGHT}/", f"Patient/{RIGHT}#1", f"Patient?_id={RIGHT}", f"/Patient/{RIGHT}", f" Patient/{RIGHT}",
        f"Patient/{RIGHT}/_history", f"Patient/{FOREIGN}/_history/Patient/{RIGHT}", f"#Patient/{RIGHT}",
    ),
    {"reference": "#them"},
    {"identifier": {"system": "urn:mrn", "value": RIGHT}},
    {"display": "the right patient"},
    {},
    None,
]  # fmt: skip
READ = ("Observation", "Condition", "Procedure", "Encounter", "MedicationRequest")
OTHERS = {"DiagnosticReport": "subject", "AllergyIntolerance": "patient", "Coverage": "beneficiary"}


@dataclass
class Mixed:
    """A generated Bundle's entries, and which of them are another's or nobody's."""

    entries: list[Json] = field(default_factory=list)
    foreign: int = 0


def right_patient() -> Json:
    return {"resourceType": "Patient", "id": RIGHT, "birthDate": "1956-06-09", "gender": "male", "link": LINKS}


def clinical(random: Random, number: int, kind: str, subject: Json | None, whose: str) -> Json:
    resource: Json = {
        "resourceType": kind, "id": f"{whose}-{number}", "status": "final" if kind == "Observation" else "completed",
        "code": {"coding": [{"system": "http://loinc.org", "code": random.choice(["2160-0", "9318-7"])}]},
        "effectiveDateTime": "2026-11-01", "valueQuantity": {"value": 1.4, "unit": "mg/dL"},
        "contained": [{"resourceType": "Patient", "id": "them"}],
    }  # fmt: skip
    if subject is not None:
        resource[OTHERS.get(kind, "subject")] = subject
    return resource


def theirs(random: Random, number: int) -> Json:
    """One entry that is not about the right patient, or not surely."""
    if random.random() < 0.1:
        patient = {"resourceType": "Patient", "id": random.choice([FOREIGN, SEEN])}
        return {"fullUrl": random.choice([f"{HERE}/Patient/{RIGHT}", f"urn:uuid:{RIGHT}"]), "resource": patient}
    if random.random() < 0.1:  # the right id, but on the entry's own server
        named = clinical(random, number, random.choice(READ), {"reference": f"Patient/{RIGHT}"}, "foreign")
        return {"fullUrl": f"{ELSEWHERE}/{named['resourceType']}/{named['id']}", "resource": named}
    subject = random.choice(THEIRS)
    kind = random.choice(READ if subject is None else (*READ, *OTHERS))
    return {"resource": clinical(random, number, kind, subject, "foreign")}


def ours(random: Random, number: int) -> Json:
    resource = clinical(random, number, random.choice((*READ, *OTHERS)), random.choice(OURS), "right")
    names = [None, f"urn:uuid:{number}", f"{HERE}/{resource['resourceType']}/{resource['id']}"]
    return {"fullUrl": random.choice(names), "resource": resource}


def mixed(random: Random) -> Mixed:
    found = Mixed([{"fullUrl": "urn:uuid:the-bundles-own-name", "resource": right_patient()}])
    if random.random() < 0.2:
        found.entries.append({"resource": {"resourceType": "Patient", "id": OLD}})
    found.entries.append({"fullUrl": f"{HERE}/Observation/right-0", "resource": ours(Random(0), 0)["resource"]})
    doubt = random.choice([0, 0, 0.1, 0.5])
    for number in range(1, random.randrange(1, 7)):
        is_foreign = random.random() < doubt
        found.foreign += is_foreign
        found.entries.append((theirs if is_foreign else ours)(random, number))
    random.shuffle(found.entries)
    return found


@pytest.mark.proves(
    "R31", "10,000 mixed bundles: 0 charts with another's resource, 0 refusals of the right patient's own"
)
def test_r31_ten_thousand_mixed_bundles() -> None:
    everything = CodeSet("all", [Entry("loinc", "2160-0"), Entry("loinc", "9318-7")])
    vocabulary = Vocabulary([*LAB_CODES.values(), everything])
    refused = built = 0
    for seed in range(BUNDLES):
        bundle = mixed(Random(seed))
        located = [
            (entry.resource, entry.full_url)
            for entry in read(json.dumps({"resourceType": "Bundle", "entry": bundle.entries})).entry or ()
            if entry.resource is not None
        ]
        try:
            chart = Chart.of(located, Identity(RIGHT, [HERE]), vocabulary)
        except WrongPatient:
            assert bundle.foreign, f"seed {seed}: the right patient's own data was refused"
            refused += 1
            continue
        assert not bundle.foreign, f"seed {seed}: another's resource was let in"
        sources = {fact.source.partition("/")[2] for name in vocabulary.sets for fact in chart.facts(name)}
        assert all(source.startswith("right-") for source in sources), f"seed {seed}"
        assert chart.person.source == f"Patient/{RIGHT}"
        built += 1
    assert min(refused, built) > BUNDLES // 5  # both happen, or the test would show nothing


@pytest.mark.proves("R31", "29 spellings of a subject that is not surely the patient: 29 refused")
@pytest.mark.parametrize("subject", THEIRS, ids=repr)
def test_d19_every_doubtful_subject_is_refused(subject: Json | None) -> None:
    resource = clinical(Random(0), 1, "Observation", subject, "foreign")
    located = [(read(json.dumps(one)), None) for one in (right_patient(), resource)]
    with pytest.raises(WrongPatient):
        Chart.of(located, Identity(RIGHT, [HERE]), Vocabulary(()))


@pytest.mark.parametrize("subject", OURS, ids=repr)
def test_d19_every_spelling_of_the_right_patient_is_accepted(subject: Json) -> None:
    resource = clinical(Random(0), 1, "Observation", subject, "right")
    located = [(read(json.dumps(right_patient())), "urn:uuid:the-bundles-own-name"), (read(json.dumps(resource)), None)]
    chart = Chart.of(located, Identity(RIGHT, [HERE]), Vocabulary(LAB_CODES.values()))
    assert chart.facts("creatinine") or chart.facts("uacr")


def test_without_a_server_absolute_references_name_nobody() -> None:
    for subject in references(f"{HERE}/Patient/{RIGHT}", f"{ELSEWHERE}/Patient/{RIGHT}"):
        resource = clinical(Random(0), 1, "Observation", subject, "foreign")
        located = [(read(json.dumps(one)), None) for one in (right_patient(), resource)]
        with pytest.raises(WrongPatient):
            Chart.of(located, Identity(RIGHT), Vocabulary(()))


def test_a_patient_that_was_replaced_is_not_the_patient() -> None:
    old = {"resourceType": "Patient", "id": OLD, "gender": "female"}
    for located in ([old, right_patient()], [right_patient(), old]):
        chart = Chart.of([(read(json.dumps(one)), None) for one in located], Identity(RIGHT), Vocabulary(()))
        assert chart.person.gender == "male"
    with pytest.raises(WrongPatient):
        Chart.of([(read(json.dumps(old)), None)], Identity(RIGHT), Vocabulary(()))


# The whole way from a call's bytes to its answer.

AT = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
STORY = Path(__file__).resolve().parents[2] / "fhir_fixtures" / "patients" / "refer.json"


@pytest.fixture(scope="module")
def kidney() -> Deployed:
    models = {"kfre": {"region": "north-america"}}
    settings = read_settings(models=models, services={"kidney-failure-risk": {"stage": "live"}})
    return load_site(settings=settings).services["kidney-failure-risk"]


@pytest.fixture(scope="module")
def call(kidney: Deployed) -> Callable[[], Json]:
    """A fresh copy of the call that opens a patient's chart who gets a card."""
    story = json.loads(STORY.read_text(encoding="utf-8"))
    text = json.dumps(story).replace("https://fixtures.example/fhir", HERE)
    records = [entry["resource"] for entry in json.loads(text)["entry"]]
    id_ = next(one["id"] for one in records if one["resourceType"] == "Patient")
    context = {"userId": "Practitioner/one", "patientId": RIGHT}
    templates = {need.key: template(need, kidney.vocabulary) for need in kidney.needs}
    moved = json.loads(
        json.dumps(records).replace(f"Patient/{id_}", f"Patient/{RIGHT}").replace(f'"{id_}"', f'"{RIGHT}"')
    )
    values = prefetch(moved, templates, context)
    for entry in (entry for value in values.values() for entry in (value or {}).get("entry", [])):
        entry["fullUrl"] = f"{HERE}/{entry['resource']['resourceType']}/{entry['resource']['id']}"
    found = json.dumps(values)

    def fresh() -> Json:
        return {
            "hook": "patient-view", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "fhirServer": HERE,
            "context": context, "prefetch": json.loads(found),
        }  # fmt: skip

    return fresh


def told(given: Answer) -> list[tuple[str, str]]:
    return [(card["summary"], card["detail"]) for card in json.loads(given.body).get("cards", [])]


def tell(kidney: Deployed, call: Json) -> Answer:
    return asyncio.run(answer(kidney, json.dumps(call).encode(), AT))


def alarming(random: Random, number: int) -> Json:
    """Another's resource that would change the card if it were used."""
    entry = theirs(random, number)
    if entry["resource"]["resourceType"] == "Observation":
        entry["resource"] |= {"effectiveDateTime": "2026-11-20", "valueQuantity": {"value": 9.9, "unit": "mg/dL"}}
    return entry


@pytest.mark.proves("R31", "300 whole calls with one resource of another's: 300 answers of 412, 0 cards")
def test_r31_no_card_from_another_patients_resource(kidney: Deployed, call: Callable[[], Json]) -> None:
    clean = told(tell(kidney, call()))
    assert clean, "the story gets a card"
    refused = 0
    for seed in range(ANSWERS):
        random, tainted = Random(seed), call()
        keys = [key for key, value in tainted["prefetch"].items() if value and value["resourceType"] == "Bundle"]
        key, entry = random.choice(keys), alarming(random, seed)
        entries = tainted["prefetch"][key].setdefault("entry", [])
        entries.insert(random.randrange(len(entries) + 1), entry)
        given = tell(kidney, tainted)
        assert (given.status, told(given)) == (412, []), f"seed {seed} in {key}"
        assert isinstance(given.error, WrongPatient), f"seed {seed} in {key}"
        refused += 1
    assert refused == ANSWERS


def test_r31_a_key_that_nobody_asked_for_lets_nothing_in(kidney: Deployed, call: Callable[[], Json]) -> None:
    clean = told(tell(kidney, call()))
    for number, subject in enumerate(THEIRS):
        tainted = call()
        entry = {"resource": clinical(Random(number), number, "Observation", subject, "foreign")}
        tainted["prefetch"]["unasked"] = {"resourceType": "Bundle", "type": "searchset", "entry": [entry]}
        given = tell(kidney, tainted)
        named = subject is not None and subject.get("reference")
        assert (given.status, told(given)) in ([(412, [])] if named else [(412, []), (200, clean)])


def test_r31_another_patient_in_the_patients_place(kidney: Deployed, call: Callable[[], Json]) -> None:
    tainted = call()
    tainted["prefetch"]["patient"]["id"] = FOREIGN
    assert (tell(kidney, tainted).status, tell(kidney, call()).status) == (412, 200)
