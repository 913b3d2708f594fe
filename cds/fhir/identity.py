"""Whose resource is it: one patient per chart, and any doubt about identity refuses the whole computation."""

from collections.abc import Iterable

from cds.errors import WrongPatient
from cds.fhir.resources import Reference, Resource

READ_TYPES = frozenset({
    "Observation", "Condition", "Procedure", "Encounter", "MedicationRequest", "MedicationStatement",
    "MedicationAdministration",
})  # fmt: skip
"""Types that become facts; each must name its patient."""


def subject_of(resource: Resource) -> Reference | None:
    """The reference to whom the resource is about, wherever its type keeps it."""
    direct = resource.subject or resource.patient or resource.beneficiary
    if direct is not None or not resource.participant:
        return direct
    actors = (p.actor for p in resource.participant if p.actor and p.actor.reference)
    return next((a for a in actors if "Patient/" in (a.reference or "")), None)


def split(reference: str) -> tuple[str, str]:
    """A reference as (base, "Type/id"), without its version. `urn:` and `#contained` have no base and stay whole."""
    plain = reference.split("/_history/", 1)[0]
    if plain.startswith(("urn:", "#")):
        return "", plain
    head, _, last = plain.rpartition("/")
    base, _, kind = head.rpartition("/")
    return base, f"{kind}/{last}" if kind else last


class Identity:
    """The names under which one patient's resources may travel.

    `bases` are the FHIR base URLs whose ids mean the same patient: an absolute reference to any other server is foreign.
    """

    def __init__(self, patient_id: str, bases: Iterable[str] = ()) -> None:
        self.patient_id = patient_id
        self._bases = frozenset(base.rstrip("/") for base in bases) | {""}
        self._names = {f"Patient/{patient_id}", f"urn:uuid:{patient_id}"}

    def know(self, patient: Resource, full_url: str | None = None) -> None:
        """Learn this patient's other names from the Patient itself. Raises WrongPatient when it is somebody else's."""
        if f"Patient/{patient.id}" not in self._names:
            raise WrongPatient("a Patient resource is not the patient of the request", expressions=("Patient.id",))
        if full_url:
            self._know_full_url(full_url)
        for link in patient.link or ():
            if link.type == "replaces" and link.other and link.other.reference:
                base, name = split(link.other.reference)
                if base in self._bases:
                    self._names.add(name)

    def _know_full_url(self, full_url: str) -> None:
        # Only a urn is the Bundle's own name; a URL is another server's claim unless that server is known.
        if full_url.startswith("urn:"):
            self._names.add(full_url)

    def owns(self, reference: str) -> bool:
        """Whether a reference means this patient."""
        base, name = split(reference)
        return base in self._bases and name in self._names

    def check(self, resource: Resource) -> None:
        """Raises WrongPatient when the resource is about another, about nobody, or by identifier only."""
        kind = resource.resource_type or "resource"
        if kind == "Patient":
            if f"Patient/{resource.id}" not in self._names:
                raise WrongPatient("a Patient resource is not the patient of the request", expressions=("Patient.id",))
            return
        subject = subject_of(resource)
        if subject is None or not subject.reference:
            if kind in READ_TYPES:
                how = "by identifier only" if subject and subject.identifier else "for nobody"
                raise WrongPatient(f"a {kind} stands {how}: its subject has no reference", expressions=(f"{kind}.subject",))
            return
        if not self.owns(subject.reference):
            raise WrongPatient(f"a {kind} is about somebody else", expressions=(f"{kind}.subject",))
