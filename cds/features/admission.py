"""What a score at discharge asks of the index stay: how long, how urgent, from which service, and what went before."""

from datetime import datetime
from importlib.resources import files

from cds.features.feature import Feature, Missing, Need, Reading
from cds.features.kinds import ENCOUNTERS, PROCEDURES, newest_of, reading, recorded
from cds.features.results import Series
from cds.features.stays import STAYS, Stay
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet, read_code_sets
from cds.fhir.facts import Fact
from cds.fhir.times import LookBack, When

STAY_CODES: dict[str, CodeSet] = read_code_sets(files("cds.fhir") / "vocabulary" / "stays.csv")
_LONG = 90


class LengthOfStay(Feature[Reading[int] | Missing]):
    """Days of the index stay: midnights between admission and discharge, or `at` while it is in progress.

    Both days are the calendar days as the hospital wrote them, in its own offset from UTC.
    """

    def needs(self) -> tuple[Need, ...]:
        return (ENCOUNTERS,)

    def read(self, chart: Chart, at: datetime) -> Reading[int] | Missing:
        stay = chart.read(STAYS, at).index
        if isinstance(stay, Missing):
            return stay
        going = stay.in_progress(at)
        if stay.ended is None and not going:
            return Missing("no date", "no end of the stay", source=stay.source)
        first = stay.started.day
        last = stay.ended.day if stay.ended and not going else at.astimezone(stay.started.first.tzinfo).date()
        if first is None or last is None:
            return Missing("not precise enough", source=stay.source)
        length = (last - first).days
        if length < 0:
            return Missing("implausible", "a stay that ends before it begins", source=stay.source)
        long = f"a stay of {length} days is unusual; check that it was closed"
        when = at if going or stay.ended is None else stay.ended.last
        method = "still in progress" if going else ""
        return Reading(length, "d", when, stay.source, method=method, notes=(long,) if length > _LONG else ())


class AcuteAdmission(Feature[Reading[bool] | Missing]):
    """Whether the index admission was acute: by its priority, where it came from, or an emergency visit before it.

    Any sign of urgency says yes; an elective or routine priority without one says no; nothing at all is Missing. What
    parts of the stay say that came after the admission is not asked. "not stated" where an elective admission follows
    an emergency visit that belongs to it by nothing but its time.
    """

    codes = (STAY_CODES["acute_admission"], STAY_CODES["planned_admission"])

    def needs(self) -> tuple[Need, ...]:
        return (ENCOUNTERS,)

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        stay = chart.read(STAYS, at).index
        if isinstance(stay, Missing):
            return stay
        acute, planned = (_of(stay.admitting, chart, codes) for codes in self.codes)
        if stay.emergency and not (stay.by_time and planned and not acute):
            return Reading(True, when=stay.started.last, source=stay.source, method="by the emergency department")
        if stay.emergency:
            return Missing("not stated", "planned, soon after an emergency visit", source=stay.source)
        for sources, answer in ((acute, True), (planned, False)):
            if sources:
                method = "by priority or source of admission"
                return Reading(answer, when=stay.started.last, source=sources[0], method=method)
        return Missing("never recorded", source=stay.source)


def _of(encounters: frozenset[str], chart: Chart, codes: CodeSet) -> list[str]:
    """Those of some Encounters that a code set knows."""
    return [fact.source for fact in chart.facts(codes.name) if fact.source in encounters]


class FromService(Feature[Reading[bool] | Missing]):
    """Whether the index stay was with a service: yes or no by a closed list of services each; another is Missing."""

    def __init__(self, service: CodeSet, others: CodeSet) -> None:
        self.codes = (service, others)

    def needs(self) -> tuple[Need, ...]:
        return (ENCOUNTERS,)

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        stay = chart.read(STAYS, at).index
        if isinstance(stay, Missing):
            return stay
        for codes, answer in zip(self.codes, (True, False), strict=True):
            if sources := _of(stay.sources, chart, codes):
                return Reading(answer, when=stay.started.last, source=sources[0])
        return Missing("never recorded", source=stay.source)


class _Before(Feature[Reading[int] | Missing]):
    """How many stays of a kind began within a look-back before the index admission, the index stay not among them."""

    def __init__(self, within: LookBack) -> None:
        self.within = within

    def needs(self) -> tuple[Need, ...]:
        return (ENCOUNTERS,)

    def counts(self, stay: Stay) -> bool:
        raise NotImplementedError

    def read(self, chart: Chart, at: datetime) -> Reading[int] | Missing:
        found = chart.read(STAYS, at)
        if isinstance(found.index, Missing):
            return found.index
        admitted = found.index.started
        since = self.within.before(admitted.last)
        perhaps = [
            s for s in found.others if self.counts(s) and s.started.last >= since and s.started.first < admitted.last
        ]
        before = [s for s in perhaps if s.started.first >= since and (s.placed or s.started.last < admitted.last)]
        unplaced = found.unplaced + sum(not stay.placed and stay not in before for stay in perhaps)
        said = f"{unplaced} hospital visit(s) without a date or a clear status were not counted"
        notes = (said,) if unplaced else ()
        also = tuple(stay.source for stay in before)
        return Reading(len(before), "", admitted.last, found.index.source, notes=notes, also=also)


class EmergencyVisits(_Before):
    """Visits to an emergency department before the index admission; the one by which she was admitted is none."""

    def counts(self, stay: Stay) -> bool:
        return stay.emergency


class Admissions(_Before):
    """Inpatient stays before the index admission."""

    def counts(self, stay: Stay) -> bool:
        return stay.inpatient


class LastOfStay(Feature[Reading[float] | Missing]):
    """The last result of an analyte within the index stay. If it cannot be used, no older one stands in."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.codes = series.codes

    def needs(self) -> tuple[Need, ...]:
        return (*self.series.needs(), ENCOUNTERS)

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        stay = chart.read(STAYS, at).index
        if isinstance(stay, Missing):
            return stay
        results = chart.read(self.series, at)
        last = stay.ended.last if stay.ended and not stay.in_progress(at) else at
        own = (result for result in results.counted if not _of_another(stay, chart, result.fact))
        newest = next((result for result in own if result.when.first <= last), None)
        if newest is None:
            return results.none()
        if (since := _since(stay, newest.when)) is not True:
            return newest.missing("too old" if since is False else "not precise enough")
        if newest.why is not None or newest.comparator:
            return newest.missing(newest.why or "comparator")
        return reading(newest, self.series.analyte, results.notes(newest))


class ProcedureInStay(Feature[Reading[bool] | Missing]):
    """Whether a procedure of the sets was done within the index stay; none found is Missing, since codes come late.

    One of the day of admission counts; of one whose month or year alone is known, nobody can say.
    """

    def __init__(self, *codes: CodeSet) -> None:
        self.codes = codes

    def needs(self) -> tuple[Need, ...]:
        return (PROCEDURES, ENCOUNTERS)

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        stay = chart.read(STAYS, at).index
        if isinstance(stay, Missing):
            return stay
        done = recorded(chart, self.codes, self.needs(), at)
        procedures = [(fact, _within(stay, chart, fact)) for fact in done if fact.kind == "Procedure"]
        found = newest_of(chart, [fact for fact, within in procedures if within])
        perhaps = next((fact for fact, within in procedures if within is None), None)
        if isinstance(found, Missing) and perhaps is not None:
            return Missing(
                "not precise enough", source=perhaps.source, written=perhaps.when.written if perhaps.when else ""
            )
        return found


def _within(stay: Stay, chart: Chart, procedure: Fact) -> bool | None:
    """None where its date leaves open whether it was before the stay."""
    arose, moment = chart.encounter_of(procedure), chart.when(procedure)
    if arose is not None and arose.source in stay.sources:
        return True
    if moment is None or _of_another(stay, chart, procedure):
        return False
    return _since(stay, moment) if stay.ended is None or moment.first <= stay.ended.last else False


def _since(stay: Stay, moment: When) -> bool | None:
    """Whether it was after the stay began; a day without a time is if the stay began on it. None: that is open."""
    that_day = not moment.exact and moment.day is not None and moment.day == stay.started.day
    if moment.first >= stay.started.first or that_day:
        return True
    return None if moment.last >= stay.started.first else False


def _of_another(stay: Stay, chart: Chart, fact: Fact) -> bool:
    """Whether it arose in an Encounter of the chart that is no part of the stay and began before or after it."""
    arose = chart.encounter_of(fact)
    if arose is None or arose.when is None or arose.source in stay.sources:
        return False
    ended = stay.ended is not None and arose.when.first > stay.ended.last
    return ended or arose.when.last < stay.started.first
