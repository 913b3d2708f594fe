"""The few members that we read of FHIR R4 resources, decoded straight from bytes; everything else is skipped."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from cds.errors import UnreadableResource

Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number in 64 bits, which every other reader of it can hold too."""
ABSENT = msgspec.Raw()
"""A member that is kept as JSON, and decoded by those few who read it, was not there."""


class Element(Struct, gc=False, frozen=True, rename="camel", omit_defaults=True):
    """A FHIR element. Every member may be absent or null; a member of the wrong JSON type is an error."""


class Coding(Element, frozen=True):
    system: str | None = None
    code: str | None = None


class CodeableConcept(Element, frozen=True):
    coding: tuple[Coding, ...] | None = None


class Quantity(Element, frozen=True):
    value: float | None = None
    comparator: str | None = None
    unit: str | None = None
    code: str | None = None


class Reference(Element, frozen=True):
    reference: str | None = None
    identifier: Any = None


class Period(Element, frozen=True):
    start: str | None = None
    end: str | None = None


class Extension(Element, frozen=True):
    url: str | None = None
    value_codeable_concept: CodeableConcept | None = None
    value_code: str | None = None
    value_coding: Coding | None = None
    value_period: Period | None = None
    extension: tuple["Extension", ...] | None = None


class Link(Element, frozen=True):
    """Patient.link (`other`, `type`) and Bundle.link (`relation`, `url`) in one."""

    other: Reference | None = None
    type: str | None = None
    relation: str | None = None
    url: str | None = None


class Component(Element, frozen=True):
    code: CodeableConcept | None = None
    value_quantity: Quantity | None = None
    value_string: str | None = None
    value_integer: Integer | None = None
    value_boolean: bool | None = None
    value_codeable_concept: CodeableConcept | None = None
    value_date_time: str | None = None
    value_range: Any = None
    value_ratio: Any = None
    data_absent_reason: CodeableConcept | None = None
    modifier_extension: Any = None


class Actor(Reference, frozen=True):
    type: Any = None


class Participant(Element, frozen=True):
    actor: Actor | None = None


class Resource(Component, frozen=True):
    """Any FHIR R4 resource, by the members that some reader here looks at.

    One wide struct instead of one a type: an unknown type still shows whose it is, and members can come in any order.
    """

    resource_type: str | None = None
    id: str | None = None
    meta: msgspec.Raw = ABSENT
    status: str | None = None
    subject: Reference | None = None
    focus: Any = None
    patient: Reference | None = None
    beneficiary: Reference | None = None
    encounter: Reference | None = None
    contained: tuple["Resource", ...] | None = None
    extension: tuple[Extension, ...] | None = None
    category: msgspec.Raw = ABSENT
    issued: str | None = None
    effective_date_time: str | None = None
    effective_instant: str | None = None
    effective_period: Period | None = None
    component: tuple[Component, ...] | None = None
    active: bool | None = None
    birth_date: str | None = None
    gender: str | None = None
    deceased_boolean: bool | None = None
    deceased_date_time: str | None = None
    link: tuple[Link, ...] | None = None
    clinical_status: CodeableConcept | None = None
    verification_status: CodeableConcept | None = None
    onset_date_time: str | None = None
    onset_period: Period | None = None
    abatement_date_time: str | None = None
    abatement_period: Period | None = None
    recorded_date: str | None = None
    performed_date_time: str | None = None
    performed_period: Period | None = None
    occurrence_date_time: str | None = None
    occurrence_period: Period | None = None
    class_: msgspec.Raw = msgspec.field(default=ABSENT, name="class")
    type: msgspec.Raw = ABSENT
    service_type: msgspec.Raw = ABSENT
    priority: msgspec.Raw = ABSENT
    hospitalization: msgspec.Raw = ABSENT
    admission: msgspec.Raw = ABSENT
    part_of: msgspec.Raw = ABSENT
    period: Period | None = None
    medication_codeable_concept: CodeableConcept | None = None
    medication_reference: Reference | None = None
    authored_on: str | None = None
    intent: str | None = None
    do_not_perform: bool | None = None
    ingredient: msgspec.Raw = ABSENT
    dosage_instruction: msgspec.Raw = ABSENT
    dispense_request: msgspec.Raw = ABSENT
    date_asserted: str | None = None
    participant: tuple[Participant, ...] | None = None
    start: str | None = None
    entry: tuple["BundleEntry", ...] | None = None
    issue: Any = None
    total: Any = None
    faults: tuple[str, ...] = msgspec.field(default=(), name="__faults")
    """Members that had the wrong JSON type and were left out; set by `read_leniently` only."""


class BundleEntry(Element, frozen=True):
    full_url: str | None = None
    resource: Resource | None = None


_decoder = msgspec.json.Decoder(Resource)
_encoder = msgspec.json.Encoder()
_entry_decoder = msgspec.json.Decoder(BundleEntry)


def read(data: bytes | str) -> Resource:
    """One resource (or Bundle) from JSON. Raises UnreadableResource that names the path, never the value."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise unreadable(error) from None
    except (RecursionError, UnicodeDecodeError, ValueError):
        raise UnreadableResource("nested too deeply or not UTF-8") from None


def condensed(resource: Resource) -> bytes:
    """A resource as JSON of the members that we read; `expanded` gives the same resource again."""
    return _encoder.encode(resource)


expanded = _decoder.decode
"""The resource that was `condensed`."""


def unreadable(error: msgspec.DecodeError) -> UnreadableResource:
    """Our error for msgspec's: its message names JSON types and a path, never a value of the resource."""
    text = str(error)
    said, _, path = text.partition(" - at `$")
    return UnreadableResource(said, path.rstrip("`").lstrip("."))


_concepts = msgspec.json.Decoder(CodeableConcept | tuple[CodeableConcept, ...] | None)


def concepts(member: msgspec.Raw) -> tuple[CodeableConcept, ...]:
    """CodeableConcepts of a member that is one or a list, depending on the resource's type; none when it is neither."""
    if not member:
        return ()
    try:
        found = _concepts.decode(member)
    except msgspec.ValidationError:
        return tuple(_readable_concepts(msgspec.json.decode(member)))
    return found if isinstance(found, tuple) else (found,) if found else ()


def _readable_concepts(value: Any) -> Iterator[CodeableConcept]:
    for one in value if isinstance(value, list) else ():
        with suppress(msgspec.ValidationError):
            yield msgspec.convert(one, CodeableConcept)


def codings(concept: CodeableConcept | None) -> tuple[Coding, ...]:
    return (concept.coding or ()) if concept is not None else ()


def first_code(concept: CodeableConcept | None) -> str | None:
    """The first code of a status concept such as clinicalStatus, where one coding is the rule."""
    for coding in codings(concept):
        if coding.code:
            return coding.code
    return None


_TOLERATED_FAULTS = 16
_NEVER_LEFT_OUT = frozenset({
    "resourceType", "id", "subject", "patient", "beneficiary", "participant", "code", "entry",
})  # fmt: skip
"""Without one of these nobody can say what a resource is, or whose: better none than one that seems to be absent."""

_BEYOND = ("out of range", "`int` <", "`int` >")
"""What is said of a number that no double or no 64 bits hold: refused wherever it is read (D22), never left out."""

_CODED = frozenset({"Observation", "Condition", "Procedure", "Medication"})
"""Types whose code decides what they say."""


def read_leniently(value: Any) -> Resource:
    """A resource from JSON, decoded or not, without members of the wrong JSON type; their names stand in `faults`.

    Raises UnreadableResource when the value is no resource, or when a member that must be known is wrong.
    """
    try:
        return _leniently(msgspec.json.decode(value) if isinstance(value, bytes) else value)
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise UnreadableResource("not JSON, or nested too deeply") from None


def _leniently(value: Any) -> Resource:
    if not isinstance(value, dict):
        raise UnreadableResource("a FHIR resource is a JSON object")
    value, faults = dict(value), list[str]()
    entries = value.pop("entry", None)
    if entries is not None and not isinstance(entries, list):
        raise UnreadableResource("a Bundle's entry is a JSON array", "entry")
    while True:
        try:
            resource = _decoder.decode(msgspec.json.encode(value))
            break
        except msgspec.ValidationError as error:
            member = _member_at_fault(error, value)
            if member is None or len(faults) >= _TOLERATED_FAULTS:
                raise unreadable(error) from None
            faults.append(member)
            del value[member]
    if entries is not None:
        resource = msgspec.structs.replace(resource, entry=tuple(_entry_leniently(e) for e in entries))
    return msgspec.structs.replace(resource, faults=tuple(faults)) if faults else resource


def _entry_leniently(value: Any) -> BundleEntry:
    if not isinstance(value, dict):
        raise UnreadableResource("a Bundle entry is a JSON object", "entry")
    inner, rest = value.get("resource"), {k: v for k, v in value.items() if k != "resource"}
    try:
        entry = _entry_decoder.decode(msgspec.json.encode(rest))
    except msgspec.ValidationError as error:
        raise unreadable(error) from None
    return msgspec.structs.replace(entry, resource=_leniently(inner)) if inner is not None else entry


def _member_at_fault(error: msgspec.ValidationError, value: dict[str, Any]) -> str | None:
    if value.get("resourceType") == "Bundle":
        return None  # a Bundle without its `link` would seem to be complete
    if any(words in str(error) for words in _BEYOND):
        return None
    member = unreadable(error).path.partition(".")[0].partition("[")[0]
    if member == "code" and str(value.get("resourceType")) not in _CODED:
        return member  # a PractitionerRole, which nobody reads, has a list of them
    return member if member in value and member not in _NEVER_LEFT_OUT else None
