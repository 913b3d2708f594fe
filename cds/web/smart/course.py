"""How a measurement and its risk went over time, as a page tells it."""

from collections.abc import Iterator

from msgspec import structs

from cds.risk.assessment import percent
from cds.risk.explanation import CoursePoint
from cds.risk.history import History
from cds.web.smart import views


def course_of(past: History) -> views.Course:
    """Every day of it, and the risk of now beside that of the first day that is scored."""
    ordered = tuple(_days(past))
    years = f"{past.years:g}"
    scored = [day for day in ordered if day.percent]
    now = scored[-1]
    sentence = f"The {years}-year risk is {now.percent} now"
    if len(scored) > 1:
        sentence = f"{sentence}; it was {scored[0].percent} on {scored[0].date}"
    first = next((day.date for day in ordered if day.scored), "")
    unscored = f"Days before {first} are not scored." if past.unscored else ""
    return views.Course(past.measured.name, past.measured.unit, years, ordered, f"{sentence}.", unscored)


def _days(past: History) -> Iterator[views.Day]:
    """Every value in its own row, by instant; a risk stands in the last row of its instant."""
    risks = {point.at: point for point in past.risk.points}
    measured = past.measured.points
    last = {point.at: number for number, point in enumerate(measured)}
    for number, point in enumerate(measured):
        day = views.Day(point.date, point.at.timestamp(), point.value, point.shown, scored=number >= past.unscored)
        risk = risks.pop(point.at) if last[point.at] == number and point.at in risks else None
        yield _with_risk(day, risk) if risk else day
    for risk in risks.values():  # the risk of now, when nothing was measured at this instant
        yield _with_risk(views.Day(risk.date, risk.at.timestamp()), risk)


def _with_risk(day: views.Day, risk: CoursePoint) -> views.Day:
    told = percent(risk.value, risk.bound)
    return structs.replace(day, probability=risk.value, percent=f"{risk.bound} {told}" if risk.bound else told)
