"""What a hook's context brings along before it is in the record: draft orders, and appointments to be booked."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct

from cds.errors import MalformedRequest, UnreadableResource
from cds.fhir.chart import Located
from cds.fhir.codes import CodeSet, Entry, system_named
from cds.fhir.identity import FHIR_ID, split
from cds.fhir.resources import CodeableConcept, Coding, Element, Reference, Resource, read_leniently

_ORDERED = frozenset({"MedicationRequest", "ServiceRequest"})
_SUBSTANCES = frozenset({"Medication", "Substance"})


class Draft(Struct, frozen=True):
    """One order that is not signed yet, with the codings of what is ordered and the names it goes by."""

    kind: str
    id: str | None
    codings: tuple[Coding, ...]
    names: frozenset[str] = frozenset()
    """As a selection may name it: "MedicationRequest/m1", and its entry's fullUrl."""

    @property
    def reference(self) -> str | None:
        """As an action names it: "MedicationRequest/m1"; None without an id that may travel."""
        return f"{self.kind}/{self.id}" if self.id and FHIR_ID.fullmatch(self.id) else None

    @property
    def coded(self) -> bool:
        """Whether any code says what is ordered."""
        return any(coding.system and coding.code for coding in self.codings)

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


class _Ingredient(Element, frozen=True):
    item_codeable_concept: CodeableConcept | None = None
    item_reference: Reference | None = None


def resources_in(bundle: Any, member: str, lenient: bool) -> tuple[Located, ...]:
    """The resources of a context's Bundle with their fullUrl, without orders that something not be done.

    Raises MalformedRequest for one that cannot be read, whose medicine would go unseen; `lenient` leaves it out.
    """
    entries = bundle.get("entry") or []
    if not isinstance(entries, list):
        raise MalformedRequest(f"context.{member}.entry is a JSON array", f"context.{member}.entry")
    found = (_read(entry, f"context.{member}.entry[{n}].resource", lenient) for n, entry in enumerate(entries))
    read = zip(found, map(_full_url, entries), strict=True)
    return tuple((resource, full_url) for resource, full_url in read if resource is not None)


def names_in(bundle: Mapping[str, Any]) -> frozenset[str]:
    """Every name by which an entry of a context's Bundle may be meant, whatever it holds."""
    entries = [entry for entry in bundle.get("entry") or () if isinstance(entry, dict)]
    found = ((entry, entry.get("resource")) for entry in entries)
    named = ((v.get("resourceType"), v.get("id"), _full_url(entry)) for entry, v in found if isinstance(v, dict))
    return frozenset(name for kind, id_, full_url in named for name in _names(kind, id_, full_url))


def _full_url(entry: Any) -> str | None:
    value = entry.get("fullUrl") if isinstance(entry, dict) else None
    return value if isinstance(value, str) else None


def _names(kind: object, id_: object, full_url: str | None) -> Iterator[str]:
    if id_:
        yield f"{kind}/{id_}"
    elif full_url:
        yield split(full_url)[1]
    if full_url:
        yield full_url


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
    if resource.id and resource.resource_type in _ORDERED and not lenient and not FHIR_ID.fullmatch(resource.id):
        raise MalformedRequest(f"{path}.id is not a FHIR id", f"{path}.id")
    return resource


def drafts_of(proposed: tuple[Located, ...]) -> Iterator[Draft]:
    """The orders of medicines and services among a context's resources."""
    substances = {
        name: resource
        for resource, full_url in proposed
        if resource.resource_type in _SUBSTANCES
        for name in _names(resource.resource_type, resource.id, full_url)
    }
    for resource, full_url in proposed:
        kind = resource.resource_type
        if kind in _ORDERED and resource.status not in ("entered-in-error", "revoked", "cancelled"):
            concepts = (resource.code, resource.medication_codeable_concept, *_referred(resource, substances))
            codings = tuple(coding for concept in concepts if concept for coding in concept.coding or ())
            yield Draft(kind, resource.id, codings, frozenset(_names(kind, resource.id, full_url)))


def _referred(order: Resource, substances: Mapping[str, Resource]) -> Iterator[CodeableConcept | None]:
    """What a medicationReference means and what that is made of, contained or beside it in the Bundle."""
    known = {**substances, **{f"#{one.id}": one for one in order.contained or ()}}
    medicine = _meant(order.medication_reference, known)
    if medicine is None:
        return
    yield medicine.code
    for ingredient in _ingredients(medicine):
        yield ingredient.item_codeable_concept
        substance = _meant(ingredient.item_reference, known)
        yield substance.code if substance else None


def _meant(reference: Reference | None, known: Mapping[str, Resource]) -> Resource | None:
    name = (reference.reference if reference else None) or ""
    return known.get(name) or known.get(split(name)[1])


def _ingredients(medicine: Resource) -> Iterator[_Ingredient]:
    found = msgspec.json.decode(medicine.ingredient) if medicine.ingredient else None
    for one in found if isinstance(found, list) else ():
        with suppress(msgspec.ValidationError):
            yield msgspec.convert(one, _Ingredient)
