"""Acute kidney injury as creatinine shows it: a rise, a recovery, or a rise that nothing explains yet."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

from msgspec import Struct

from cds import Chart, Feature, Missing, Need, Reading, Result, months, spell
from models.kfre.egfr import CREATININE

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
    """The newest creatinine of the last 90 days that shows acute injury; `series` has nothing after `at`."""
    for index, creatinine in enumerate(series):
        if at - creatinine.at > _QUARTER:
            break
        if _acute_at(series, index):
            return _seen(creatinine.result)
    return Missing("never recorded")


def _seen(result: Result) -> Reading[bool]:
    return Reading(True, when=result.at, source=result.source, as_sent=result.shown, written=result.when.written)


def _acute_at(series: Sequence[Creatinine], index: int) -> bool:
    """1.5 times any of the seven days before or after, or 0.3 mg/dL above any of the 48 hours before."""
    now = series[index]
    for before in series[index + 1 :]:
        if (apart := now.at - before.at) > _WEEK:
            break
        if _half_again(now, before) or (apart <= _TWO_DAYS and _rose(before.result, now.result)):
            return True
    for after in reversed(series[:index]):
        if (apart := after.at - now.at) > _WEEK:
            break
        if _half_again(now, after) or (not apart and _rose(after.result, now.result)):
            return True
    return False


def _half_again(high: Creatinine, low: Creatinine) -> bool:
    return high.value >= 1.5 * low.value - _TOLERANCE


def _rose(earlier: Result, later: Result) -> bool:
    """By 0.3 mg/dL, or by 26.5 µmol/L where both were reported in it."""
    if earlier.unit == later.unit == "umol/L":
        return later.sent - earlier.sent >= 26.5 - _TOLERANCE
    return (later.value or 0.0) - (earlier.value or 0.0) >= 0.3 - _TOLERANCE


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
    if len(series) < 2 or series[0].result.when.first < _LOOK_BACK.before(at):
        return Missing("never recorded")
    newest, *earlier = series
    values = []
    for creatinine in earlier:
        age = newest.at - creatinine.at
        if age > _YEAR:
            break
        if age > _WEEK:
            values.append(creatinine.value)
        elif age:
            return Missing("never recorded")
    if not values or newest.value < 1.5 * (usual := median(values)) - _TOLERANCE:
        return Missing("never recorded")
    result = newest.result
    return Reading(
        usual, "mg/dL", newest.at, result.source, as_sent=_from_to(usual, result), written=result.when.written
    )


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
