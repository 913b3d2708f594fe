"""What each of 132 resources that others published reads as: every row of oddities.csv was looked at by a person."""

import csv
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import pytest

from cds.errors import UnreadableResource, WrongPatient
from cds.features.diagnoses import CONDITION_CODES
from cds.features.feature import spell
from cds.features.labs import LAB_CODES
from cds.fhir.codes import CodeSet, Entry, Vocabulary
from cds.fhir.facts import Fact, facts_of, stay
from cds.fhir.identity import Identity, split, subject_of
from cds.fhir.person import person_of
from cds.fhir.resources import Resource, read, read_leniently
from cds.fhir.times import When
from models._kidney.codes import CODES

RXNORM, NDC = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://hl7.org/fhir/sid/ndc"
LOINC_SETS = {
    "systolic": ("8480-6", "85354-9"), "diastolic": ("8462-4", "85354-9"), "mean systolic": ("96608-5",),
    "bmi": ("39156-5",), "sodium": ("2951-2",), "potassium": ("2823-3",), "hemoglobin": ("718-7",),
    "platelets": ("777-3",), "hematocrit": ("4544-3",), "glucose": ("15074-8",), "dipstick": ("2887-8",),
    "temperature": ("8310-5", "8331-1"), "slums": ("71492-3",), "urine cells": ("30391-7", "13654-9", "5787-7"),
    "activity": ("68516-4",), "housing": ("71802-3",), "apgar": ("9271-8", "48332-1"), "thc": ("3426-4",),
    "metabolic panel": ("24323-8",), "gram stain": ("664-3",), "e-cigarette": ("105045-9",), "cytology": ("10524-7",),
}  # fmt: skip
SNOMED_SETS = {
    "cancer": ("363346000",), "substance use": ("228366006", "410942007"), "transport": ("160695008",),
    "opioid": ("430127000",), "azithromycin": ("324252006",), "theophylline": ("66493003",),
    "amoxicillin": ("27658006",), "alcohol screening": ("713107002",), "epidural": ("112943005",),
    "visit": ("270427003", "32485007", "183807002", "261665006"),
}  # fmt: skip
LOCAL = {
    (RXNORM, "582620"): "nizatidine", (RXNORM, "206765"): "lisinopril", (RXNORM, "1049502"): "opioid",
    (RXNORM, "197696"): "opioid", (NDC, "50580-506-02"): "paracetamol",
    ("http://www.ama-assn.org/go/cpt", "33249"): "defibrillator", ("http://example.org/local", "ATM"): "aztreonam",
    ("http://acme.org/lab/codes/tests", "60527"): "clindamycin",
}  # fmt: skip
KIDNEY_LABS = ("creatinine", "cystatin_c", "egfr", "uacr", "upcr", "albumin", "calcium", "phosphate", "bicarbonate")
TABLE = list(csv.DictReader((Path(__file__).parent / "oddities.csv").read_text("utf-8").splitlines()))


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return everything()


def everything() -> Vocabulary:
    """The kidney's code sets, and one more for each code that stands in the resources."""
    loinc = [CodeSet(name, [Entry("loinc", code) for code in codes]) for name, codes in LOINC_SETS.items()]
    snomed = [CodeSet(name, [Entry("snomed", code) for code in codes]) for name, codes in SNOMED_SETS.items()]
    local = [CodeSet(name, ()) for name in {*LOCAL.values()} - {*LOINC_SETS, *SNOMED_SETS}]
    labs = [codes for name, codes in LAB_CODES.items() if name.startswith(KIDNEY_LABS)]
    illnesses = [CONDITION_CODES[name] for name in ("diabetes", "hypertension")]
    return Vocabulary([*labs, *illnesses, *CODES.values(), *loinc, *snomed, *local], LOCAL)


def read_any(path: Path) -> Resource:
    data = path.read_bytes()
    try:
        return read(data)
    except UnreadableResource:
        return read_leniently(data)


def kind_of_subject(resource: Resource) -> str:
    subject = subject_of(resource)
    if resource.resource_type == "Patient":
        return "itself" if resource.id else "none"
    if subject is None:
        return "none"
    if not subject.reference:
        return "identifier only" if subject.identifier else "display only"
    base, name = split(subject.reference)
    if name.startswith(("urn:", "#")):
        return "urn" if name.startswith("urn:") else "contained"
    return "absolute" if base else "relative"


def said(resource: Resource, vocabulary: Vocabulary) -> Iterator[str]:
    """Everything that is read of a resource, in words."""
    if resource.resource_type == "Patient":
        person = person_of(resource)
        died = f"died {day(person.died)}" if person.died else "dead" if person.deceased else "not dead"
        yield f"{person.gender or 'no gender'}, born {day(person.birth)}, {died}"
    if resource.resource_type == "Encounter":
        encounter = stay(resource)
        yield f"{encounter.coding.code}, {encounter.status}, {day(encounter.when)} to {day(encounter.ended)}"
    for name, fact in facts_of(resource, vocabulary):
        yield f"{name}: {', '.join(words(fact))}"


def words(fact: Fact) -> Iterator[str]:
    if fact.value is not None:
        yield f"{fact.comparator or ''}{spell(fact.value)} {fact.unit or '-'} [{fact.unit_code or '-'}]"
    if fact.text is not None:
        yield repr(fact.text)
    if fact.answer:
        yield f"answer {fact.answer[0].code}"
    yield day(fact.when)
    yield fact.status or "/".join(filter(None, (fact.clinical_status, fact.verification, fact.category))) or "no status"
    if fact.problem:
        yield fact.problem.upper()


def day(moment: When | None) -> str:
    if moment is None:
        return "undated"
    return (
        f"{moment.first.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
        if moment.exact
        else f"{moment.first:%Y-%m-%d}~{moment.last:%Y-%m-%d}"
    )


def row_of(path: Path, vocabulary: Vocabulary) -> dict[str, str]:
    resource = read_any(path)
    facts = list(facts_of(resource, vocabulary))
    return {
        "file": f"{path.parent.name}/{path.name}",
        "type": resource.resource_type or "",
        "subject": kind_of_subject(resource),
        "facts": str(len(facts)),
        "faults": " ".join(resource.faults),
        "said": "; ".join(said(resource, vocabulary)),
    }


def test_the_table_has_every_oddity(shared_data: Path) -> None:
    folder = shared_data / "data" / "oddities"
    assert [row["file"] for row in TABLE] == sorted(p.relative_to(folder).as_posix() for p in folder.glob("*/*.json"))


@pytest.mark.parametrize("row", TABLE, ids=[row["file"] for row in TABLE])
def test_an_oddity_reads_as_its_row_says(row: dict[str, str], shared_data: Path, vocabulary: Vocabulary) -> None:
    assert row_of(shared_data / "data" / "oddities" / row["file"], vocabulary) == row


@pytest.mark.parametrize("row", TABLE, ids=[row["file"] for row in TABLE])
def test_only_a_named_patient_owns_an_oddity(row: dict[str, str], shared_data: Path) -> None:
    resource = read_any(shared_data / "data" / "oddities" / row["file"])
    subject = subject_of(resource)
    base, name = split(subject.reference) if subject and subject.reference else ("", "")
    own_id = resource.id if row["subject"] == "itself" else name.rpartition("/")[2].rpartition(":")[2]
    owner = Identity(own_id or "nobody", [base])
    if row["subject"] in ("itself", "relative", "absolute", "urn"):
        owner.check(resource)
    else:
        with pytest.raises(WrongPatient):
            owner.check(resource)
    with pytest.raises(WrongPatient):
        Identity("somebody-else", [base]).check(resource)
    if row["subject"] == "absolute":
        with pytest.raises(WrongPatient):
            Identity(owner.patient_id).check(resource)
