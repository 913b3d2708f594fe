"""Where each mark of a drawing stands: scales and lines as plain coordinates, so that templates only place them."""

from collections.abc import Sequence

from msgspec import Struct

from cds.web.smart.views import Course, Number, Term

WIDTH = 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 14.0, 22.0, 128.0
_LABEL = 44.0  # room that two labels need beside each other


class Tick(Struct, frozen=True):
    at: float
    label: str
    anchor: str = "middle"


class Dot(Struct, frozen=True):
    x: float
    y: float
    label: str = ""
    anchor: str = "middle"


class Line(Struct, frozen=True):
    """One line over time; `path` is an SVG path's d."""

    title: str
    words: str
    path: str
    dots: tuple[Dot, ...]
    ups: tuple[Tick, ...]
    days: tuple[Tick, ...]


class Scale(Struct, frozen=True):
    """A bar from 0 to `top` per cent: how far it is filled, and where the thresholds stand."""

    filled: float
    top: float
    number: Tick
    marks: tuple[Tick, ...]
    ends: tuple[Tick, ...]
    """The labels of 0 and `top` that no threshold's label would cover."""


def scale(number: Number) -> Scale:
    percent = number.probability * 100
    top = _top(max([percent, *(mark.percent for mark in number.marks)]) * 1.1, (10.0, 20.0, 50.0, 100.0))
    at = round(WIDTH * min(percent / top, 1.0), 1)
    anchor = "start" if at < 30 else "end" if at > WIDTH - 30 else "middle"
    marks = tuple(Tick(round(WIDTH * mark.percent / top, 1), f"{mark.percent:g}%") for mark in number.marks)
    ends = (Tick(0, "0%", "start"), Tick(WIDTH, f"{top:g}%", "end"))
    free = tuple(end for end in ends if all(abs(end.at - mark.at) > _LABEL for mark in marks))
    return Scale(at, top, Tick(at, number.percent, anchor), marks, free)


def lines(course: Course) -> tuple[Line, ...]:
    """What was measured, and the risk, each over the same days; a line needs two days."""
    measured = [(day.at, day.measured, day.shown, day.date) for day in course.days if day.measured is not None]
    risk = [(d.at, d.probability * 100, d.percent, d.date) for d in course.days if d.probability is not None]
    span = (course.days[0].at, course.days[-1].at)
    title = f"{course.years}-year risk"
    found = (
        (f"{course.measure}, {course.unit}", measured, (15.0, 30.0, 60.0, 90.0, 120.0, 200.0), ""),
        (title, risk, (2.0, 5.0, 10.0, 20.0, 50.0, 100.0), "%"),
    )
    return tuple(_line(title, points, tops, span, unit) for title, points, tops, unit in found if len(points) > 1)


Points = Sequence[tuple[float, float, str, str]]


def _line(title: str, points: Points, tops: Sequence[float], span: tuple[float, float], unit: str) -> Line:
    top = _top(max(value for _, value, _, _ in points) * 1.05, tops)
    wide = max(span[1] - span[0], 1.0)
    xs = [round(_LEFT + (at - span[0]) / wide * (WIDTH - _LEFT - _RIGHT), 1) for at, *_ in points]
    last, room = len(points) - 1, xs[-1] - xs[0]
    named = {last} | ({0} if room > _LABEL * 1.5 else set())
    dots = [
        Dot(
            x,
            round(_BOTTOM - value / top * (_BOTTOM - _TOP), 1),
            shown if number in named else "",
            "start" if number == 0 else "end",
        )
        for number, (x, (_, value, shown, _)) in enumerate(zip(xs, points, strict=True))
    ]
    ups = tuple(Tick(round(_BOTTOM - part * (_BOTTOM - _TOP), 1), f"{top * part:g}{unit}") for part in (0, 0.5, 1))
    first, now = points[0], points[-1]
    days = (Tick(xs[0], first[3], "start"), Tick(xs[-1], now[3], "end"))[room <= _LABEL * 3 :]
    path = "M" + " L".join(f"{dot.x} {dot.y}" for dot in dots)
    words = f"{title}: {first[2]} on {first[3]}, {now[2]} on {now[3]}"
    return Line(title, words, path, tuple(dots), ups, days)


def _top(value: float, tops: Sequence[float]) -> float:
    return next((top for top in tops if value <= top), tops[-1])


class Bar(Struct, frozen=True):
    """A contribution's bar: to the right of the middle where it raises the risk, to the left where it lowers it."""

    x: float
    width: float


def bars(terms: Sequence[Term]) -> tuple[Bar, ...]:
    most = max([abs(term.amount) for term in terms] + [0.7])  # so that small terms look small: 0.7 doubles the hazard
    widths = [round(abs(term.amount) / most * 50, 1) for term in terms]
    return tuple(
        Bar(50.0 if term.amount > 0 else round(50 - w, 1), max(w, 0.6)) for term, w in zip(terms, widths, strict=True)
    )
