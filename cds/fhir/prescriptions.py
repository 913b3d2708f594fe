"""What a prescription or a statement says about taking a medication, in the shapes in which hospitals send it."""

from collections.abc import Iterable

from msgspec import Raw, Struct, ValidationError, json

from cds.fhir.resources import CodeableConcept, Period, Resource

UNNAMED = "medication_unnamed"
"""The set of medications of which nobody can say what they are: their Medication is not in the chart."""
NOT_ORDERED = frozenset({"proposal", "plan", "option"})
"""Intents of a MedicationRequest that no pharmacy fills: somebody thinks about it."""


class _Repeat(Struct, rename="camel"):
    bounds_period: Period | None = None


class _Timing(Struct):
    repeat: _Repeat | None = None


class _Dosage(Struct):
    timing: _Timing | None = None


class _Dispense(Struct, rename="camel"):
    validity_period: Period | None = None


_dosages = json.Decoder(tuple[_Dosage, ...] | None)
_dispense = json.Decoder(_Dispense | None)


def named(resource: Resource) -> CodeableConcept | None:
    """The medication's codes: its own, or those of the contained Medication that it refers to."""
    if resource.medication_codeable_concept is not None:
        return resource.medication_codeable_concept
    wanted = resource.medication_reference.reference if resource.medication_reference else None
    return next((c.code for c in resource.contained or () if c.id and wanted == f"#{c.id}"), None)


def status(resource: Resource) -> str | None:
    """The status; "not-taken" for what is asked not to be given."""
    return "not-taken" if resource.do_not_perform else resource.status


def course_ends(resource: Resource) -> tuple[str, ...]:
    """Until when each dose is to be taken, as dates; none when any dose is open or nothing is said."""
    ends = tuple(_bounds(resource.dosage_instruction))
    return () if None in ends else tuple(end for end in ends if end)


def _bounds(member: Raw) -> Iterable[str | None]:
    """The end of each dosage that is bounded by a period: None for one that is open."""
    try:
        dosages = _dosages.decode(member) if member else None
    except ValidationError:
        return
    for dosage in dosages or ():
        repeat = dosage.timing.repeat if dosage.timing else None
        if repeat and repeat.bounds_period:
            yield repeat.bounds_period.end


def valid_until(resource: Resource) -> str | None:
    """Until when a prescription may be dispensed, as a date."""
    member = resource.dispense_request
    try:
        dispense = _dispense.decode(member) if member else None
    except ValidationError:
        return None
    return dispense.validity_period.end if dispense and dispense.validity_period else None
