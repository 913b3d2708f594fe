"""What an Encounter says about how a stay began, and of which other it is a part, in the shapes that hospitals send."""

from msgspec import Raw, Struct, ValidationError, json

from cds.fhir.resources import CodeableConcept, Reference, Resource, concepts


class _Admission(Struct, rename="camel"):
    admit_source: CodeableConcept | None = None


_admission = json.Decoder(_Admission | None)
_reference = json.Decoder(Reference | None)


def kinds(encounter: Resource) -> tuple[CodeableConcept, ...]:
    """Every concept by which a code set may know an Encounter: type, service, priority, and where from it came."""
    found = (*concepts(encounter.type), *concepts(encounter.service_type))
    if not (encounter.priority or encounter.hospitalization or encounter.admission):
        return found  # as most visits
    return (*found, *concepts(encounter.priority), *_admit_source(encounter.hospitalization or encounter.admission))


def _admit_source(member: Raw) -> tuple[CodeableConcept, ...]:
    try:
        admission = _admission.decode(member) if member else None
    except ValidationError:
        return ()
    return (admission.admit_source,) if admission and admission.admit_source else ()


def part_of(encounter: Resource) -> str | None:
    """The reference to the Encounter that this one is a part of; a list, as other resources have it, is none."""
    try:
        whole = _reference.decode(encounter.part_of) if encounter.part_of else None
    except ValidationError:
        return None
    return whole.reference if whole else None
