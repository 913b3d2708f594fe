"""How long the client waits: as the server asks, in seconds or by a date, and never over the cap."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.bulk.pace import FLOOR, retry_after
from tests.bulk.roads import Sleeps

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.mark.proves("B8", "Retry-After in seconds and as an HTTP date, within a cap; own backoff otherwise")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0), (" 0 ", 0.0), ("1.5", 1.5), ("Sun, 22 Nov 2026 10:05:00 GMT", 300.0),
        ("Sunday, 22-Nov-26 10:05:00 GMT", 300.0), ("Sun Nov 22 10:05:00 2026", 300.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0.0), ("Sun, 22 Nov 2026 11:05:00 +0100", 300.0),
        ("", None), ("soon", None), ("-5", None), ("NaN", None), ("1e9", None), ("99999999999", None),
        ("Sun, 99 Nov 2026 10:05:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds


@given(st.text())
def test_any_retry_after_gives_a_wait_within_the_cap(text: str) -> None:
    for tries in (0, 3, 10_000):
        assert 0 < Sleeps().pace(cap=60).wait({"retry-after": text}, tries) <= 60


@given(st.integers(0, 10**8))
def test_a_date_means_its_distance_from_now(seconds: int) -> None:
    text = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after(text, NOW) == seconds


def test_who_says_five_hours_or_nothing_is_asked_again_within_the_cap() -> None:
    pace = Sleeps().pace()
    assert pace.wait({"retry-after": "18000"}, 0) == 300.0
    assert pace.wait({"retry-after": "0"}, 0) == FLOOR
    assert [pace.backoff(tries) for tries in (0, 1, 2, 20)] == [0.75, 1.5, 3.0, 225.0]
