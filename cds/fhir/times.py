"""FHIR dates as the span of instants they may mean: one order, one look-back, one age, for whole and partial dates."""

import calendar
import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

from msgspec import Struct

_SHAPE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T([01]\d|2[0-3]):(\d\d)(?::(\d\d)(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?", re.ASCII
)
_WIDEST_OFFSET = timedelta(hours=14)  # no place on earth is further from UTC


class When(Struct, frozen=True):
    """The instants that a FHIR date, dateTime or instant may mean, `first` to `last`: both aware, equal when exact."""

    first: datetime
    last: datetime

    @property
    def exact(self) -> bool:
        return self.first == self.last

    @property
    def written(self) -> str:
        """What a person should read instead of an instant: "May 2021" for 2021-05; "" when the instant will do."""
        if self.first == self.last:
            return ""
        middle = self.first + (self.last - self.first) / 2  # of a time without an offset: the day as it was written
        span = self.last - self.first
        if span <= 2 * _WIDEST_OFFSET:
            return f"{middle.day} {middle:%b %Y}"
        return f"{middle:%b %Y}" if span < timedelta(days=32) else f"{middle:%Y}"

    @property
    def day(self) -> date | None:
        """The calendar day as written (in its own offset), or None when it may be several."""
        day = self.first.date()
        return day if day == self.last.date() else None


@lru_cache(maxsize=8192)
def when(text: str) -> When | None:
    """Read a FHIR date, dateTime or instant; None when it is none. A time without an offset spans all offsets."""
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        return None
    try:
        if shape[4]:
            return _instant(text, shape)
        year, month, day = int(shape[1]), int(shape[2] or 1), int(shape[3] or 1)
        last_month = month if shape[2] else 12
        last_day = day if shape[3] else calendar.monthrange(year, last_month)[1]
        return When(
            datetime(year, month, day, tzinfo=UTC),
            datetime.combine(date(year, last_month, last_day), time.max, tzinfo=UTC),
        )
    except (ValueError, OverflowError):
        return None


def _instant(text: str, shape: re.Match[str]) -> When:
    if shape[6] == "60":  # a leap second; Python has none, the second before it is near enough for any look-back
        text = text.replace(":60", ":59", 1) if shape[5] != "60" else text
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
        return When(moment - _WIDEST_OFFSET, moment + _WIDEST_OFFSET)
    moment = moment.replace(tzinfo=_zone(moment.tzinfo))
    return When(moment, moment)


@lru_cache(maxsize=2048)
def _zone(zone: tzinfo) -> tzinfo:
    """One object for each offset: Python compares two instants that share theirs some twenty times as fast."""
    return zone


class LookBack(Struct, frozen=True):
    """How far back a result may lie: calendar months, days of 24 hours, or hours."""

    months: int = 0
    days: int = 0
    hours: int = 0

    def before(self, at: datetime) -> datetime:
        """The earliest instant that still counts at `at`."""
        start = months_before(at, self.months) if self.months else at
        return start - timedelta(days=self.days, hours=self.hours) if self.days or self.hours else start

    def __str__(self) -> str:
        if self.hours:
            return f"{self.hours} hours"
        return f"{self.months} months" if self.months else f"{self.days} days"


def months(n: int) -> LookBack:
    return LookBack(months=n)


def days(n: int) -> LookBack:
    return LookBack(days=n)


def hours(n: int) -> LookBack:
    return LookBack(hours=n)


def months_before(at: datetime, n: int) -> datetime:
    """The same time of day n calendar months earlier, on the month's last day where that day does not exist."""
    year, month = divmod(at.year * 12 + at.month - 1 - n, 12)
    # Every month has 28 days; monthrange costs ten times as much as all else here.
    day = at.day if at.day <= 28 else min(at.day, calendar.monthrange(year, month + 1)[1])
    return at.replace(year, month + 1, day)


def age_on(birth: When, day: When) -> int | None:
    """Completed years, when every day that both dates may mean gives the same number; otherwise None."""
    youngest = _years(birth.last, day.first)
    oldest = _years(birth.first, day.last)
    return youngest if youngest == oldest else None


def _years(birth: datetime, day: datetime) -> int:
    # Whoever is born on 29 February completes a year on 1 March of a common year, as (month, day) order says.
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
