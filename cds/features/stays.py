"""Hospital stays: which Encounters are one stay, which of them is the index stay, and what went before it.

How a stay is made, since hospitals send it in pieces:
- An Encounter with everything that is part of it (`partOf`) is one stay. It is an inpatient stay when one of its
  Encounters has an inpatient class (IMP, ACUTE, NONAC), or when an emergency Encounter holds another: that is a
  hospital's Encounter with its emergency part. It came by the emergency department when one of them has class EMER.
- Without `partOf`, an emergency visit that ends no more than six hours before an inpatient stay begins, begins no more
  than six hours after, or overlaps it, belongs to it; inpatient stays that overlap are one, and so are those of which
  one begins no more than six hours after the end of the other: a transfer. How it was admitted is said by the first.
- A stay of which only the month or year of its start is known is joined to no other.
- Only Encounters that have begun by then count; one without a start, or with an unknown status, cannot be placed: it is
  not counted, and that is said.

The index stay is that of the Encounter in whose course the chart is read; without one, the inpatient stay in progress,
or else the one that ended last, no more than a day before. Days and hours here are engineering choices.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from cds.errors import DataUnavailable
from cds.features.feature import Feature, Missing, Need
from cds.features.kinds import ENCOUNTERS
from cds.fhir.chart import Chart
from cds.fhir.facts import Fact
from cds.fhir.times import When

INPATIENT = frozenset({"IMP", "ACUTE", "NONAC"})
EMERGENCY = "EMER"
_HOSPITAL = INPATIENT | {EMERGENCY}
BEGUN = frozenset({"arrived", "triaged", "in-progress", "onleave", "finished", "discharged", "completed"})
OVER = frozenset({"finished", "discharged", "completed"})
_NOT_BEGUN = frozenset({"planned", "cancelled", "entered-in-error"})
_FROM_EMERGENCY = timedelta(hours=6)
_TRANSFER = timedelta(hours=6)
_JUST_ENDED = timedelta(days=1)
_A_DAY = timedelta(hours=28)  # as long a span as a time without its offset may mean


class Stay(Struct, frozen=True):
    """One stay: its Encounters, the outermost first, from when to when; `ended` is None while it is in progress.

    `over` says that it is in the past although nobody wrote when it ended. `admitting` are the Encounters that say how
    the patient was admitted: the outermost, and the first of its parts if that began with it. `by_time` says that
    nothing but the time makes an emergency visit part of it.
    """

    encounters: tuple[Fact, ...]
    started: When
    ended: When | None
    over: bool
    inpatient: bool
    emergency: bool
    admitting: frozenset[str]
    by_time: bool = False

    @property
    def placed(self) -> bool:
        """Whether its start is known to the day."""
        return self.started.last - self.started.first <= _A_DAY

    @property
    def source(self) -> str:
        return self.encounters[0].source

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(encounter.source for encounter in self.encounters)

    @property
    def until(self) -> datetime:
        """The last instant that is known to be in it."""
        return self.ended.last if self.ended else self.started.last

    def in_progress(self, at: datetime) -> bool:
        return self.ended.last > at if self.ended else not self.over


class Hospitalizations(Struct, frozen=True):
    """The index stay, or why there is none, with the other stays, oldest first.

    `unplaced` is how many hospital Encounters have no start, or a status that does not say whether they ever began.
    """

    index: Stay | Missing
    others: tuple[Stay, ...] = ()
    unplaced: int = 0


class Stays(Feature[Hospitalizations]):
    """Every hospital stay that had begun by `at`."""

    def needs(self) -> tuple[Need, ...]:
        return (ENCOUNTERS,)

    def read(self, chart: Chart, at: datetime) -> Hospitalizations:
        every = chart.encounters(ENCOUNTERS.key)
        groups = _groups(chart, [fact for fact in every if _begun(fact, at)])
        dated = [_whole(group, group[0].when) for group in groups if group[0].when is not None]
        unplaced = [group[0] for group in groups if group[0].when is None]
        unplaced += [fact for fact in every if fact.status not in BEGUN | _NOT_BEGUN]
        dated.sort(key=lambda stay: (stay.started.last, stay.source))
        loose = [stay for stay in dated if not stay.placed]
        stays = (*loose, *_joined(stay for stay in dated if stay.placed))
        index = _index(chart.encounter_id, stays, at)
        others = tuple(stay for stay in stays if stay is not index)
        return Hospitalizations(index, others, sum(fact.coding.code in _HOSPITAL for fact in unplaced))


STAYS = Stays()


def _begun(fact: Fact, at: datetime) -> bool:
    """Raises DataUnavailable for an Encounter that cannot be read, or whose modifier may say that it never was."""
    if fact.status in _NOT_BEGUN:
        return False
    if fact.problem is not None:
        raise DataUnavailable(f"an Encounter is {fact.problem}", expressions=("Encounter",))
    return fact.status in BEGUN and (fact.when is None or fact.when.first <= at)


def _groups(chart: Chart, begun: Sequence[Fact]) -> Sequence[list[Fact]]:
    """The Encounters by the outermost one that they are part of, that one first."""
    known = {fact.source: fact for fact in begun}
    groups: dict[str, list[Fact]] = {}
    for fact in begun:
        outermost = _outermost(chart, fact, known)
        group = groups.setdefault(outermost.source, [outermost])
        if fact.source != outermost.source:
            group.append(fact)
    return list(groups.values())


def _outermost(chart: Chart, fact: Fact, known: dict[str, Fact]) -> Fact:
    seen = {fact.source}
    while (holder := chart.encounter_of(fact)) is not None and holder.source in known and holder.source not in seen:
        seen.add(holder.source)
        fact = known[holder.source]
    return fact


def _whole(group: Sequence[Fact], started: When) -> Stay:
    first = group[0]
    classes = [fact.coding.code for fact in group]
    hospital = first.coding.code == EMERGENCY and EMERGENCY in classes[1:]
    inpatient = hospital or not INPATIENT.isdisjoint(classes)
    began = [(fact.when, fact.source) for fact in group[1:] if fact.when is not None]
    parts = [(when.last, source) for when, source in began if when.first <= started.last + _FROM_EMERGENCY]
    admitting = frozenset((first.source, *(source for _, source in sorted(parts)[:1])))
    return Stay(tuple(group), started, first.ended, first.status in OVER, inpatient, EMERGENCY in classes, admitting)


def _joined(stays: Iterable[Stay]) -> Iterator[Stay]:
    """Hospital stays in order of their start, with those that are one joined; other visits pass by."""
    held: Stay | None = None
    for stay in stays:
        if not (stay.inpatient or stay.emergency):
            yield stay
        elif held is None:
            held = stay
        elif _belong_together(held, stay):
            held = _both(held, stay)
        else:
            yield held
            held = stay
    if held is not None:
        yield held


def _belong_together(one: Stay, later: Stay) -> bool:
    if one.inpatient:
        if later.emergency and _at_the_door(one, later):
            return True
        transferred = later.inpatient and one.ended is not None and later.started.first <= one.ended.last + _TRANSFER
        return transferred or later.started.first < one.until
    return later.inpatient and later.started.first <= one.until + _FROM_EMERGENCY


def _at_the_door(one: Stay, later: Stay) -> bool:
    return later.started.first <= one.started.last + _FROM_EMERGENCY


def _both(one: Stay, later: Stay) -> Stay:
    """Two parts of one stay, which begins when the inpatient part does."""
    outer, inner = (one, later) if one.inpatient else (later, one)
    closed = outer.ended is not None or outer.over
    longest = max((one, later), key=lambda stay: (stay.until, not stay.over)) if closed else outer
    came = [stay for stay in (one, later) if stay.emergency and (stay is one or _at_the_door(one, later))]
    return replace(
        outer,
        encounters=(*outer.encounters, *inner.encounters),
        ended=longest.ended,
        over=longest.over,
        emergency=bool(came),
        by_time=bool(came) and all(stay.by_time or not stay.inpatient for stay in came),
    )


def _index(encounter_id: str | None, stays: Sequence[Stay], at: datetime) -> Stay | Missing:
    if encounter_id is not None:
        named = next((stay for stay in stays if f"Encounter/{encounter_id}" in stay.sources), None)
        if named is None:
            return _none("the encounter of this call is not in the chart")
        return named if named.inpatient else _none("the encounter of this call is no inpatient stay", named)
    recent = at - _JUST_ENDED
    inpatient = (stay for stay in stays if stay.inpatient)
    # The one that began last: an older one that nobody closed does not stand before yesterday's discharge.
    found = [stay for stay in inpatient if stay.in_progress(at) or (stay.ended and stay.ended.last >= recent)]
    return found[-1] if found else _none("no inpatient stay is in progress or ended within a day")


def _none(note: str, stay: Stay | None = None) -> Missing:
    return Missing("never recorded", source=stay.source if stay else "", notes=(note,))
