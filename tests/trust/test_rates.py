"""No caller gets more than its burst and its rate, whatever it does, and a million of them take no more room (R58)."""

import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.trust.rates import MOST, Buckets, Rate, stranger

RATE = Rate(per_second=5.0, burst=10.0)
rates = st.builds(Rate, st.floats(0.01, 1000), st.integers(1, 500).map(float))
pauses = st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=120)


def accepted(rate: Rate, times: list[float], key: str = "north-clinic") -> list[float]:
    buckets = Buckets(rate)
    return [now for now in times if buckets.take(key, now) is None]


def moments(gaps: list[float]) -> list[float]:
    now, found = 1_700_000_000.0, []
    for gap in gaps:
        now += gap
        found += [now] * 3
    return found


@pytest.mark.proves("R58", "100 generated call patterns: in no window more than burst + rate x seconds")
@given(rates, pauses)
@settings(max_examples=100)
def test_r58_no_window_holds_more_than_the_burst_and_the_rate(rate: Rate, gaps: list[float]) -> None:
    let_in = accepted(rate, moments(gaps))
    assert let_in
    for first, start in enumerate(let_in):
        for last in range(first, len(let_in)):
            assert last - first + 1 <= rate.burst + rate.per_second * (let_in[last] - start) + 1e-3


@pytest.mark.proves("R58", "100 generated rates: whoever waits Retry-After seconds is let in")
@given(rates, st.integers(1, 600))
@settings(max_examples=100)
def test_r58_whoever_waits_as_told_is_let_in(rate: Rate, calls: int) -> None:
    buckets, now = Buckets(rate), 1_000.0
    for _ in range(calls):
        wait = buckets.take("one", now)
        if wait is not None:
            assert wait >= 1
            assert wait <= 1 / rate.per_second + 1
            now += wait
            assert buckets.take("one", now) is None


@given(rates, st.lists(st.floats(-1000, 1000, allow_nan=False), max_size=50))
def test_r58_a_clock_that_goes_back_gives_nobody_more(rate: Rate, jumps: list[float]) -> None:
    buckets, latest, count = Buckets(rate), 1_000.0, 0
    for jump in jumps:
        now = 1_000.0 + jump
        latest = max(latest, now)
        count += buckets.take("one", now) is None
    assert count <= rate.burst + rate.per_second * (latest - min([1_000.0, *(1_000 + j for j in jumps)])) + 1e-3


def test_r58_one_callers_calls_cost_another_nothing() -> None:
    buckets = Buckets(RATE)
    assert sum(buckets.take("loud", 1.0) is None for _ in range(1_000)) == 10
    assert all(buckets.take("quiet", 1.0) is None for _ in range(10))


def test_r58_a_caller_may_have_a_rate_of_its_own() -> None:
    buckets = Buckets(RATE)
    own = Rate(per_second=1.0, burst=2.0)
    assert [buckets.take("small", 1.0, own) for _ in range(3)] == [None, None, 1]
    assert buckets.take("small", 2.0, own) is None


@pytest.mark.proof
@pytest.mark.proves("R58", "1,000,000 distinct addresses in make proof (50,000 in make test): a bounded number is kept")
def test_r58_a_million_addresses_take_bounded_room(campaign: Callable[[int], int]) -> None:
    buckets = Buckets(RATE, most=10_000)
    for number in range(campaign(1_000_000)):
        assert buckets.take(stranger(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"), 1.0) is None
    assert len(buckets) == 10_000
    each = sys.getsizeof(buckets._buckets) / 10_000 + sum(map(sys.getsizeof, ("10.255.255.255", 1.0, 1.0))) + 64
    assert each * MOST < 32 * 1024 * 1024


@pytest.mark.parametrize("rate", [Rate(0, 1), Rate(-1, 1), Rate(1, 0.5), Rate(float("nan"), 1)])
def test_r58_a_rate_that_lets_nobody_in_is_refused(rate: Rate) -> None:
    with pytest.raises(ValueError, match="calls a second"):
        Buckets(rate)


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("testclient", "testclient"),
        ("x" * 500, "x" * 64),
    ],
)
def test_r58_a_stranger_is_its_address_or_its_network(host: str, key: str) -> None:
    assert stranger(host) == key
