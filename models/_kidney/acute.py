"""Acute kidney injury as creatinine shows it: a rise, a recovery, or a rise that nothing explains yet."""

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice, takewhile
from math import inf
from statistics import median

from msgspec import Struct

from cds import Chart, Feature, Missing, Need, Reading, Result, months, spell
from models._kidney.egfr import CREATININE

Found = Reading[bool] | Missing
_TOLERANCE = 1e-9  # 1.2 - 0.9 is a rise of 0.3 mg/dL, whatever binary fractions make of it
_TWO_DAYS = timedelta(hours=48)
_WEEK = timedelta(days=7)
_QUARTER = timedelta(days=90)
_YEAR = timedelta(days=365)
_LOOK_BACK = months(12)


class Creatinine(Struct, frozen=True, gc=False):
    """An exact creatinine in mg/dL with its instant."""

    at: datetime
    value: float
    result: Result


class Exact(Feature[tuple[Creatinine, ...]]):
    """Every creatinine with an exact value, newest first, in any setting."""

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> tuple[Creatinine, ...]:
        counted = chart.read(CREATININE, at).counted
        return tuple([Creatinine(r.at, r.value, r) for r in counted if r.value is not None and not r.comparator])


EXACT = Exact()


class AcuteRise(Feature[Found]):
    """A creatinine of the last 90 days, in any setting, that rose or fell as acute kidney injury does (KDIGO 2012)."""

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> Found:
        return acute(chart.read(EXACT, at), at)


def acute(series: Sequence[Creatinine], at: datetime) -> Found:
    """The creatinine that shows acute injury of the last 90 days; `series` has nothing after `at`."""
    found = by_kdigo(series, at)
    if isinstance(found, Reading) or isinstance(unexplained(series, at), Reading):
        return found
    return repeated_rise(series, at)


def by_kdigo(series: Sequence[Creatinine], at: datetime) -> Found:
    """The newest creatinine of the last 90 days that rose, or fell, within a week.

    1.5 times any of the seven days before or after, or 0.3 mg/dL above any of the 48 hours before: 26.5 µmol/L where
    both were reported in it. One walk: a ward measures every few hours, for weeks.
    """
    near = list(takewhile(lambda creatinine: at - creatinine.at <= _QUARTER + _WEEK, series))
    near.reverse()
    times = [creatinine.at for creatinine in near]
    values = [creatinine.value for creatinine in near]
    molar = [c.result.sent if c.result.unit == "umol/L" else inf for c in near]
    week = _lowest(times, values, _WEEK, _WEEK)
    days = _lowest(times, values, _TWO_DAYS)
    molar_days = _lowest(times, molar, _TWO_DAYS)
    other_days = _lowest(times, [inf if m < inf else v for m, v in zip(molar, values, strict=True)], _TWO_DAYS)
    for n in reversed(range(len(near))):
        now = near[n]
        if at - now.at > _QUARTER:
            break
        if molar[n] < inf:
            rose = molar[n] - molar_days[n] >= 26.5 - _TOLERANCE or now.value - other_days[n] >= 0.3 - _TOLERANCE
        else:
            rose = now.value - days[n] >= 0.3 - _TOLERANCE
        if rose or now.value >= 1.5 * week[n] - _TOLERANCE:
            return _seen(now.result)
    return Missing("never recorded")


def _lowest(
    times: Sequence[datetime], values: Sequence[float], back: timedelta, ahead: timedelta = timedelta()
) -> list[float]:
    """For each instant, in ascending order, the lowest value from `back` before it to `ahead` after it."""
    found, window, following = [], deque[int](), 0
    for moment in times:
        while following < len(times) and times[following] - moment <= ahead:
            while window and values[window[-1]] >= values[following]:
                window.pop()
            window.append(following)
            following += 1
        while moment - times[window[0]] > back:
            window.popleft()
        found.append(values[window[0]])
    return found


def _seen(result: Result) -> Reading[bool]:
    return Reading(True, when=result.at, source=result.source, as_sent=result.shown, written=result.when.written)


class UnexplainedRise(Feature[Reading[float] | Missing]):
    """The newest creatinine is 1.5 times the median of days 8 to 365 before it, with nothing in the seven days before.

    The value is that median in mg/dL; `as_sent` reads "88 to 160 µmol/L" for the card. NHS England AKI algorithm.
    """

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        return unexplained(chart.read(EXACT, at), at)


def unexplained(series: Sequence[Creatinine], at: datetime) -> Reading[float] | Missing:
    """The usual creatinine from which the newest rose; `series` has nothing after `at`."""
    usual = _usual(series, 0) if _recent(series, at) else None
    if usual is None or not _raised(series[0], usual):
        return Missing("never recorded")
    newest, result = series[0], series[0].result
    return Reading(
        usual, "mg/dL", newest.at, result.source, as_sent=_from_to(usual, result), written=result.when.written
    )


def _recent(series: Sequence[Creatinine], at: datetime) -> bool:
    return len(series) > 1 and series[0].result.when.first >= _LOOK_BACK.before(at)


def _raised(creatinine: Creatinine, usual: float) -> bool:
    return creatinine.value >= 1.5 * usual - _TOLERANCE


def _usual(series: Sequence[Creatinine], n: int) -> float | None:
    """The median of days 8 to 365 before the n-th; None when there is none, or something in the seven days before."""
    values = []
    for creatinine in islice(series, n + 1, None):
        age = series[n].at - creatinine.at
        if age > _YEAR:
            break
        if age > _WEEK:
            values.append(creatinine.value)
        elif age:
            return None
    return median(values) if values else None


def repeated_rise(series: Sequence[Creatinine], at: datetime) -> Found:
    """The creatinine of the week up to the newest that is 1.5 times what was usual before that week.

    `unexplained` looks at a newest that stands alone, and `by_kdigo` at the lowest of each week: a rise that was
    repeated within days, or that came in steps, is seen by neither. One of over 90 days ago counts if it is the newest.
    """
    week = list(takewhile(lambda c: series[0].at - c.at <= _WEEK, series))
    usual = _usual(series, len(week) - 1) if len(week) > 1 and _recent(series, at) else None
    lately = (c for c in reversed(week) if c is series[0] or at - c.at <= _QUARTER)
    risen = (c for c in lately if usual is not None and _raised(c, usual))
    return next((_seen(creatinine.result) for creatinine in risen), Missing("never recorded"))


def _from_to(usual: float, result: Result) -> str:
    """The usual creatinine beside the newest, both in the unit in which the newest was sent."""
    before = usual * result.sent / (result.value or 1.0)
    unit = result.fact.unit or result.fact.unit_code or "mg/dL"
    return f"{spell(round(before, 0 if result.unit == 'umol/L' else 2))} to {spell(result.sent)} {unit}"


class UnusableCreatinine(Feature[Found]):
    """A creatinine of the last 90 days that could not be read: acute injury cannot be ruled out from it."""

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> Found:
        for result in chart.read(CREATININE, at).counted:
            if (result.why or result.comparator) and at - result.at <= _QUARTER:
                return _seen(result)
        return Missing("never recorded")
