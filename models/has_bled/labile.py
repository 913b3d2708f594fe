"""Whether INR was labile on a vitamin K antagonist: time in the therapeutic range after Rosendaal."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from cds import Chart, Feature, Missing, Need, Reading, lab_series, months

LOW, HIGH = 2.0, 3.0
"""The therapeutic range in atrial fibrillation."""
LONGEST_GAP = timedelta(days=56)
"""Between INRs further apart than this nothing is interpolated."""
FEWEST_DAYS = 90.0
"""Of six months so many days must be covered; fewer tell too little, and the answer is asked for."""
INR = lab_series("inr", required=False)
_LOOK_BACK = months(6)
Point = tuple[datetime, float]


class TimeInRange(Feature[Reading[float] | Missing]):
    """The share (0 to 1) of the last six months within INR 2.0 to 3.0. Rosendaal et al., Thromb Haemost 1993;69:236.

    Missing when an INR of them cannot be used, or too few days lie between INRs at most 56 days apart.
    """

    codes = INR.codes

    def needs(self) -> tuple[Need, ...]:
        return INR.needs()

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        if INR.need.key in chart.unread:
            return Missing("not read")
        results = chart.read(INR, at)
        recent = [result for result in results.counted if result.when.first >= _LOOK_BACK.before(at)]
        if not recent:
            return results.none() if not results.counted else results.counted[0].missing("too old")
        for result in recent:
            if result.value is None or result.comparator:
                return result.missing(None if result.value is None else "comparator")
        series = sorted({result.at: result.value or 0.0 for result in reversed(recent)}.items())
        share = time_in_range(series)
        newest = recent[0]
        if share is None:
            return newest.missing("not calculable")
        also = tuple(result.source for result in recent[1:])
        return Reading(share, when=newest.at, source=newest.source, also=also, written=newest.when.written)


def time_in_range(series: Sequence[Point]) -> float | None:
    """The share of the time between INRs, oldest first, that interpolation puts in the range; None for too few days."""
    covered = inside = 0.0
    for (begin, first), (end, last) in pairwise(series):
        if end - begin <= LONGEST_GAP:
            days = (end - begin) / timedelta(days=1)
            covered += days
            inside += days * _share(first, last)
    return inside / covered if covered >= FEWEST_DAYS else None


def _share(first: float, last: float) -> float:
    """The part of a straight line from one INR to the next that lies in the range."""
    low, high = min(first, last), max(first, last)
    if high == low:
        return 1.0 if LOW <= low <= HIGH else 0.0
    return max(min(high, HIGH) - max(low, LOW), 0.0) / (high - low)
