"""Whose a resource of an export is, and which of two records of one person stands for both."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Set

from msgspec import Struct

from cds.batch.kept import named
from cds.fhir.identity import split, subject_of
from cds.fhir.resources import Resource

LONGEST_ID = 64
"""FHIR R4's limit for an id."""


class Unowned(Struct, frozen=True):
    """Why nobody can say whose a resource is."""

    reason: str


def owner_of(resource: Resource) -> str | Unowned:
    """The id of the patient whom a resource is about, by relative, absolute or urn reference."""
    kind = resource.resource_type
    if kind == "Patient":
        return _checked(resource.id or "", "a Patient has no id")
    subject = subject_of(resource)
    if subject is None or not subject.reference:
        return Unowned(f"{kind}: its subject has no reference")
    return _checked(_patient_id(subject.reference), f"{kind}: its subject is no patient")


def _patient_id(reference: str, bases: Collection[str] | None = None) -> str:
    """The id of the Patient that a reference means; "" for none, or for one on another server than `bases`."""
    base, name = split(reference)
    if base and bases is not None and base not in bases:
        return ""
    for prefix in ("Patient/", "urn:uuid:"):
        if name.startswith(prefix):
            return name[len(prefix) :]
    return ""


def _checked(patient_id: str, otherwise: str) -> str | Unowned:
    if not patient_id:
        return Unowned(otherwise)
    return patient_id if len(patient_id) <= LONGEST_ID else Unowned("a patient's id is longer than FHIR allows")


def replaced_by(patient: Resource, bases: Collection[str] = ()) -> Iterator[str]:
    """Ids of the records that this Patient replaces, here or by the name of a server of `bases`."""
    for link in patient.link or ():
        other = link.other.reference if link.type == "replaces" and link.other else None
        replaced = _patient_id(other, bases) if other else ""
        if replaced and replaced != patient.id:
            yield replaced


class Merged(Struct, frozen=True):
    """Patients whose record was replaced, by the id under which they are scored.

    `doubtful` are those of whom two records claim to be the surviving one: nothing of theirs is scored.
    """

    root: Mapping[bytes, bytes]
    doubtful: frozenset[bytes]

    def owner(self, patient: bytes) -> bytes:
        return self.root.get(patient, patient)


def links(
    now: Set[tuple[str, str]], before: Iterable[tuple[str, str]], names: Iterable[bytes]
) -> list[tuple[str, str]]:
    """The links (old id, new id) that hold, of an export and of those before; `names`: what came again in it.

    A record that came again without a link it had may have been merged by mistake: what was taken for one person's is
    mixed in the charts by now, so the link back is added, and of such a circle nobody is scored until all is read anew.
    """
    earlier = sorted(set(before) - now)
    came = {named("Patient", new): new for _, new in earlier}
    again = {came[name] for some in names for name in set(came).intersection(memoryview(some).cast("Q"))}
    undone = {(new, old) for old, new in earlier if new in again}
    return sorted({*now, *earlier, *undone})


def merged(replaced: Iterable[tuple[str, str]]) -> Merged:
    """Follow the links (old id, new id) to their ends."""
    newer: dict[bytes, set[bytes]] = {}
    for before, after in replaced:
        newer.setdefault(before.encode(), set()).add(after.encode())
    root: dict[bytes, bytes] = {}
    doubtful: set[bytes] = set()
    for old in newer:
        ends, seen = _ends(old, newer)
        if len(ends) == 1:
            root[old] = next(iter(ends))
        else:
            doubtful |= seen
    return Merged({old: end for old, end in root.items() if old not in doubtful}, frozenset(doubtful))


def _ends(start: bytes, newer: Mapping[bytes, set[bytes]]) -> tuple[set[bytes], set[bytes]]:
    """The records that nothing replaces, reached from one, and all that were passed; a circle has no end."""
    ends: set[bytes] = set()
    seen: set[bytes] = set()
    to_see = [start]
    while to_see:
        here = to_see.pop()
        if here in seen:
            continue
        seen.add(here)
        further = newer.get(here)
        if further:
            to_see += further
        else:
            ends.add(here)
    return ends, seen
