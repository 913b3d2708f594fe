"""Points: what each item gives, what must be asked, and why a score is refused."""

from datetime import UTC, datetime

import pytest

from cds import (
    Item,
    Missing,
    Reading,
    asked_item,
    lacking,
    measured_item,
    recorded_item,
    total,
    unsuited,
    up_to,
    very_old,
)
from cds.risk.points import unanswered

NEVER, UNREAD = Missing("never recorded"), Missing("not read")
DAY = datetime(2021, 5, 3, tzinfo=UTC)
YES, NO = Reading(True, when=DAY), Reading(False, when=DAY)


def test_what_a_chart_answers() -> None:
    assert recorded_item("X", YES, 2) == Item("X", "yes, 3 May 2021", 2)
    assert recorded_item("X", NO, 2) == Item("X", "no, 3 May 2021", 0)
    assert recorded_item("X", Reading(True), 2) == Item("X", "yes", 2)
    assert recorded_item("X", NEVER, 2) == Item("X", "not recorded", 0)


@pytest.mark.parametrize("missing", [UNREAD, Missing("not stated"), Missing("modified"), Missing("too old")])
def test_what_is_not_known_is_not_absent(missing: Missing) -> None:
    assert recorded_item("X", missing, 2).points is None


def test_what_has_to_be_asked() -> None:
    assert asked_item("X", NEVER, 2).points is None
    assert (asked_item("X", YES, 2).points, asked_item("X", NO, 2).points) == (2, 0)


def test_what_a_number_decides() -> None:
    heavy, told = (lambda bmi: int(bmi >= 30)), "{:g} kg/m²".format
    assert measured_item("X", Reading(31.0), heavy, told) == Item("X", "31 kg/m²", 1)
    assert measured_item("X", Reading(29.0), heavy, told) == Item("X", "29 kg/m²", 0)
    assert measured_item("X", Missing("too old"), heavy, told) == Item("X", "too old", None)


@pytest.mark.parametrize(("value", "points"), [(0, 0), (1, 0), (1.1, 2), (5, 2), (5.1, 5)])
def test_a_band_holds_its_upper_bound(value: float, points: int) -> None:
    assert up_to(value, ((1, 0), (5, 2)), 5) == points


def test_every_item_without_an_answer_is_named_with_the_points_of_the_others() -> None:
    items = (Item("A", "yes", 3), Item("B", "", None), Item("C", "no", 0), Item("D", "", None))
    refusal = unanswered(items)
    assert refusal is not None
    assert (refusal.reason, refusal.text) == ("ask", "ask about: B; D (3 points from the chart so far)")
    assert total(items) == 3
    assert unanswered((Item("A", "yes", 3),)) is None


@pytest.mark.parametrize(
    ("age", "reason"),
    [(Reading(17), "age"), (Reading(18), None), (Reading(111), "age"), (NEVER, "age"), (Reading(110), None)],
)
def test_whom_a_score_is_for(age: Reading[int] | Missing, reason: str | None) -> None:
    refusal = unsuited(NEVER, age)
    assert (refusal.reason if refusal else None) == reason


def test_the_dead_and_those_of_unknown_sex() -> None:
    dead = unsuited(YES, Reading(70))
    assert dead is not None
    assert dead.text == "deceased 3 May 2021"
    unknown = unsuited(NEVER, Reading(70), NEVER)
    assert unknown is not None
    assert unknown.reason == "sex"
    assert unsuited(NEVER, Reading(70), Reading("male")) is None


@pytest.mark.parametrize(
    ("missing", "reason", "text"),
    [
        (NEVER, "serum-albumin-never-recorded", "no serum albumin in the last 90 days"),
        (Missing("too old", "4 g/dL", DAY), "serum-albumin-too-old", "no serum albumin in the last 90 days"),
        (Missing("unit not accepted", "4", DAY), None, "serum albumin 4 (3 May 2021) has no unit"),
        (
            Missing("unit not accepted", "4 mg", DAY),
            None,
            "serum albumin 4 mg (3 May 2021) has a unit that is not accepted",
        ),
        (Missing("comparator", "<4 g/dL", DAY), None, "serum albumin <4 g/dL (3 May 2021) is not an exact value"),
        (Missing("not final", "4 g/dL", DAY), None, "serum albumin 4 g/dL (3 May 2021) is not final"),
        (Missing("no value", "x" * 90, DAY), None, f"serum albumin {'x' * 19}… (3 May 2021) has no value"),
        (UNREAD, None, "serum albumin was not read"),
    ],
)
def test_why_a_result_does_not_serve(missing: Missing, reason: str | None, text: str) -> None:
    refusal = lacking("serum albumin", missing, "90 days")
    assert refusal.text == text
    assert reason in (None, refusal.reason)


def test_over_90_is_said() -> None:
    assert (len(very_old(Reading(91))), len(very_old(Reading(90)))) == (1, 0)
