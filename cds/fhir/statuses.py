"""What FHIR's coded statuses and categories say, in the shapes in which hospitals send them."""

from msgspec import Raw, Struct, ValidationError, json

from cds.fhir.resources import CodeableConcept, Coding, codings, concepts

CLINICAL = frozenset({"active", "recurrence", "relapse", "inactive", "remission", "resolved"})


def clinical(status: CodeableConcept | None) -> str | None:
    """The clinical status. One that is there but cannot be understood counts as active: it does not say "over"."""
    if status is None:
        return None
    said = {(c.code or "").lower() for c in codings(status)} & CLINICAL
    return min(said) if said else "active"


def verification(status: CodeableConcept | None) -> str | None:
    said = [c.code.lower() for c in codings(status) if c.code]
    denied = [code for code in said if code in ("refuted", "entered-in-error")]
    return next(iter(denied or said), None)


def category(member: Raw) -> str | None:
    codes = [c.code for concept in concepts(member) for c in codings(concept) if c.code]
    if "problem-list-item" in codes:
        return "problem-list-item"  # whatever else it is: what is on the list is current until it is taken off
    return "encounter-diagnosis" if "encounter-diagnosis" in codes else next(iter(codes), None)


class _ClassCode(Struct):
    code: str | None = None
    coding: tuple[Coding, ...] = ()


_class_decoder = json.Decoder(_ClassCode | tuple[_ClassCode, ...] | None)
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"


def encounter_class(member: Raw) -> Coding:
    """Encounter.class by its code: a Coding in R4; R5 sends CodeableConcepts, of which the standard's coding counts."""
    try:
        found = _class_decoder.decode(member) if member else None
    except ValidationError:
        return Coding()
    many = found if isinstance(found, tuple) else (found,) if found else ()
    choices = [c for one in many for c in (Coding(code=one.code), *one.coding) if c.code]
    chosen = next((c for c in choices if c.system == ACT_CODE), next(iter(choices), Coding()))
    return Coding(code=chosen.code.upper() if chosen.code else None)
