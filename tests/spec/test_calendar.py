"""R57: clocks that change, days that are missing, years that end, and a server that stands in any time zone."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from cds import Age, Latest
from cds.features.labs import lab_series
from cds.fhir.times import LookBack, days, months, when
from tests.spec.charts import chart, dated, told

HEAD = "Observation | effective | value | unit"
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Pago_Pago")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Moves this process to a time zone."""

    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


def creatinine(within: LookBack | None = None) -> Latest:
    return Latest(lab_series("creatinine"), within=within or months(12))


def newest(first: str, second: str, at: str = "2026-11-22T14:02:00Z") -> str:
    table = f"{HEAD}\nfirst | {first} | 1 | mg/dL\nsecond | {second} | 2 | mg/dL"
    return told(creatinine().read(chart(table), dated(at))).rpartition(" ")[2]


@pytest.mark.proves(
    "R57", "5 pairs of results about a clock change: the later instant is the latest, not the later text"
)
@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-10-25T02:59:00+02:00", "2026-10-25T02:01:00+01:00"),  # the hour that comes twice in Berlin
        ("2026-11-01T01:59:00-04:00", "2026-11-01T01:01:00-05:00"),  # and in New York
        ("2026-03-29T01:59:59+01:00", "2026-03-29T03:00:00+02:00"),  # the hour that does not exist in Berlin
        ("2026-03-08T01:59:59-05:00", "2026-03-08T03:00:00-04:00"),
        ("2026-11-01T05:59:00Z", "2026-11-01T01:00:00-05:00"),
    ],
)
def test_about_a_clock_change_the_later_instant_is_the_latest(earlier: str, later: str) -> None:
    assert newest(earlier, later) == newest(later, earlier).replace("first", "second") == "second"


@pytest.mark.proves("R57", "a look-back of 90 days over both clock changes of a year is 90 x 24 h to the second")
@pytest.mark.parametrize(
    ("at", "effective", "answer"),
    [
        ("2026-05-01T12:00:00+02:00", "2026-01-31T11:00:00+01:00", "1 mg/dL from one"),
        ("2026-05-01T12:00:00+02:00", "2026-01-31T10:59:59+01:00", "too old"),
        ("2026-12-01T12:00:00+01:00", "2026-09-02T13:00:00+02:00", "1 mg/dL from one"),
        ("2026-12-01T12:00:00+01:00", "2026-09-02T12:59:59+02:00", "too old"),
    ],
)
def test_a_day_of_the_look_back_has_24_hours(at: str, effective: str, answer: str) -> None:
    read = creatinine(days(90)).read(chart(f"{HEAD}\none | {effective} | 1 | mg/dL"), dated(at))
    assert told(read) == answer


@pytest.mark.proves(
    "R57", "year end: order and look-back across 31 December in 4 offsets, and a week-based year is no year"
)
@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:30:00+14:00", "2025-12-31T23:30:00-10:00"),
        ("2025-12-31T23:30:00Z", "2025-12-31T20:30:00-05:00"),
        ("2025", "2026-01-01T00:00:00Z"),
        ("2025-12", "2026-01-01"),
    ],
)
def test_across_the_end_of_a_year_the_later_instant_is_the_latest(earlier: str, later: str) -> None:
    assert newest(earlier, later) == "second"
    assert when("2026-W01-1") is None


@pytest.mark.proves("R57", "birthdays at year end and on 29 February: 8 ages to the day, in 6 time zones of the server")
@pytest.mark.parametrize(
    ("born", "at", "answer"),
    [
        ("1960-12-31", "2025-12-30T23:59:59Z", "64 a from p"),
        ("1960-12-31", "2025-12-31T00:00:00Z", "65 a from p"),
        ("1961-01-01", "2025-12-31T23:59:59Z", "64 a from p"),
        ("1961-01-01", "2026-01-01T00:00:00Z", "65 a from p"),
        ("1960-02-29", "2026-02-28T23:59:59Z", "65 a from p"),
        ("1960-02-29", "2026-03-01T00:00:00Z", "66 a from p"),
        ("1960-02-29", "2028-02-29T00:00:00Z", "68 a from p"),
        ("1900-02-28", "2000-02-29T00:00:00Z", "100 a from p"),  # 1900 had no 29 February, 2000 had
    ],
)
def test_an_age_is_the_same_wherever_the_server_stands(
    stand_in: Callable[[str], None], born: str, at: str, answer: str
) -> None:
    for zone in ZONES:
        stand_in(zone)
        assert told(Age().read(chart(birthDate=born), dated(at))) == answer


@pytest.mark.proves("R57", "partial dates (YYYY, YYYY-MM, a time without offset): the same span in 6 time zones")
@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024", "2024-01-01T00:00:00Z", "2024-12-31T23:59:59.999999Z"),
        ("2024-02", "2024-02-01T00:00:00Z", "2024-02-29T23:59:59.999999Z"),
        ("2025-02", "2025-02-01T00:00:00Z", "2025-02-28T23:59:59.999999Z"),
        ("2024-02-29", "2024-02-29T00:00:00Z", "2024-02-29T23:59:59.999999Z"),
        ("2026-03-29T02:30:00", "2026-03-28T12:30:00Z", "2026-03-29T16:30:00Z"),
    ],
)
def test_a_partial_date_spans_the_same_instants_everywhere(
    stand_in: Callable[[str], None], text: str, first: str, last: str
) -> None:
    for zone in ZONES:
        stand_in(zone)
        when.cache_clear()
        read = when(text)
        assert read is not None
        assert (read.first, read.last) == (datetime.fromisoformat(first), datetime.fromisoformat(last))
