"""Whether dialysis was given twice in seven days, or continuously: MELD 3.0 then takes creatinine as 3.0 mg/dL."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from importlib.resources import files
from itertools import combinations

from cds import (
    Chart,
    CodeSet,
    Fact,
    Feature,
    Missing,
    Need,
    Reading,
    When,
    newest_of,
    read_code_sets,
    recorded,
    structs,
)
from models._kidney.gates import RECORDS

CODES = read_code_sets(files("models.meld_3") / "codes.csv")
DAYS = 7
APART, A_DAY = timedelta(hours=12), timedelta(days=1)
"""Records whose sessions began less than `APART` from each other are not surely of two sessions."""
NOT_TWICE = Missing("never recorded")


class DialysisTwice(Feature[Reading[bool] | Missing]):
    """Two sessions of dialysis within seven days, or one continuous treatment; `method` says which.

    Only records whose date is surely within the seven days count, and several records of one session count once.
    """

    codes = (CODES["meld_dialysis"], CODES["meld_continuous_dialysis"])

    def needs(self) -> tuple[Need, ...]:
        return RECORDS

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        sessions, continuous = (_recent(chart, codes, at) for codes in self.codes)
        if continuous:
            return _found(chart, continuous, "continuous dialysis")
        spans = [(fact.began or moment, moment.last) for fact in sessions if (moment := chart.when(fact)) is not None]
        return _found(chart, sessions, "dialysis twice in 7 days") if two_sessions(spans) else NOT_TWICE


def two_sessions(spans: Iterable[tuple[When, datetime]]) -> bool:
    """Whether the records, each by its start and its end, are surely of two sessions, begun on different days.

    Records that overlap, or began on one day, are of one session: a bill and a treatment record of it, as a rule.
    """
    starts = list[When]()
    until = None
    for start, end in sorted(spans, key=lambda span: (span[0].first, span[1])):
        if until is None or (start.first > until and start.first.date() != starts[-1].first.date()):
            starts.append(start)
        until = end if until is None else max(until, end)
    return any(_two(one, other) for one, other in combinations(starts, 2))


def _two(one: When, other: When) -> bool:
    """Half a day apart at least; of two records without a time of day, on two days."""
    if one.exact or other.exact:
        return other.first - one.last >= APART
    return other.first - one.first >= A_DAY


def _recent(chart: Chart, codes: CodeSet, at: datetime) -> list[Fact]:
    since = at - timedelta(days=DAYS)
    facts = recorded(chart, (codes,), RECORDS, at)
    return [fact for fact in facts if (moment := chart.when(fact)) is not None and moment.first >= since]


def _found(chart: Chart, facts: list[Fact], method: str) -> Reading[bool] | Missing:
    newest = newest_of(chart, facts)
    return structs.replace(newest, method=method) if isinstance(newest, Reading) else newest
