"""The one place where a FHIR resource becomes facts."""

from collections.abc import Sequence

from msgspec import Raw, Struct, ValidationError, json

from cds.fhir.codes import BARRED, Vocabulary
from cds.fhir.resources import (
    CodeableConcept,
    Coding,
    Component,
    Period,
    Quantity,
    Resource,
    codings,
    concepts,
    first_code,
)
from cds.fhir.times import When, when


class Fact(Struct, frozen=True, gc=False):
    """One thing a resource says, flat. Members are None where the resource is silent.

    `when` is the clinically relevant time (effective, onset or recorded, performed end, period start); `began` and
    `ended` bound what takes time. `value` is in `unit` as sent. `problem` says why the fact may not be used although
    it counts ("modified", "not readable", "no value").
    """

    kind: str
    source: str
    coding: Coding
    when: When | None = None
    status: str | None = None
    problem: str | None = None
    encounter: str | None = None
    issued: When | None = None
    value: float | None = None
    text: str | None = None
    answer: tuple[Coding, ...] = ()
    moment: When | None = None
    comparator: str | None = None
    unit: str | None = None
    unit_code: str | None = None
    category: str | None = None
    clinical_status: str | None = None
    verification: str | None = None
    began: When | None = None
    ended: When | None = None


Found = tuple[str, Fact]


def facts_of(resource: Resource, vocabulary: Vocabulary) -> Sequence[Found]:
    """(code set, fact) for every coding of the resource that a code set of the vocabulary holds."""
    reader = _READERS.get(resource.resource_type or "")
    return reader(resource, vocabulary) if reader is not None else ()


def source_of(resource: Resource) -> str:
    return f"{resource.resource_type}/{resource.id}" if resource.id else str(resource.resource_type)


def moment(text: str | None) -> When | None:
    return when(text) if text else None


def _hits(concept: CodeableConcept | None, vocabulary: Vocabulary) -> Sequence[tuple[str, Coding]]:
    """Each set once, with the first coding that put the concept into it."""
    hits = vocabulary.hits(concept.coding) if concept is not None and concept.coding else ()
    if not hits or (len(hits) == 1 and not hits[0][0].startswith(BARRED)):
        return hits
    return _once_each(hits)


def _once_each(hits: Sequence[tuple[str, Coding]]) -> Sequence[tuple[str, Coding]]:
    barred = {name[len(BARRED) :] for name, _ in hits if name.startswith(BARRED)}
    first: dict[str, tuple[str, Coding]] = {}
    for name, coding in hits:
        if name not in barred and not name.startswith(BARRED):
            first.setdefault(name, (name, coding))
    return list(first.values())


def _observation(resource: Resource, vocabulary: Vocabulary) -> Sequence[Found]:
    whole = _hits(resource.code, vocabulary)
    if not resource.component:
        return [(name, _measured(resource, resource, coding, vocabulary)) for name, coding in whole]
    parts = [
        (name, _measured(resource, component, coding, vocabulary))
        for component in resource.component
        for name, coding in _hits(component.code, vocabulary)
    ]
    in_parts = {name for name, _ in parts} if not _speaks(resource) else ()
    # A panel's value stands in its components.
    own = [(name, _measured(resource, resource, coding, vocabulary)) for name, coding in whole if name not in in_parts]
    return own + parts


def _speaks(holder: Component) -> bool:
    values = (holder.value_quantity, holder.value_integer, holder.value_string, holder.value_codeable_concept)
    others = (holder.value_boolean, holder.value_date_time, holder.value_range, holder.value_ratio)
    return any(value is not None for value in (*values, *others))


def _measured(resource: Resource, holder: Component, coding: Coding, vocabulary: Vocabulary) -> Fact:
    quantity, answer, stated = (
        holder.value_quantity or _NO_QUANTITY,
        holder.value_codeable_concept,
        holder.value_integer,
    )
    unit, unit_code = _units(holder, quantity, vocabulary) if vocabulary.units else (quantity.unit, quantity.code)
    timed = resource.effective_date_time or resource.effective_instant
    # In the order of the struct: by name, msgspec takes ten times as long, and a chart has some hundred of these.
    return Fact(
        "Observation",
        f"Observation/{resource.id}",
        coding,
        when(timed) if timed else _end(resource.effective_period),
        resource.status,
        _problem(resource, holder),
        resource.encounter.reference if resource.encounter else None,
        when(resource.issued) if resource.issued else None,
        quantity.value if stated is None or holder.value_quantity else float(stated),
        holder.value_string,
        codings(answer) if answer else (),
        moment(holder.value_date_time),
        quantity.comparator,
        unit,
        unit_code,
    )


_NO_QUANTITY = Quantity()


def _units(holder: Component, quantity: Quantity, vocabulary: Vocabulary) -> tuple[str | None, str | None]:
    """The quantity's unit and unit code, in the spelling to which the site maps them for one of the holder's codes."""
    if quantity is _NO_QUANTITY:
        return None, None
    codes = [(c.system, c.code) for c in codings(holder.code)]
    code = vocabulary.spelling(codes, quantity.code) if quantity.code else None
    return vocabulary.spelling(codes, quantity.unit) if quantity.unit or not code else None, code


def _doubt(resource: Resource) -> str | None:
    if resource.modifier_extension:
        return "modified"  # FHIR: who does not know a modifier extension must not use the resource
    return "not readable" if resource.faults else None


def _problem(resource: Resource, holder: Component) -> str | None:
    if resource.modifier_extension or resource.faults:
        return _doubt(resource)
    if holder.modifier_extension or resource.focus:
        return "modified"  # with a focus it is about a fetus, a donor or a device, and not about the patient
    return "no value" if holder.data_absent_reason is not None else None


def _encounter(resource: Resource) -> str | None:
    return resource.encounter.reference if resource.encounter else None


def _condition(resource: Resource, vocabulary: Vocabulary) -> Sequence[Found]:
    return [
        (
            name,
            Fact(
                kind="Condition",
                source=source_of(resource),
                coding=coding,
                when=moment(resource.onset_date_time)
                or _start(resource.onset_period)
                or moment(resource.recorded_date),
                problem=_doubt(resource),
                encounter=_encounter(resource),
                category=_category(resource.category),
                clinical_status=first_code(resource.clinical_status),
                verification=first_code(resource.verification_status),
            ),
        )
        for name, coding in _hits(resource.code, vocabulary)
    ]


def _category(member: Raw) -> str | None:
    codes = [c.code for concept in concepts(member) for c in codings(concept) if c.code]
    if "problem-list-item" in codes:
        return "problem-list-item"  # whatever else it is: what is on the list is current until it is taken off
    return "encounter-diagnosis" if "encounter-diagnosis" in codes else next(iter(codes), None)


def _start(period: Period | None) -> When | None:
    return moment(period.start) if period else None


def _end(period: Period | None) -> When | None:
    return moment(period.end) if period else None


def _procedure(resource: Resource, vocabulary: Vocabulary) -> Sequence[Found]:
    period = resource.performed_period
    performed = resource.performed_date_time or ((period.end or period.start) if period else None)
    return [
        (
            name,
            Fact(
                kind="Procedure",
                source=source_of(resource),
                coding=coding,
                when=moment(performed),
                began=_start(period),
                status=resource.status,
                problem=_doubt(resource),
                encounter=_encounter(resource),
            ),
        )
        for name, coding in _hits(resource.code, vocabulary)
    ]


def _encounter_facts(resource: Resource, vocabulary: Vocabulary) -> Sequence[Found]:
    kinds = (*concepts(resource.type), *concepts(resource.service_type))
    return [(name, stay(resource, coding)) for concept in kinds for name, coding in _hits(concept, vocabulary)]


def stay(resource: Resource, coding: Coding | None = None) -> Fact:
    """An Encounter as a fact; its class is the coding unless another is given."""
    period = resource.period
    return Fact(
        kind="Encounter",
        source=source_of(resource),
        coding=coding or _class(resource.class_),
        when=_start(period),
        ended=_end(period),
        status=resource.status,
        problem=_doubt(resource),
    )


class _ClassCode(Struct):
    code: str | None = None
    coding: tuple[Coding, ...] = ()


_class_decoder = json.Decoder(_ClassCode | tuple[_ClassCode, ...] | None)


def _class(member: Raw) -> Coding:
    """Encounter.class by its code: a Coding in R4; R5 sends a list of CodeableConcepts."""
    try:
        found = _class_decoder.decode(member) if member else None
    except ValidationError:
        return Coding()
    if isinstance(found, _ClassCode):
        return Coding(code=found.code)
    return next((coding for concept in found or () for coding in concept.coding), Coding())


def _medication(resource: Resource, vocabulary: Vocabulary) -> Sequence[Found]:
    concept = resource.medication_codeable_concept or _contained_medication(resource)
    period = resource.effective_period
    taken = resource.authored_on or resource.effective_date_time or (period.start if period else None)
    return [
        (
            name,
            Fact(
                kind=str(resource.resource_type),
                source=source_of(resource),
                coding=coding,
                when=moment(taken or resource.date_asserted),
                ended=_end(period),
                status=resource.status,
                problem=_doubt(resource),
                encounter=_encounter(resource),
            ),
        )
        for name, coding in _hits(concept, vocabulary)
    ]


def _contained_medication(resource: Resource) -> CodeableConcept | None:
    wanted = resource.medication_reference.reference if resource.medication_reference else None
    return next((c.code for c in resource.contained or () if wanted == f"#{c.id}"), None)


_READERS = {
    "Observation": _observation,
    "Condition": _condition,
    "Procedure": _procedure,
    "Encounter": _encounter_facts,
    "MedicationRequest": _medication,
    "MedicationStatement": _medication,
    "MedicationAdministration": _medication,
}
