"""How a risk went: scored through the one door on each day on which the model has a value to look back to."""

from msgspec import Struct

from cds.errors import DataUnavailable
from cds.fhir.chart import Chart
from cds.risk.estimate import Risk
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


def history(model: RiskModel, chart: Chart, risk: Risk) -> History | None:
    """The model's measure over time with the longest-horizon risk of each of its days; None when it names no measure.

    Each risk is what `score` answers from the chart as of that day: facts of later days do not exist. The last point is
    the risk given.
    """
    measured = model.measured(chart, risk.at)
    if measured is None:
        return None
    years = max(estimate.horizon_years for estimate in risk.estimates)
    days = [point for point in measured.points if point.at < risk.at][-LOOKED_BACK:]
    then = [past for day in days if (past := _risk_on(model, chart, day, years)) is not None]
    now = risk.within(years)
    then.append(CoursePoint(risk.at, day_text(risk.at), now.probability, now.bound))
    return History(measured, Course(f"{years:g}-year risk", "probability", tuple(then)))


def _risk_on(model: RiskModel, chart: Chart, day: CoursePoint, years: float) -> CoursePoint | None:
    try:
        [outcome] = score(model, (chart,), day.at)
    except DataUnavailable:  # that day would have needed what today's score does not
        return None
    if not isinstance(outcome, Risk):
        return None
    estimate = outcome.within(years)
    return CoursePoint(day.at, day.date, estimate.probability, estimate.bound)
