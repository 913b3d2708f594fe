"""How fast the eGFR changes: the least-squares line through the outpatient values of up to five years."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cds import Chart, Feature, Missing, Need, Reading, Result, months
from models._kidney.egfr import EGFR, course
from models._kidney.gates import KIDNEY_SINCE

UNIT = "mL/min/1.73 m² per year"
_WINDOW, _RECENT, _A_YEAR = months(60), months(12), timedelta(days=365)
_DAYS_OF_A_YEAR = 365.25


class EgfrSlope(Feature[Reading[float] | Missing]):
    """Change of eGFR in mL/min/1.73 m² per year, from at least three days over at least a year.

    Ordinary least squares on CKD-EPI 2021 values of outpatient creatinine (or reported so), the last of each day, of
    the five years to `at`, the newest of the last twelve months; after a transplant only those of the new kidney.
    `method` says how many days over how long.
    """

    def needs(self) -> tuple[Need, ...]:
        return (*EGFR.needs(), *KIDNEY_SINCE.needs())

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        since = max(_WINDOW.before(at), chart.read(KIDNEY_SINCE, at))
        days = {result.at.date(): (result, value) for result, value in course(chart, at) if result.when.first >= since}
        points = [days[day] for day in sorted(days)]
        if len(points) < 3 or points[-1][0].when.first < _RECENT.before(at):
            return Missing("never recorded")
        (first, _), (last, _) = points[0], points[-1]
        if last.at - first.at < _A_YEAR:
            return Missing("never recorded")
        years = (last.at - first.at) / timedelta(days=_DAYS_OF_A_YEAR)
        also = tuple(result.source for result, _ in points[:-1])
        how = f"{len(points)} results over {years:.1f} years"
        return Reading(_slope(points), UNIT, last.at, last.source, method=how, also=also, written=last.when.written)


def _slope(points: Sequence[tuple[Result, float]]) -> float:
    start = points[0][0].at
    return least_squares([((r.at - start) / timedelta(days=_DAYS_OF_A_YEAR), value) for r, value in points])


def least_squares(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the ordinary least-squares line through (x, y) points of at least two different x."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
