"""Sorts the resources of bundles and NDJSON files by patient; what belongs to nobody is rejected with a reason."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct, field

from cds.errors import UnreadableResource, WrongPatient
from cds.fhir.chart import Chart, Located
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import READ_TYPES, Identity, split, subject_of
from cds.fhir.resources import Resource, read, read_leniently


class Reject(Struct, frozen=True):
    """What could not take part: where it stands and why, never what it says."""

    file: str
    line: int
    reason: str


class Gathered(Struct):
    """Resources by patient id, in the order of first appearance, and the rejects."""

    patients: dict[str, list[Located]] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)

    def charts(self, vocabulary: Vocabulary) -> Iterator[tuple[str, Chart | WrongPatient]]:
        """Each patient's chart, or why there is none."""
        for patient_id, located in self.patients.items():
            identity = Identity(patient_id, _bases(located))
            try:
                yield patient_id, Chart.of(located, identity, vocabulary)
            except WrongPatient as error:
                yield patient_id, error


def gather(paths: Iterable[Path]) -> Gathered:
    """Read files (a resource, a Bundle, or NDJSON) and folders of them."""
    found: list[tuple[Path, int, Resource, str | None]] = []
    gathered = Gathered()
    for path in _files(paths):
        for line, text in _documents(path):
            try:
                found += [(path, line, resource, url) for resource, url in _unpacked(_read(text))]
            except UnreadableResource as error:
                where = f" at {error.path}" if error.path else ""
                gathered.rejects.append(Reject(path.name, line, f"{error.message}{where}"))
    names = _names(found)
    found.sort(key=lambda f: f[2].resource_type != "Patient")  # whoever is referred to must be known first
    for path, line, resource, url in found:
        _assign(gathered, names, path, line, resource, url)
    return gathered


def _assign(
    gathered: Gathered, names: dict[str, str], path: Path, line: int, resource: Resource, url: str | None
) -> None:
    kind = resource.resource_type or ""
    if kind == "Patient":
        if resource.id:
            gathered.patients.setdefault(resource.id, []).append((resource, url))
        else:
            gathered.rejects.append(Reject(path.name, line, "a Patient has no id"))
        return
    subject = subject_of(resource)
    reference = subject.reference if subject else None
    if not kind:
        gathered.rejects.append(Reject(path.name, line, "no FHIR resource: it has no resourceType"))
    if kind not in READ_TYPES:
        return
    owner = names.get(split(reference)[1]) if reference else None
    if owner is None:
        why = "its patient is not in the data" if reference else "its subject has no reference"
        gathered.rejects.append(Reject(path.name, line, f"{kind}: {why}"))
    else:
        gathered.patients[owner].append((resource, url))


def _names(found: Iterable[tuple[Path, int, Resource, str | None]]) -> dict[str, str]:
    """Patient id by every name under which a resource may mean the patient."""
    names: dict[str, str] = {}
    for _, _, resource, url in found:
        if resource.resource_type == "Patient" and resource.id:
            names[f"Patient/{resource.id}"] = names[f"urn:uuid:{resource.id}"] = resource.id
            if url and url.startswith("urn:"):
                names[url] = resource.id
            for link in resource.link or ():
                if link.type == "replaces" and link.other and link.other.reference:
                    names.setdefault(split(link.other.reference)[1], resource.id)
    return names


def _bases(located: Iterable[Located]) -> set[str]:
    """The one server that absolute references of a chart name; two of them are two patients until somebody says not."""
    references = (s.reference for r, _ in located if (s := subject_of(r)) and s.reference)
    bases = {base for base, _ in map(split, references) if base}
    return bases if len(bases) == 1 else set()


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.iterdir() if p.suffix in (".json", ".ndjson"))
        else:
            yield path


def _documents(path: Path) -> Iterator[tuple[int, bytes]]:
    if path.suffix == ".ndjson":
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if text := line.strip().removeprefix(b"\xef\xbb\xbf"):
                    yield number, text
    else:
        yield 1, path.read_bytes().removeprefix(b"\xef\xbb\xbf")


def _read(text: bytes) -> Resource:
    try:
        return read(text)
    except UnreadableResource as error:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise error from None
        return read_leniently(value)


def _unpacked(resource: Resource) -> list[Located]:
    """A Bundle's entries, or the resource itself."""
    if resource.resource_type != "Bundle":
        return [(resource, None)]
    return [(entry.resource, entry.full_url) for entry in resource.entry or () if entry.resource is not None]
