"""What a hook's context brings along before it is in the record: draft orders, and appointments to be booked."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from cds.errors import MalformedRequest, UnreadableResource
from cds.fhir.codes import CodeSet, Entry, system_named
from cds.fhir.resources import CodeableConcept, Coding, Reference, Resource, read_leniently

_ORDERED = frozenset({"MedicationRequest", "ServiceRequest"})


class Draft(Struct, frozen=True):
    """One order that is not signed yet, with the codings of what is ordered."""

    kind: str
    id: str | None
    codings: tuple[Coding, ...]

    @property
    def reference(self) -> str | None:
        """As a selection or an action names it: "MedicationRequest/m1"."""
        return f"{self.kind}/{self.id}" if self.id else None

    def entry_of(self, codes: CodeSet) -> Entry | None:
        """The line of a code set that means what is ordered, by its code or by one it begins with; None for none."""
        for coding in self.codings:
            system = system_named(coding.system)
            if system and coding.code and codes.holds(system, coding.code):
                return _line(codes, system, coding.code)
        return None


def _line(codes: CodeSet, system: str, code: str) -> Entry:
    def of(*matches: str) -> Iterator[Entry]:
        return (e for e in codes.entries if e.system == system and e.match in matches)

    exact = next((e for e in of("exact") if e.code.upper() == code.upper()), None)
    longer = (e for e in of("prefix") if code.upper().startswith(e.code.upper()))
    return exact or next(longer, Entry(system, code, display=codes.name.replace("_", " ")))


def resources_in(bundle: Any, member: str, lenient: bool) -> tuple[Resource, ...]:
    """The resources of a context's Bundle, without orders that something not be done.

    Raises MalformedRequest for one that cannot be read, whose medicine would go unseen; `lenient` leaves it out.
    """
    entries = bundle.get("entry") or []
    if not isinstance(entries, list):
        raise MalformedRequest(f"context.{member}.entry is a JSON array", f"context.{member}.entry")
    found = (_read(entry, f"context.{member}.entry[{n}].resource", lenient) for n, entry in enumerate(entries))
    return tuple(resource for resource in found if resource is not None)


def _read(entry: Any, path: str, lenient: bool) -> Resource | None:
    value = entry.get("resource") if isinstance(entry, dict) else None
    if isinstance(value, dict) and value.get("doNotPerform") is True:
        return None
    try:
        resource = read_leniently(value)
    except UnreadableResource as fault:
        if lenient:
            return None
        raise MalformedRequest(f"{path}: {fault.message}", path) from None
    if resource.faults and resource.resource_type in _ORDERED and not lenient:
        raise MalformedRequest(f"{path}: {resource.faults[0]} cannot be read", path)
    return resource


def drafts_of(resources: tuple[Resource, ...]) -> Iterator[Draft]:
    """The orders of medicines and services among a context's resources."""
    medicines = {f"Medication/{r.id}": r.code for r in resources if r.resource_type == "Medication" and r.id}
    for resource in resources:
        if resource.resource_type in _ORDERED and resource.status not in ("entered-in-error", "revoked", "cancelled"):
            concepts = (resource.code, resource.medication_codeable_concept, _referred(resource, medicines))
            codings = tuple(coding for concept in concepts if concept for coding in concept.coding or ())
            yield Draft(resource.resource_type, resource.id, codings)


def _referred(resource: Resource, medicines: dict[str, CodeableConcept | None]) -> CodeableConcept | None:
    """What a medicationReference means, contained or beside it in the Bundle."""
    reference = (resource.medication_reference or Reference()).reference or ""
    contained = {f"#{one.id}": one.code for one in resource.contained or ()}
    return contained.get(reference) or medicines.get("/".join(reference.split("/")[-2:]))
