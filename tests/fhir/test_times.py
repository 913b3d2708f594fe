"""Every FHIR date reads as a span that contains it, everything else as no date, and nothing raises."""

from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.fhir.times import When, age_on, days, months, months_before, when

OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
LOCAL = st.datetimes(datetime.fromisoformat("0001-01-03"), datetime.fromisoformat("9999-12-29"))
MOMENTS = st.builds(lambda local, offset: local.replace(tzinfo=offset), LOCAL, OFFSETS)


@given(MOMENTS, st.sampled_from(["seconds", "milliseconds", "microseconds"]))
def test_an_instant_is_exact(moment: datetime, digits: str) -> None:
    text = moment.isoformat(timespec=digits)
    read = when(text)
    assert read is not None
    assert read.exact
    assert read.first == datetime.fromisoformat(text)


@given(MOMENTS, st.integers(1, 20))
def test_zulu_time_with_any_number_of_digits(moment: datetime, digits: int) -> None:
    read = when(f"{moment:%Y-%m-%dT%H:%M:%S}".zfill(19) + f".{'123456789' * 3}"[: digits + 1] + "Z")
    assert read is not None
    assert abs(read.first - moment.replace(microsecond=0, tzinfo=UTC)) < timedelta(seconds=1)


@given(LOCAL, OFFSETS)
def test_a_time_without_an_offset_may_be_anywhere_on_earth(moment: datetime, offset: timezone) -> None:
    read = when(moment.isoformat())
    assert read is not None
    assert read.first <= moment.replace(tzinfo=offset) <= read.last


@given(st.dates(), st.times())
def test_a_partial_date_spans_all_that_it_may_mean(day: date, clock: time) -> None:
    instant = datetime.combine(day, clock, tzinfo=UTC)
    spans = [when(day.isoformat()[:length]) for length in (4, 7, 10)]
    for span in spans:
        assert span is not None
        assert span.first <= instant <= span.last
    year, month, whole = spans
    assert year is not None
    assert month is not None
    assert whole is not None
    assert year.first <= month.first <= whole.first <= whole.last <= month.last <= year.last
    assert (whole.day, whole.last - whole.first) == (day, timedelta(days=1, microseconds=-1))
    assert year.day is None


@given(st.text())
def test_garbage_is_no_date_and_nothing_raises(text: str) -> None:
    assert when(text) is None or text.isascii()


NEARLY = st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?)?")


@given(NEARLY)
def test_what_looks_like_a_date_is_one_or_none(text: str) -> None:
    read = when(text)
    assert read is None or read.first <= read.last


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "soon", "20261122", "2026-1-1", "2026-13", "2026-00", "2026-02-29", "2026-11-31", "0000", "0000-01-01",
        "2026-11-22T", "2026-11-22T10", "2026-11-22T24:00:00Z", "2026-11-22T25:00:00Z", "2026-11-22T10:60:00Z",
        "2026-11-22T10:00:61Z", "2026-11-22T10:00:00+25:00", "2026-11-22 10:00:00Z", "2026-W47", "2026-11-22Z",
        "\u0662\u0660\u0662\u0666-\u0661\u0661-\u0662\u0662", "2026-11-22\n", " 2026-11-22", "2026-11-22T10:00:00z",
    ],
)  # fmt: skip
def test_what_is_no_fhir_date(text: str) -> None:
    assert when(text) is None


def test_the_ends_of_the_calendar() -> None:
    for text in ("0001", "0001-01-01", "9999", "9999-12", "9999-12-31"):
        assert when(text) is not None
    leap = when("2016-12-31T23:59:60Z")
    assert leap is not None
    assert leap.last.year == 2016


@given(MOMENTS.filter(lambda moment: moment.year > 100), st.integers(0, 240))
def test_months_back_is_the_same_day_or_the_months_last(at: datetime, n: int) -> None:
    back = months_before(at, n)
    assert (at.year * 12 + at.month) - (back.year * 12 + back.month) == n
    assert back.time() == at.time()
    assert back.day == at.day or (back.day < at.day and (back + timedelta(days=1)).day == 1)


def test_a_look_back_tells_its_length() -> None:
    assert (str(months(12)), str(days(90))) == ("12 months", "90 days")
    assert days(90).before(datetime(2026, 11, 22, tzinfo=UTC)) == datetime(2026, 8, 24, tzinfo=UTC)


@given(st.dates(max_value=date(2100, 1, 1)), st.dates(max_value=date(2100, 1, 1)))
def test_age_counts_birthdays(born: date, day: date) -> None:
    if born > day:
        born, day = day, born
    birth, on = when(born.isoformat()), when(day.isoformat())
    assert birth is not None
    assert on is not None
    birthdays = [(year, born.month, born.day) for year in range(born.year + 1, day.year + 1)]
    assert age_on(birth, on) == sum(birthday <= (day.year, day.month, day.day) for birthday in birthdays)


@pytest.mark.proves("R57", "a partial birthDate: the age of every day that it may mean, or none (100 random pairs)")
@given(st.dates(date(1900, 1, 1), date(2020, 1, 1)), st.dates(date(2021, 1, 1), date(2100, 1, 1)))
def test_a_partial_birth_date_never_gives_a_wrong_age(born: date, day: date) -> None:
    on = when(day.isoformat())
    exact = when(born.isoformat())
    assert on is not None
    assert exact is not None
    for length in (4, 7):
        partial = when(born.isoformat()[:length])
        assert isinstance(partial, When)
        assert age_on(partial, on) in (None, age_on(exact, on))
