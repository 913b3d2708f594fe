"""How a risk went: scored through the one door on each day on which the model has a value to look back to."""

from msgspec import Struct, structs

from cds.errors import DataUnavailable
from cds.fhir.chart import Chart
from cds.risk.estimate import Estimate, Risk
from cds.risk.explanation import Course, CoursePoint
from cds.risk.model import RiskModel
from cds.risk.scoring import score
from cds.text import day_text

LOOKED_BACK = 24
"""Newest days that are scored again: enough for a line, and no more work than a page may make."""


class History(Struct, frozen=True):
    """What was measured and what the risk was. A day on which no score would have been shown has no risk."""

    measured: Course
    risk: Course
    years: float
    unscored: int = 0
    """How many of the oldest measured days were not scored again."""


def history(model: RiskModel, chart: Chart, risk: Risk) -> History | None:
    """The model's measure over time with the longest-horizon risk of each of its days; None when there is neither.

    Each risk is what `score` answers from the chart as of that day: facts of later days do not exist, nor do results
    whose date is not precise enough to be of that day. Points are ordered by instant, none is after the risk, and the
    last one is the risk given.
    """
    measured = model.measured(chart, risk.at)
    horizons = [number.horizon_years for number in risk.estimates if isinstance(number, Estimate)]
    if measured is None or not horizons:
        return None
    years = max(horizons)
    points = sorted((structs.replace(p, at=min(p.at, risk.at)) for p in measured.points), key=lambda point: point.at)
    measured = structs.replace(measured, points=tuple(points))
    instants = list({point.at: point for point in points if point.at < risk.at}.values())
    days = instants[-LOOKED_BACK:]
    then = [past for day in days if (past := _risk_on(model, chart, day, years)) is not None]
    now = risk.within(years)
    then.append(CoursePoint(risk.at, day_text(risk.at), now.probability, now.bound))
    unscored = sum(1 for point in points if days and point.at < days[0].at)
    return History(measured, Course(f"{years:g}-year risk", "probability", tuple(then)), years, unscored)


def _risk_on(model: RiskModel, chart: Chart, day: CoursePoint, years: float) -> CoursePoint | None:
    try:
        [outcome] = score(model, (chart.dated_by(day.at),), day.at)
    except DataUnavailable:  # that day would have needed what today's score does not
        return None
    if not isinstance(outcome, Risk):
        return None
    estimate = outcome.within(years)
    return CoursePoint(day.at, day.date, estimate.probability, estimate.bound)
