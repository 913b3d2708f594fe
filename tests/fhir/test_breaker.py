"""When a FHIR server is not asked any more, and when it is asked again (R50)."""

import pytest

from cds.errors import DataUnavailable
from cds.fhir.breaker import Breaker


class Watch:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def breaker(watch: Watch) -> Breaker:
    return Breaker(watch)


def happen(breaker: Breaker, ok: bool | None, times: int = 1) -> None:
    for _ in range(times):
        with breaker.call() as call:
            call.ok = ok


def state(breaker: Breaker) -> str:
    return breaker.state


def refused(breaker: Breaker) -> bool:
    try:
        with breaker.call():
            return False
    except DataUnavailable:
        return True


@pytest.mark.proves("R50", "opens at 5 failures of 10 calls in 10 s; not at 4 of 10, nor at 9 of 9")
def test_it_opens_when_half_of_ten_calls_failed(breaker: Breaker) -> None:
    happen(breaker, True, 5)
    happen(breaker, False, 4)
    assert state(breaker) == "closed"
    happen(breaker, False)
    assert state(breaker) == "open"
    assert refused(breaker)


def test_nine_failures_are_too_few_to_judge(breaker: Breaker) -> None:
    happen(breaker, False, 9)
    assert (state(breaker), refused(breaker)) == ("closed", False)


def test_four_failures_of_ten_are_borne(breaker: Breaker) -> None:
    happen(breaker, True, 6)
    happen(breaker, False, 4)
    assert state(breaker) == "closed"


def test_what_failed_more_than_ten_seconds_ago_is_forgotten(breaker: Breaker, watch: Watch) -> None:
    happen(breaker, False, 9)
    watch.now += 10.1
    happen(breaker, False, 9)
    assert state(breaker) == "closed"
    happen(breaker, False)
    assert state(breaker) == "open"


def test_calls_that_were_given_up_say_nothing(breaker: Breaker) -> None:
    happen(breaker, None, 100)
    happen(breaker, False, 9)
    assert state(breaker) == "closed"


@pytest.mark.proves("R50", "half-open after 30 s with 1 probe; closed by its success, 30 s more by its failure")
def test_after_thirty_seconds_one_call_probes(breaker: Breaker, watch: Watch) -> None:
    happen(breaker, False, 10)
    watch.now += 29.9
    assert (state(breaker), refused(breaker)) == ("open", True)
    watch.now += 0.2
    assert state(breaker) == "half-open"
    with breaker.call() as probe:
        assert refused(breaker)
        probe.ok = False
    assert (state(breaker), refused(breaker)) == ("open", True)
    watch.now += 30.1
    happen(breaker, True)
    assert state(breaker) == "closed"
    happen(breaker, False, 9)
    assert state(breaker) == "closed"


def test_a_probe_that_was_given_up_leaves_its_place_to_the_next(breaker: Breaker, watch: Watch) -> None:
    happen(breaker, False, 10)
    watch.now += 31
    happen(breaker, None)
    assert state(breaker) == "half-open"
    happen(breaker, True)
    assert state(breaker) == "closed"


def test_what_was_sent_before_it_opened_neither_opens_nor_closes_it(breaker: Breaker, watch: Watch) -> None:
    with breaker.call() as slow:
        happen(breaker, False, 10)
        watch.now += 31
        slow.ok = True
    assert state(breaker) == "half-open"


def test_a_fault_of_ours_frees_the_place_of_the_probe(breaker: Breaker, watch: Watch) -> None:
    happen(breaker, False, 10)
    watch.now += 31
    with pytest.raises(ZeroDivisionError), breaker.call():
        raise ZeroDivisionError
    assert not refused(breaker)
