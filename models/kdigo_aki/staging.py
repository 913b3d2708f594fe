"""KDIGO's creatinine criteria of acute kidney injury, and the baseline against which a creatinine is staged."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Literal

from msgspec import Struct

from models._kidney.acute import Creatinine

Stage = Literal[0, 1, 2, 3]
Unit = Literal["mg/dL", "umol/L"]
LOWEST, MEDIAN = "lowest of 7 days", "median of days 8 to 365"
_TOLERANCE = 1e-9  # 1.2 - 0.9 is a rise of 0.3 mg/dL, whatever binary fractions make of it
_TWO_DAYS, WEEK, _YEAR = timedelta(hours=48), timedelta(days=7), timedelta(days=365)
_RISE: dict[Unit, float] = {"mg/dL": 0.3, "umol/L": 26.5}


def aki_stage(current: float, baseline: float | None, rise: float | None = None, unit: Unit = "mg/dL") -> Stage:
    """The stage of a creatinine in mg/dL against a baseline in mg/dL, and its rise within 48 hours in `unit`.

    Injury is 1.5 times the baseline, or a rise of 0.3 mg/dL (26.5 µmol/L) in 48 hours; only then does 4.0 mg/dL, as
    three times the baseline, make it stage 3. KDIGO 2012.
    """

    def times(factor: float) -> bool:
        return baseline is not None and current >= factor * baseline - _TOLERANCE

    if not times(1.5) and (rise is None or rise < _RISE[unit] - _TOLERANCE):
        return 0
    if times(3) or current >= 4.0 - _TOLERANCE:
        return 3
    return 2 if times(2) else 1


class Staged(Struct, frozen=True):
    """One creatinine with what it is compared with. `rise` is that of the 48 hours before, in `unit`."""

    current: Creatinine
    baseline: float | None
    method: str
    rise: float | None
    unit: Unit

    @property
    def stage(self) -> Stage:
        return aki_stage(self.current.value, self.baseline, self.rise, self.unit)

    @property
    def compared(self) -> bool:
        return self.baseline is not None or self.rise is not None


def worst(series: Sequence[Creatinine], at: datetime) -> Staged | None:
    """The creatinine of the last seven days with the highest stage, the newest of several; None without any.

    `series` is newest first and has nothing after `at`.
    """
    found = [_staged(series, n) for n, creatinine in enumerate(series) if at - creatinine.at <= WEEK]
    return max(found, key=lambda staged: (staged.stage, staged.compared), default=None)


def _staged(series: Sequence[Creatinine], n: int) -> Staged:
    """The nth creatinine: the baseline is the lowest of the seven days before, or after where recovery came first.

    Where none came in the seven days before, as was known when it was measured, the median of days 8 to 365 before
    counts too: a repeat of tomorrow must not make a baseline of today's injury.
    """
    now = series[n]
    near = [c for m, c in enumerate(series) if m != n and abs(c.at - now.at) <= WEEK]
    lowest = min((c.value for c in near), default=None)
    rise, unit = _rise(series, n)
    usual = None if any(c.at < now.at for c in near) else usual_before(series, n)
    if usual is not None and (lowest is None or usual < lowest):
        return Staged(now, usual, MEDIAN, rise, unit)
    return Staged(now, lowest, LOWEST if lowest is not None else "", rise, unit)


def usual_before(series: Sequence[Creatinine], n: int = 0) -> float | None:
    """The median of the values of days 8 to 365 before the nth, which is the newest unless told."""
    values = [c.value for c in series[n + 1 :] if WEEK < series[n].at - c.at <= _YEAR]
    return median(values) if values else None


def _rise(series: Sequence[Creatinine], n: int) -> tuple[float | None, Unit]:
    """The rise above the lowest of the 48 hours before: in µmol/L where both were reported in it, if that says more."""
    now = series[n]
    before = [c for m, c in enumerate(series) if m != n and timedelta() <= now.at - c.at <= _TWO_DAYS]
    rises: list[tuple[float, Unit]] = []
    for earlier in before:
        if now.result.unit == earlier.result.unit == "umol/L":
            rises.append((now.result.sent - earlier.result.sent, "umol/L"))
        else:
            rises.append((now.value - earlier.value, "mg/dL"))
    return max(rises, key=lambda rise: rise[0] / _RISE[rise[1]], default=(None, "mg/dL"))
