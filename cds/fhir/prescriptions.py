"""What a prescription or a statement says about taking a medication, in the shapes in which hospitals send it."""

from collections.abc import Iterable

from msgspec import Raw, Struct, ValidationError, json

from cds.fhir.resources import CodeableConcept, Period, Resource
from cds.fhir.times import When, when

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


def course_begins(resource: Resource) -> When | None:
    """When the first dose is to be taken; None when any dose may be taken at once."""
    starts = [_moment(bounds.start) if bounds else None for bounds in _bounds(resource.dosage_instruction)]
    known = [start for start in starts if start is not None]
    return min(known, key=lambda start: start.first) if known and len(known) == len(starts) else None


def course_ends(resource: Resource) -> When | None:
    """Until when the last dose is to be taken; None when any dose with a period is open, or nothing is said."""
    ends = [bounds.end for bounds in _bounds(resource.dosage_instruction) if bounds]
    known = [] if None in ends else [end for text in ends if (end := _moment(text)) is not None]
    return max(known, key=lambda end: end.last, default=None)


def _moment(text: str | None) -> When | None:
    return when(text) if text else None


def _bounds(member: Raw) -> Iterable[Period | None]:
    """The period by which each dosage is bounded, if it is by one."""
    try:
        dosages = _dosages.decode(member) if member else None
    except ValidationError:
        return
    for dosage in dosages or ():
        repeat = dosage.timing.repeat if dosage.timing else None
        yield repeat.bounds_period if repeat else None


def valid_until(resource: Resource) -> str | None:
    """Until when a prescription may be dispensed, as a date."""
    member = resource.dispense_request
    try:
        dispense = _dispense.decode(member) if member else None
    except ValidationError:
        return None
    return dispense.validity_period.end if dispense and dispense.validity_period else None
