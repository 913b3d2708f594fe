"""Sorts the resources of bundles and NDJSON files by patient; what belongs to nobody is rejected with a reason."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct, field

from cds.batch.answers import bases_of
from cds.batch.documents import Reject, resources
from cds.errors import DataUnavailable
from cds.fhir.chart import Chart, Located
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import READ_TYPES, Identity, split, subject_of


class Gathered(Struct):
    """Resources by patient id, in the order of first appearance, and the rejects. `count` is of all resources."""

    patients: dict[str, list[Located]] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    count: int = 0

    @property
    def nothing(self) -> bool:
        """Whether there was no resource, nor anything that might have been one."""
        return not self.count and not self.rejects

    def charts(self, vocabulary: Vocabulary) -> Iterator[tuple[str, Chart | DataUnavailable]]:
        """Each patient's chart, or why there is none."""
        for patient_id, located in self.patients.items():
            identity = Identity(patient_id, bases_of(located))
            try:
                yield patient_id, Chart.of(located, identity, vocabulary)
            except DataUnavailable as error:
                yield patient_id, error


def gather(paths: Iterable[Path]) -> Gathered:
    """Read files (a resource, a Bundle, or NDJSON), folders of them, and standard input for "-"."""
    gathered = Gathered()
    found = list(resources(paths, gathered.rejects))
    gathered.count = len(found)
    names = _names(located for _, _, located in found)
    found.sort(key=lambda f: f[2][0].resource_type != "Patient")  # whoever is referred to must be known first
    for path, line, located in found:
        reason = _assign(gathered.patients, names, located)
        if reason is not None:
            gathered.rejects.append(Reject(path.name, line, reason))
    return gathered


def _assign(patients: dict[str, list[Located]], names: dict[str, str], located: Located) -> str | None:
    """Give a resource to its patient, or say why it cannot be; types that nobody reads are nobody's."""
    resource, _ = located
    kind = resource.resource_type
    if not kind:
        return "no FHIR resource: it has no resourceType"
    if kind == "Patient":
        if not resource.id:
            return "a Patient has no id"
        patients.setdefault(resource.id, []).append(located)
        return None
    if kind not in READ_TYPES:
        return None
    subject = subject_of(resource)
    reference = subject.reference if subject else None
    if not reference:
        return f"{kind}: its subject has no reference"
    owner = names.get(split(reference)[1])
    if owner is None:
        return f"{kind}: its patient is not in the data"
    patients[owner].append(located)
    return None


def _names(found: Iterable[Located]) -> dict[str, str]:
    """Patient id by every name under which a resource may mean the patient."""
    names: dict[str, str] = {}
    for resource, url in found:
        if resource.resource_type == "Patient" and resource.id:
            names[f"Patient/{resource.id}"] = names[f"urn:uuid:{resource.id}"] = resource.id
            if url and url.startswith("urn:"):
                names[url] = resource.id
            for link in resource.link or ():
                if link.type == "replaces" and link.other and link.other.reference:
                    names.setdefault(split(link.other.reference)[1], resource.id)
    return names
