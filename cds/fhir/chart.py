"""One patient's facts, and nobody else's."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from cds.errors import DataUnavailable, WrongPatient
from cds.fhir.codes import Vocabulary
from cds.fhir.facts import Fact, facts_of, stay
from cds.fhir.identity import Identity, split
from cds.fhir.person import Person, person_of
from cds.fhir.resources import Resource
from cds.fhir.times import When

if TYPE_CHECKING:
    from cds.features.feature import Feature

T = TypeVar("T")

Located = tuple[Resource, str | None]
"""A resource with the fullUrl of its Bundle entry, when it had one."""


class Chart:
    """One patient's facts by code set.

    `unread` names the needs (prefetch keys) that could not be had: reading one of them raises DataUnavailable, since
    what was not read is not absent.
    """

    def __init__(
        self,
        person: Person,
        facts: dict[str, list[Fact]],
        encounters: dict[str, Fact],
        unread: Iterable[str] = (),
    ) -> None:
        self.person = person
        self.encounters = encounters
        self.unread = frozenset(unread)
        self._facts = facts
        self._read: dict[tuple[int, datetime], Any] = {}

    @classmethod
    def of(
        cls,
        resources: Iterable[Located],
        identity: Identity,
        vocabulary: Vocabulary,
        unread: Iterable[str] = (),
    ) -> "Chart":
        """Build the chart of the patient whom `identity` names.

        Raises WrongPatient when any resource is about somebody else or about nobody, or when there is no Patient.
        """
        located = list(resources)
        patients = [(r, url) for r, url in located if r.resource_type == "Patient"]
        for patient, full_url in patients:
            identity.know(patient, full_url)
        if not patients:
            raise WrongPatient("there is no Patient resource", keys=("patient",))
        facts: dict[str, list[Fact]] = {}
        encounters: dict[str, Fact] = {}
        seen: set[tuple[str | None, str]] = set()
        for resource, _ in located:
            identity.check(resource)
            if resource.id and (key := (resource.resource_type, resource.id)) in seen:
                continue  # the same resource under two keys is one fact
            elif resource.id:
                seen.add(key)
            if resource.resource_type == "Encounter" and resource.id:
                encounters[f"Encounter/{resource.id}"] = stay(resource)
            for name, fact in facts_of(resource, vocabulary):
                facts.setdefault(name, []).append(fact)
        return cls(person_of(patients[0][0]), facts, encounters, unread)

    def facts(self, code_set: str, need: str | None = None) -> Sequence[Fact]:
        """Facts of a code set, in the order in which they came; `need` is the prefetch key that would bring them."""
        if need is not None and need in self.unread:
            raise DataUnavailable(f"'{need}' could not be read", keys=(need,))
        return self._facts.get(code_set, ())

    def encounter_of(self, fact: Fact) -> Fact | None:
        """The encounter in which a fact arose, when it is in the chart."""
        return self.encounters.get(split(fact.encounter)[1]) if fact.encounter else None

    def when(self, fact: Fact) -> When | None:
        """A fact's own time; for a Condition that has none, the start of its encounter."""
        if fact.when is not None or fact.kind != "Condition":
            return fact.when
        encounter = self.encounter_of(fact)
        return encounter.when if encounter else None

    def read(self, feature: "Feature[T]", at: datetime) -> T:
        """A feature's answer at `at`, computed once."""
        key = (id(feature), at)
        if key not in self._read:
            self._read[key] = feature.read(self, at)
        answer: T = self._read[key]
        return answer
