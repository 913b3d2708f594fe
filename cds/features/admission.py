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
from cds.fhir.times import LookBack

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

    Any sign of urgency says yes; an elective or routine priority without one says no; nothing at all is Missing.
    """

    codes = (STAY_CODES["acute_admission"], STAY_CODES["planned_admission"])

    def needs(self) -> tuple[Need, ...]:
        return (ENCOUNTERS,)

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        stay = chart.read(STAYS, at).index
        if isinstance(stay, Missing):
            return stay
        if stay.emergency:
            return Reading(True, when=stay.started.last, source=stay.source, method="by the emergency department")
        for codes, answer in zip(self.codes, (True, False), strict=True):
            if sources := _of(stay, chart, codes):
                method = "by priority or source of admission"
                return Reading(answer, when=stay.started.last, source=sources[0], method=method)
        return Missing("never recorded", source=stay.source)


def _of(stay: Stay, chart: Chart, codes: CodeSet) -> list[str]:
    """The Encounters of a stay that a code set knows."""
    return [fact.source for fact in chart.facts(codes.name) if fact.source in stay.sources]


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
            if sources := _of(stay, chart, codes):
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
        before = [
            stay
            for stay in found.others
            if self.counts(stay) and stay.started.first >= since and stay.started.first < admitted.last
        ]
        unplaced = f"{found.unplaced} hospital visit(s) without a date or a clear status were not counted"
        notes = (unplaced,) if found.unplaced else ()
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
        newest = next((result for result in results.counted if result.when.first <= last), None)
        if newest is None:
            return results.none()
        if newest.when.last < stay.started.first:
            return newest.missing("too old")
        if newest.why is not None or newest.comparator:
            return newest.missing(newest.why or "comparator")
        return reading(newest, self.series.analyte, results.notes(newest))


class ProcedureInStay(Feature[Reading[bool] | Missing]):
    """Whether a procedure of the sets was done within the index stay; none found is Missing, since codes come late."""

    def __init__(self, *codes: CodeSet) -> None:
        self.codes = codes

    def needs(self) -> tuple[Need, ...]:
        return (PROCEDURES, ENCOUNTERS)

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        stay = chart.read(STAYS, at).index
        if isinstance(stay, Missing):
            return stay
        done = recorded(chart, self.codes, self.needs(), at)
        return newest_of(chart, [fact for fact in done if fact.kind == "Procedure" and _within(stay, chart, fact)])


def _within(stay: Stay, chart: Chart, procedure: Fact) -> bool:
    arose, moment = chart.encounter_of(procedure), chart.when(procedure)
    if arose is not None and arose.source in stay.sources:
        return True
    if moment is None or moment.last < stay.started.first:
        return False
    return stay.ended is None or moment.first <= stay.ended.last
