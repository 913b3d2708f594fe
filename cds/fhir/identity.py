"""Whose resource is it: one patient per chart, and any doubt about identity refuses the whole computation."""

import re
from collections.abc import Iterable, Iterator

from cds.errors import WrongPatient
from cds.fhir.resources import Actor, Reference, Resource

FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")

READ_TYPES = frozenset({
    "Observation", "Condition", "Procedure", "Encounter", "MedicationRequest", "MedicationStatement",
    "MedicationAdministration",
})  # fmt: skip
"""Types that become facts; each must name its patient."""


NAMED_TYPES = READ_TYPES | {
    "AllergyIntolerance", "Appointment", "CarePlan", "Claim", "Coverage", "DiagnosticReport", "DocumentReference",
    "ExplanationOfBenefit", "Goal", "Immunization", "Patient", "RiskAssessment", "ServiceRequest",
}  # fmt: skip
"""Types that an error names. Whatever else stands in resourceType came from the wire, and may be anything."""


def named(kind: str) -> str:
    """A resource's type as a message may name it, with its article."""
    name = kind if kind in NAMED_TYPES else "resource"
    return f"an {name}" if name[0] in "AEIO" else f"a {name}"


def _subject(kind: str) -> str:
    return f"{kind}.subject" if kind in NAMED_TYPES else "subject"


def subjects_of(resource: Resource) -> tuple[Reference, ...]:
    """The references to whom the resource is about, wherever its type keeps them.

    Among participants they are those that are a Patient; where none surely is, those that may be one.
    """
    direct = (resource.subject, resource.patient, resource.beneficiary)
    found = [reference for reference in direct if reference is not None]
    if not found and resource.participant:
        actors = [p.actor for p in resource.participant if p.actor]
        surely = [actor for actor in actors if _is_patient(actor)]
        return tuple(surely or filter(_may_be_patient, actors))
    return tuple(found)


def _is_patient(actor: Actor) -> bool:
    return "Patient/" in (actor.reference or "") or _type_of(actor) == "Patient"


def _may_be_patient(actor: Actor) -> bool:
    """Whether a participant may be a patient: a name of the Bundle or an identifier, and no type."""
    named = (actor.reference or "").startswith("urn:") or (actor.identifier and not actor.reference)
    return bool(named) and not _type_of(actor)


def _type_of(actor: Actor) -> str:
    """A type as its name; FHIR also allows the URL of its definition."""
    return actor.type.rpartition("/")[2] if isinstance(actor.type, str) else ""


def subject_of(resource: Resource) -> Reference | None:
    """The first reference to whom the resource is about."""
    return next(iter(subjects_of(resource)), None)


def split(reference: str) -> tuple[str, str]:
    """A reference as (base, "Type/id"), unversioned. What has no base (`urn:`, `#contained`, `/path`) stays whole."""
    plain = reference.split("/_history/", 1)[0]
    if plain.startswith(("urn:", "#", "/")):
        return "", plain
    head, _, last = plain.rpartition("/")
    base, _, kind = head.rpartition("/")
    return base, f"{kind}/{last}" if kind else last


class Identity:
    """The names under which one patient's resources may travel.

    `bases` are the FHIR base URLs whose ids mean the same patient: an absolute reference to any other is foreign.
    """

    def __init__(self, patient_id: str, bases: Iterable[str] = ()) -> None:
        self.patient_id = patient_id
        self._bases = frozenset(base.rstrip("/") for base in bases) | {""}
        self._names = {f"Patient/{patient_id}", f"urn:uuid:{patient_id}"}
        self._owned: set[str | None] = set()
        self._server: str | None = None

    def is_named(self, patient: Resource) -> bool:
        """Whether a Patient is this one, or one that this one is known to have replaced."""
        return f"Patient/{patient.id}" in self._names

    def know(self, patient: Resource, full_url: str | None = None) -> None:
        """Learn this patient's other names from the Patient itself. Raises WrongPatient when it is somebody else's."""
        if not self.is_named(patient):
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

    def names(self, resource: Resource, full_url: str | None = None) -> Iterator[str]:
        """The references by which this patient's other resources may mean this one."""
        if resource.id:
            own = f"{resource.resource_type}/{resource.id}"
            yield own
            yield from (f"{base}/{own}" for base in self._bases if base)
            yield f"urn:uuid:{resource.id}"
        if full_url:
            yield full_url

    def check(self, resource: Resource, full_url: str | None = None) -> None:
        """Raises WrongPatient when the resource is about another, about nobody, or by identifier only."""
        if full_url and not (self._server and full_url.startswith(self._server)):
            self._check_server(full_url)
        kind = resource.resource_type
        if kind == "Patient":
            if f"Patient/{resource.id}" not in self._names:
                raise WrongPatient("a Patient resource is not the patient of the request", expressions=("Patient.id",))
            return
        if not kind:
            raise WrongPatient("a resource has no type: whose it is cannot be said", expressions=("resourceType",))
        subject = resource.subject
        if subject and subject.reference in self._owned and not resource.patient and not resource.beneficiary:
            return  # a chart spells its patient in one or two ways, some hundred times
        subjects = subjects_of(resource)
        if not all(subject.reference for subject in subjects) or (not subjects and kind in READ_TYPES):
            how = "by identifier only" if any(subject.identifier for subject in subjects) else "for nobody"
            message = f"{named(kind)} stands {how}: its subject has no reference"
            raise WrongPatient(message, expressions=(_subject(kind),))
        if not all(self.owns(subject.reference or "") for subject in subjects):
            raise WrongPatient(f"{named(kind)} is about somebody else", expressions=(_subject(kind),))
        self._owned |= {subject.reference for subject in subjects}

    def _check_server(self, full_url: str) -> None:
        """All entries must come from one server: a relative reference is meant on its own entry's server."""
        if full_url.startswith("urn:"):
            return
        base, _ = split(full_url)
        server = "" if base in self._bases else f"{base}/"
        if self._server is not None and server != self._server:
            raise WrongPatient("entries of more than one FHIR server", expressions=("Bundle.entry.fullUrl",))
        self._server = server
