"""One patient's facts, and nobody else's."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Protocol, TypeVar

from msgspec import Struct, ValidationError, json, structs

from cds.errors import DataUnavailable, WrongPatient
from cds.fhir.codes import Vocabulary
from cds.fhir.facts import Fact, facts_of, stay
from cds.fhir.identity import Identity
from cds.fhir.person import Person, person_of
from cds.fhir.policy import Policy
from cds.fhir.resources import ABSENT, Resource
from cds.fhir.times import When, when

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Located = tuple[Resource, str | None]
"""A resource with the fullUrl of its Bundle entry, when it had one."""


class Question(Protocol[T_co]):
    """What can be asked of a chart: every feature is one."""

    def read(self, chart: "Chart", at: datetime) -> T_co: ...


class _Unasked(Enum):
    """Not asked yet, as opposed to answered by None."""

    UNASKED = 0


_UNASKED = _Unasked.UNASKED


class Chart:
    """One patient's facts by code set.

    `encounters` holds each Encounter under every reference that may mean it. `unread` names the needs (prefetch keys)
    that could not be had: reading one of them raises DataUnavailable, since what was not read is not absent.
    `encounter_id` is the Encounter in whose course the chart is read, where somebody said so.
    """

    def __init__(
        self,
        person: Person,
        facts: dict[str, list[Fact]],
        encounters: Mapping[str, Resource],
        unread: Iterable[str] = (),
        encounter_id: str | None = None,
    ) -> None:
        self.person = person
        self.encounter_id = encounter_id
        self._encounters = encounters
        self._stays: dict[str, Fact | None] = {}
        self.unread = frozenset(unread)
        self._facts = facts
        self._read: dict[tuple[Question[Any], datetime], Any] = {}

    @classmethod
    def of(
        cls,
        resources: Iterable[Located],
        identity: Identity,
        vocabulary: Vocabulary,
        unread: Iterable[str] = (),
        policy: Policy | None = None,
        encounter_id: str | None = None,
    ) -> "Chart":
        """Build the chart of the patient whom `identity` names, when the `policy` has nothing against it.

        Raises WrongPatient when any resource is about somebody else or about nobody, or when there is no Patient,
        NotForUse when the policy refuses the record, and DataUnavailable when two versions of one resource disagree.
        """
        located = list(resources)
        patient = _patient(located, identity)
        for resource, full_url in located:
            identity.check(resource, full_url)
        if policy is not None:
            policy.check_patient(patient)
            policy.check([resource for resource, _ in located])
        once = _once(located)
        medications = _named("Medication", once, identity)
        facts: dict[str, list[Fact]] = {}
        for resource, _ in once:
            whole = _with_medication(resource, medications) if medications else resource
            for name, fact in facts_of(whole, vocabulary):
                facts.setdefault(name, []).append(fact)
        return cls(person_of(patient), facts, _named("Encounter", once, identity), unread, encounter_id)

    def facts(self, code_set: str, need: str | None = None) -> Sequence[Fact]:
        """Facts of a code set, in the order in which they came; `need` is the prefetch key that would bring them."""
        if need is not None and need in self.unread:
            raise DataUnavailable(f"'{need}' could not be read", keys=(need,))
        return self._facts.get(code_set, ())

    def lacks(self, code_sets: frozenset[str]) -> bool:
        """Whether surely nothing of any of these sets was recorded: all was read, and none is there."""
        return not self.unread and code_sets.isdisjoint(self._facts)

    def encounter_of(self, fact: Fact) -> Fact | None:
        """The encounter in which a fact arose, when it is in the chart."""
        reference = fact.encounter
        if reference is None:
            return None
        if reference not in self._stays:  # most of a chart's encounters are never asked for
            encounter = self._encounters.get(reference.partition("/_history/")[0])
            self._stays[reference] = stay(encounter) if encounter else None
        return self._stays[reference]

    def encounters(self, need: str) -> Sequence[Fact]:
        """Every Encounter that has an id, once; `need` is the prefetch key that would bring them."""
        self.facts("", need)
        once = {id(encounter): encounter for encounter in self._encounters.values()}
        return [stay(encounter) for encounter in once.values() if encounter.id]

    def when(self, fact: Fact) -> When | None:
        """A fact's own time; for a Condition or Procedure that has none, the start of its encounter."""
        if fact.when is not None or fact.kind not in ("Condition", "Procedure"):
            return fact.when
        encounter = self.encounter_of(fact)
        return encounter.when if encounter else None

    def dated_by(self, at: datetime) -> "Chart":
        """The chart without results that a partial date leaves open to be later than `at`; of the rest, all stays.

        Diagnoses, procedures and answers to questions stay: what may have been so then must not be forgotten.
        """
        later = {name for name, facts in self._facts.items() if any(_perhaps_after(fact, at) for fact in facts)}
        if not later:
            return self
        kept = {
            name: [fact for fact in facts if not _perhaps_after(fact, at)] if name in later else facts
            for name, facts in self._facts.items()
        }
        return Chart(self.person, kept, self._encounters, self.unread, self.encounter_id)

    def read(self, question: Question[T], at: datetime) -> T:
        """A feature's answer at `at`, computed once."""
        key = (question, at)
        known: T | _Unasked = self._read.get(key, _UNASKED)
        if known is _UNASKED:
            known = self._read[key] = question.read(self, at)
        return known


def _perhaps_after(fact: Fact, at: datetime) -> bool:
    measured = fact.kind == "Observation" and not fact.answer and fact.moment is None
    return measured and fact.when is not None and fact.when.first <= at < fact.when.last


def _patient(located: Sequence[Located], identity: Identity) -> Resource:
    """The Patient of the request; `identity` then also knows the Patients that it replaced, in whatever order."""
    patients = [(r, url) for r, url in located if r.resource_type == "Patient"]
    patients.sort(key=lambda pair: pair[0].id != identity.patient_id)
    waiting = patients
    while waiting:  # along the links, in whatever order a chain of merged records came
        named = [pair for pair in waiting if identity.is_named(pair[0])]
        for patient, full_url in named or waiting:
            identity.know(patient, full_url)
        waiting = [pair for pair in waiting if pair not in named]
    if not patients or patients[0][0].id != identity.patient_id:
        raise WrongPatient("there is no Patient resource of the request's patient", keys=("patient",))
    patient = _once(patients)[0][0]
    if patient.modifier_extension:
        raise DataUnavailable("the Patient carries a modifier that is not known here", keys=("patient",))
    return patient


def _once(located: Sequence[Located]) -> list[Located]:
    """Each resource once: what came under two keys is one, and of two versions the one that was updated last counts."""
    if len({resource.id for resource, _ in located} - {None}) == len(located):  # as in nearly every chart
        return list(located)
    found: dict[tuple[str | None, str | int], Located] = {}
    for number, pair in enumerate(located):
        key = (pair[0].resource_type, pair[0].id or number)
        known = found.setdefault(key, pair)
        if known is not pair and _later(known[0], pair[0]) is pair[0]:
            found[key] = pair
    return list(found.values())


def _later(one: Resource, other: Resource) -> Resource:
    if structs.replace(one, meta=ABSENT) == structs.replace(other, meta=ABSENT):
        return one
    updated, again = _updated(one), _updated(other)
    if updated is None or again is None or updated.last == again.last:
        kind = one.resource_type
        raise DataUnavailable(f"two versions of one {kind} disagree", expressions=(f"{kind}.meta.lastUpdated",))
    return one if updated.last > again.last else other


class _Meta(Struct, rename="camel"):
    last_updated: str | None = None


_meta = json.Decoder(_Meta)


def _updated(resource: Resource) -> When | None:
    try:
        text = _meta.decode(resource.meta).last_updated if resource.meta else None
    except ValidationError:
        return None
    return when(text) if text else None


def _named(kind: str, located: Sequence[Located], identity: Identity) -> dict[str, Resource]:
    """The resources of a type under every reference that may mean them."""
    of_kind = [(resource, full_url) for resource, full_url in located if resource.resource_type == kind]
    return {name: resource for resource, full_url in of_kind for name in identity.names(resource, full_url)}


def _with_medication(resource: Resource, medications: Mapping[str, Resource]) -> Resource:
    """A medication resource with the code of the Medication that it refers to, when that is in the chart."""
    reference = resource.medication_reference
    if reference is None or resource.medication_codeable_concept is not None:
        return resource
    medication = medications.get((reference.reference or "").partition("/_history/")[0])
    concept = medication.code if medication else None
    return structs.replace(resource, medication_codeable_concept=concept) if concept else resource
