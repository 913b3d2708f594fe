"""The one place where a FHIR resource becomes facts."""

from collections.abc import Sequence

from msgspec import Struct, structs

from cds.fhir.codes import BARRED, Vocabulary
from cds.fhir.encounters import kinds, part_of
from cds.fhir.prescriptions import UNNAMED, course_begins, course_ends, named, status, valid_until
from cds.fhir.resources import (
    Coding,
    Component,
    Period,
    Quantity,
    Resource,
    codings,
)
from cds.fhir.statuses import category, clinical, encounter_class, verification
from cds.fhir.times import When, when
from cds.fhir.unlisted import UNLISTED_CONDITION, UNLISTED_MEDICATION, tells_nothing


class Fact(Struct, frozen=True, gc=False):
    """One thing a resource says, flat. Members are None where the resource is silent.

    `when` is the clinically relevant time (effective, onset or recorded, performed end, period start); `began` and
    `ended` bound what takes time. `value` is in `unit` as sent. `problem` says why the fact may not be used although
    it counts ("modified", "not readable", "no value"). Of a medication, `category` is the intent, `issued`
    when it was stated, and `moment` until when it may be dispensed.
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
    found = reader(resource, vocabulary) if reader is not None else ()
    if any(name.startswith(BARRED) for name, _ in found):
        return [_barred(name, fact) if name.startswith(BARRED) else (name, fact) for name, fact in found]
    return found


def _barred(name: str, fact: Fact) -> Found:
    """A result that is also coded as another test stays in its place and cannot be used: no older one stands in."""
    return name[len(BARRED) :], structs.replace(fact, problem="other test")


def source_of(resource: Resource) -> str:
    """Type and id as a reference writes them, or nothing for a resource that nobody can refer to."""
    return f"{resource.resource_type}/{resource.id}" if resource.id else ""


def moment(text: str | None) -> When | None:
    return when(text) if text else None


def _observation(resource: Resource, vocabulary: Vocabulary) -> Sequence[Found]:
    whole = vocabulary.hits(resource.code)
    if not resource.component:
        return [(name, _measured(resource, resource, coding, vocabulary)) for name, coding in whole]
    parts = [
        (name, _measured(resource, component, coding, vocabulary))
        for component in resource.component
        for name, coding in vocabulary.hits(component.code)
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
    # In the order of the struct: by name it takes ten times as long, and a chart has some hundred of these.
    return Fact(
        "Observation",
        f"Observation/{resource.id}" if resource.id else "",
        coding,
        when(timed) if timed else _end(resource.effective_period),
        resource.status,
        _problem(resource, holder),
        (resource.encounter.reference or "") if resource.encounter else None,
        when(resource.issued) if resource.issued else None,
        quantity.value if stated is None or holder.value_quantity else float(stated),
        holder.value_string,
        codings(answer) if answer else (),
        when(holder.value_date_time) if holder.value_date_time else None,
        quantity.comparator or None,
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
    hits = vocabulary.hits(resource.code)
    if not hits and UNLISTED_CONDITION in vocabulary.sets and tells_nothing(resource.code):
        hits = ((UNLISTED_CONDITION, Coding()),)
    return [
        (
            name,
            Fact(
                "Condition",
                source_of(resource),
                coding,
                moment(resource.onset_date_time) or _start(resource.onset_period) or moment(resource.recorded_date),
                problem=_doubt(resource),
                encounter=_encounter(resource),
                category=category(resource.category),
                clinical_status=clinical(resource.clinical_status),
                verification=verification(resource.verification_status),
                ended=moment(resource.abatement_date_time) or _end(resource.abatement_period),
            ),
        )
        for name, coding in hits
    ]


def _start(period: Period | None) -> When | None:
    return moment(period.start) if period else None


def _end(period: Period | None) -> When | None:
    return moment(period.end) if period else None


def _procedure(resource: Resource, vocabulary: Vocabulary) -> Sequence[Found]:
    period = resource.performed_period or resource.occurrence_period  # R5's name for it
    single = resource.performed_date_time or resource.occurrence_date_time
    performed = single or ((period.end or period.start) if period else None)
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
        for name, coding in vocabulary.hits(resource.code)
    ]


def _encounter_facts(resource: Resource, vocabulary: Vocabulary) -> Sequence[Found]:
    return [(name, stay(resource, coding)) for concept in kinds(resource) for name, coding in vocabulary.hits(concept)]


def stay(resource: Resource, coding: Coding | None = None) -> Fact:
    """An Encounter as a fact; its class is the coding unless another is given, its encounter what it is a part of."""
    period = resource.period
    return Fact(
        "Encounter",
        source_of(resource),
        coding or encounter_class(resource.class_),
        _start(period),
        resource.status,
        _doubt(resource),
        encounter=part_of(resource),
        ended=_end(period),
    )


def _medication(resource: Resource, vocabulary: Vocabulary) -> Sequence[Found]:
    """Medications by their code; of one that is missing or in no list, that there is one (`UNNAMED`, `UNLISTED_…`)."""
    concept = named(resource)
    hits = vocabulary.hits(concept)
    if concept is None and UNNAMED in vocabulary.sets:
        hits = ((UNNAMED, Coding()),)
    elif not hits and concept and UNLISTED_MEDICATION in vocabulary.sets and resource.status == "active":
        hits = ((UNLISTED_MEDICATION, Coding()),)
    return [(name, _prescribed(resource, coding)) for name, coding in hits] if hits else ()


def _prescribed(resource: Resource, coding: Coding) -> Fact:
    period = resource.effective_period
    taken = resource.authored_on or resource.effective_date_time or (period.start if period else None)
    return Fact(
        kind=str(resource.resource_type),
        source=source_of(resource),
        coding=coding,
        when=moment(taken or resource.date_asserted),
        issued=moment(resource.date_asserted),
        began=course_begins(resource),
        ended=_end(period) or course_ends(resource),
        moment=moment(valid_until(resource)),
        status=status(resource),
        category=resource.intent,
        problem=_doubt(resource),
        encounter=_encounter(resource),
    )


_READERS = {
    "Observation": _observation,
    "Condition": _condition,
    "Procedure": _procedure,
    "Encounter": _encounter_facts,
    "MedicationRequest": _medication,
    "MedicationStatement": _medication,
    "MedicationAdministration": _medication,
}
