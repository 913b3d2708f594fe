"""The feature kinds that models declare: age, sex, death, the latest result, and whether something was recorded."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache

from msgspec import structs

from cds.errors import DataUnavailable
from cds.features.feature import Feature, Missing, Need, Reading, stamp
from cds.features.results import Result, Series
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet
from cds.fhir.facts import Fact
from cds.fhir.person import Sex as SexValue
from cds.fhir.times import LookBack, When, age_on
from cds.fhir.units import Analyte

CONDITIONS = Need("conditions", "Condition")
PROCEDURES = Need("procedures", "Procedure", count=100, series=True)
ENCOUNTERS = Need("encounters", "Encounter", count=100, series=True)


class Age(Feature[Reading[int] | Missing]):
    """Completed years at `at`. A partial birthDate serves when every day it may mean gives the same age."""

    def read(self, chart: Chart, at: datetime) -> Reading[int] | Missing:
        person = chart.person
        if person.birth is None:
            return Missing("never recorded", source=person.source)
        age = age_on(person.birth, When(at, at))
        if age is None:
            return Missing("not precise enough", source=person.source)
        return Reading(age, "a", source=person.source)


class Sex(Feature[Reading[SexValue] | Missing]):
    """Male or female from the sex parameter for clinical use, which wins, or gender. Anything else is not stated."""

    def read(self, chart: Chart, at: datetime) -> Reading[SexValue] | Missing:
        person = chart.person
        sex = person.sex(at)
        if sex is None:
            said = person.gender or person.sex_parameters
            return Missing("not stated" if said else "never recorded", source=person.source)
        method = "sex parameter for clinical use" if any(p.meant_at(at) for p in person.sex_parameters) else "gender"
        return Reading(sex, source=person.source, method=method)


class Deceased(Feature[Reading[bool] | Missing]):
    """Whether the patient had died by `at`; `when` is the date of death if it is known."""

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        person = chart.person
        if not person.deceased or (person.died is not None and person.died.first > at):
            return Missing("never recorded", source=person.source)
        written = person.died.written if person.died else ""
        return Reading(True, when=stamp(person.died), source=person.source, written=written)


class Latest(Feature[Reading[float] | Missing]):
    """The newest result of an analyte within a look-back. If the newest cannot be used, no older one stands in."""

    def __init__(self, series: Series, within: LookBack) -> None:
        self.series = series
        self.within = within
        self.codes = series.codes

    def needs(self) -> tuple[Need, ...]:
        return self.series.needs()

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        need = self.series.need
        if not need.required and need.key in chart.unread:
            return Missing("not read")
        results = chart.read(self.series, at)
        newest = results.newest
        if newest is None:
            return results.none()
        refused = unusable(newest, self.within, at)
        return refused or reading(newest, self.series.analyte, results.notes(newest))


def unusable(newest: Result, within: LookBack, at: datetime) -> Missing | None:
    """Why the newest result cannot be used, or None when it can: age first, then value, then comparator."""
    if newest.when.first < within.before(at):
        return newest.missing("too old")
    if newest.why is not None:
        return newest.missing()
    return newest.missing("comparator") if newest.comparator else None


def reading(result: Result, analyte: Analyte, notes: Iterable[str] = ()) -> Reading[float]:
    """A usable result as a reading, flagged when it is outside what is plausible."""
    if result.value is None:
        raise ValueError("a result without a value is no reading")
    said = list(notes)
    low, high = analyte.plausible
    if not low <= result.value <= high:
        said.append(f"{analyte.name} {result.shown} is unusual; check it")
    return Reading(
        result.value,
        analyte.unit,
        result.at,
        result.source,
        as_sent=result.shown,
        notes=tuple(said),
        written=result.when.written,
    )


Holds = Callable[[Chart, Fact, datetime], bool | None]
"""Whether a fact counts; None where its date leaves that open."""


class Ever(Feature[Reading[bool] | Missing]):
    """Whether a code set was recorded and `holds`; the reading has the date of the newest such fact, if it has one.

    "not precise enough" where none surely holds, and the date of one leaves open whether it does.
    """

    def __init__(
        self, *codes: CodeSet, holds: Holds | None = None, needs: tuple[Need, ...], only: Need | None = None
    ) -> None:
        """`only` is the need whose resources count, where the others are read for their dates."""
        self.codes = codes
        self.holds = holds
        self._needs = needs
        self._counted = (only,) if only else None

    def needs(self) -> tuple[Need, ...]:
        return self._needs

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        facts = recorded(chart, self.codes, self._needs, at, self._counted)
        if self.holds is None:
            return newest_of(chart, facts)
        return newest_surely(chart, [(fact, self.holds(chart, fact, at)) for fact in facts])


def newest_of(chart: Chart, facts: list[Fact]) -> Reading[bool] | Missing:
    """The newest of some facts as a reading; dated ones before undated ones."""
    if not facts:
        return Missing("never recorded")
    dated = [(moment.last, fact.source, moment) for fact in facts if (moment := chart.when(fact)) is not None]
    if not dated:
        return Reading(True, source=facts[0].source)
    last, source, moment = max(dated, key=lambda d: d[:2])
    return Reading(True, when=last, source=source, written=moment.written)


def newest_surely(chart: Chart, facts: Iterable[tuple[Fact, bool | None]]) -> Reading[bool] | Missing:
    """The newest of the facts that surely count; Missing if there is none, or if it is open whether one does (None)."""
    judged = list(facts)
    found = newest_of(chart, [fact for fact, counts in judged if counts])
    if isinstance(found, Reading):
        return found
    perhaps = newest_of(chart, [fact for fact, counts in judged if counts is None])
    if isinstance(perhaps, Missing):
        return perhaps
    return Missing("not precise enough", perhaps.date, perhaps.when, perhaps.source, written=perhaps.written)


def recorded(
    chart: Chart, codes: Iterable[CodeSet], needs: Iterable[Need], at: datetime, only: tuple[Need, ...] | None = None
) -> list[Fact]:
    """Facts of the sets that the needs (or `only` some of them) ask for, that count and are not after `at`.

    An Observation counts only where a need asks for Observations of its set: its code is a question, and the answer may
    be no. Condition: not refuted, not entered in error. Procedure: completed, in progress or stopped. Encounter: begun.
    Raises DataUnavailable when a Procedure, Encounter or Observation of the sets could not be read.
    """
    codes, needs = tuple(codes), tuple(needs)
    if chart.lacks(_names(codes)):  # as for most sets and most patients
        return []
    if chart.unread:
        for need in needs:
            chart.facts("", need.key)  # what could not be read is not absent
    wanted = [(code_set.name, _asked_for(code_set, only or needs)) for code_set in codes]
    found = [fact for name, kinds in wanted for fact in chart.facts(name) if fact.kind in kinds and _counts(fact)]
    known = [fact for fact in found if (begun := fact.began or chart.when(fact)) is None or begun.first <= at]
    return [fact if fact.ended is None else _abated(fact, at) for fact in known]


def _abated(fact: Fact, at: datetime) -> Fact:
    """A Condition without a clinical status that surely abated by `at` is resolved: its date says so."""
    silent = fact.kind == "Condition" and fact.clinical_status is None and fact.problem is None
    over = silent and fact.ended is not None and fact.ended.last <= at
    return structs.replace(fact, clinical_status="resolved") if over else fact


@lru_cache(maxsize=2048)
def _asked_for(codes: CodeSet, needs: tuple[Need, ...]) -> frozenset[str]:
    """The resource types of which a need asks for this set; one without codes asks for every one of its type."""
    sets = [(need.resource_type, {one.name for one in need.codes}) for need in needs]
    return frozenset(kind for kind, names in sets if not names or codes.name in names)


@lru_cache(maxsize=512)
def _names(codes: tuple[CodeSet, ...]) -> frozenset[str]:
    return frozenset(code_set.name for code_set in codes)


_DONE = {
    "Procedure": frozenset({"completed", "in-progress", "stopped"}),
    "Encounter": frozenset({"arrived", "triaged", "in-progress", "onleave", "finished"}),
    "Observation": frozenset({"final", "amended", "corrected"}),
}


def _counts(fact: Fact) -> bool:
    if fact.problem == "modified" and _would_count(fact):
        # A modifier that we do not know may mean "not done" or "in a donor": what is left is not knowing.
        raise DataUnavailable(f"a {fact.kind} carries a modifier that is not known here", expressions=(fact.kind,))
    return _would_count(fact)


def _would_count(fact: Fact) -> bool:
    if fact.kind == "Condition":  # a status that cannot be read is as one that is absent: it counts
        return fact.verification not in ("refuted", "entered-in-error")
    if fact.problem == "not readable":
        raise DataUnavailable(f"a {fact.kind} cannot be read", expressions=(fact.kind,))
    return fact.status in _DONE.get(fact.kind, ())


ACTIVE = frozenset({None, "active", "recurrence", "relapse"})
"""Clinical statuses that count as active; an absent one does."""


def within_days(chart: Chart, fact: Fact, at: datetime, days: int) -> bool:
    """Whether a dated fact may lie in the last `days`: its latest possible instant is what counts, as befits a gate."""
    moment = chart.when(fact)
    return moment is not None and (at - moment.last).total_seconds() <= days * 86_400


def surely_within_days(chart: Chart, fact: Fact, at: datetime, days: int) -> bool | None:
    """Whether a dated fact lies in the last `days`, as befits what gives points; None where it may, or may not.

    A day without a time is in a window of days when any hour of it is.
    """
    moment = chart.when(fact)
    if moment is None or not within_days(chart, fact, at, days):
        return False
    return True if moment.day is not None or (at - moment.first).total_seconds() <= days * 86_400 else None
