"""Reads the shared data sets patient by patient: the bytes once for the product, the same bytes once for the oracle."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from cds.fhir.chart import Chart, Located
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity, split, subject_of
from cds.fhir.resources import Resource, read

TYPES = frozenset({
    "Patient", "Encounter", "Condition", "Procedure", "Observation", "Medication", "MedicationRequest",
    "MedicationStatement",
})  # fmt: skip
"""What the models read; every other type of an export is left where it is."""


class Kind(Struct):
    """A line's type, which is all that is decoded of most lines; an export's log has none."""

    resource_type: str | None = msgspec.field(default=None, name="resourceType")


class Entry(Struct):
    """A Bundle entry whose resource stays bytes."""

    full_url: str | None = msgspec.field(default=None, name="fullUrl")
    resource: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))


class Bundle(Struct):
    entry: tuple[Entry, ...] = ()


Raw = tuple[bytes, str | None]
"""One resource as bytes, with its entry's fullUrl."""
_kind = msgspec.json.Decoder(Kind)
_bundle = msgspec.json.Decoder(Bundle)


class Records(Struct, frozen=True):
    """One patient's resources as they stand in the files, the Patient first."""

    patient_id: str
    raw: tuple[Raw, ...]

    def chart(self, vocabulary: Vocabulary) -> Chart:
        located: list[Located] = [(read(data), url) for data, url in self.raw]
        return Chart.of(located, Identity(self.patient_id), vocabulary)

    def plain(self) -> list[dict[str, Any]]:
        return [json.loads(data) for data, _ in self.raw]


def records(folder: Path) -> Iterator[Records]:
    """Every patient of a folder of NDJSON files and Bundles, in the order of their ids."""
    found = [(read(data), (data, url)) for data, url in _resources(folder)]
    patients = {str(r.id): (r, raw) for r, raw in found if r.resource_type == "Patient"}
    names = _names(patients.values())
    mine: dict[str, list[Raw]] = {patient_id: [raw] for patient_id, (_, raw) in patients.items()}
    for resource, raw in found:
        if resource.resource_type == "Medication":  # of no patient: whoever's prescription names it
            for own in mine.values():
                own.append(raw)
        elif resource.resource_type != "Patient":
            mine[names[_subject(resource)]].append(raw)
    merged = {names[_own(patient)] for patient in patients}
    for patient_id in sorted(merged):
        yield Records(patient_id, tuple(mine[patient_id]))


def _own(patient_id: str) -> str:
    return f"Patient/{patient_id}"


def _subject(resource: Resource) -> str:
    subject = subject_of(resource)
    return split(subject.reference)[1] if subject and subject.reference else ""


def _names(patients: Iterable[tuple[Resource, Raw]]) -> dict[str, str]:
    """Every name under which a patient's resources travel: id, fullUrl, and the records that theirs replaces."""
    names: dict[str, str] = {}
    for patient, (_, url) in patients:
        own = str(patient.id)
        names |= {_own(own): own, f"urn:uuid:{own}": own} | ({url: own} if url else {})
    for patient, _ in patients:
        for link in patient.link or ():
            if link.type == "replaces" and link.other and link.other.reference:
                names[split(link.other.reference)[1]] = str(patient.id)
    return names


def _resources(folder: Path) -> Iterator[Raw]:
    for path in sorted(folder.iterdir()):
        if path.suffix == ".ndjson":
            yield from ((line, None) for line in path.read_bytes().splitlines() if _wanted(line))
        elif path.suffix == ".json":
            for entry in _bundle.decode(path.read_bytes()).entry:
                if _wanted(data := bytes(entry.resource)):
                    yield data, entry.full_url


def _wanted(line: bytes) -> bool:
    return bool(line.strip()) and _kind.decode(line).resource_type in TYPES
