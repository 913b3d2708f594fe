"""The one walk over a creatinine series finds what comparing every pair finds, in time that grows with its length."""

import time
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cds import Missing, Reading
from models._kidney.acute import EXACT, Creatinine, by_kdigo
from tests.charts import AT, ago, chart, creatinine

WEEK, TWO_DAYS, QUARTER = timedelta(days=7), timedelta(hours=48), timedelta(days=90)


def pairwise(series: list[Creatinine], at: datetime) -> Creatinine | None:
    """KDIGO 2012 as it is written: each creatinine of 90 days against every other."""
    for now in series:
        if at - now.at > QUARTER:
            return None
        for other in series:
            if other is now:
                continue
            if abs(now.at - other.at) <= WEEK and now.value >= 1.5 * other.value - 1e-9:
                return now
            both = now.result.unit == other.result.unit == "umol/L"
            rise = now.result.sent - other.result.sent if both else now.value - other.value
            if timedelta() <= now.at - other.at <= TWO_DAYS and rise >= (26.5 if both else 0.3) - 1e-9:
                return now
    return None


@given(
    st.lists(
        st.tuples(st.integers(0, 100 * 24), st.sampled_from([0.9, 1.0, 1.1, 1.2, 1.3, 1.35, 1.5, 1.8]), st.booleans()),
        max_size=12,
    )
)
def test_the_walk_finds_what_every_pair_shows(drawn: list[tuple[int, float, bool]]) -> None:
    resources = [
        creatinine(round(value * 88.4) if molar else value, ago(hours / 24), "umol/L" if molar else "mg/dL")
        for hours, value, molar in drawn
    ]
    series = list(chart(*resources).read(EXACT, AT))
    expected, found = pairwise(series, AT), by_kdigo(series, AT)
    if expected is None:
        assert isinstance(found, Missing)
    else:
        assert isinstance(found, Reading)
        assert found.when == expected.at


def test_a_ward_that_measures_every_minute_is_read_within_a_moment() -> None:
    series = chart(*(creatinine(1.0, ago(n / 1440)) for n in range(6_000))).read(EXACT, AT)
    assert len(series) == 6_000
    started = time.process_time()
    assert isinstance(by_kdigo(series, AT), Missing)
    assert time.process_time() - started < 0.5  # every pair took 14 s
