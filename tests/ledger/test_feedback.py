"""Feedback is appended once per report, joined to the card's model, and tallied right whatever its order (R48)."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from cds.errors import LedgerUnavailable
from cds.ledger import AnswerRecord, FeedbackRecord, Keyring, Ledger, ScoreRecord, Tally

Make = Callable[..., AnswerRecord]
Feedback = Callable[..., FeedbackRecord]
Rows = Callable[[str], list[Any]]
MINUTE = timedelta(minutes=1)


def test_feedback_comes_back_as_it_was_reported(ledger: Ledger, an_answer: Make, a_feedback: Feedback) -> None:
    answer = an_answer()
    asyncio.run(ledger.record(answer))
    given = [
        a_feedback(answer.card_ids[0]),
        a_feedback("unknown", outcome="accepted", suggestions=("a", "b"), comment=None),
    ]
    asyncio.run(ledger.feedback(given))
    assert list(ledger.feedback_records()) == given


@pytest.mark.proves("R48", "a report that comes again is kept once")
def test_r48_the_same_report_twice_is_one(ledger: Ledger, a_feedback: Feedback, rows: Rows) -> None:
    once = a_feedback("c", outcome="accepted", suggestions=("a", "b"))
    twice = a_feedback("c", outcome="accepted", suggestions=("b", "a"), received_at=once.received_at + MINUTE)
    other = a_feedback("c", outcome="accepted", suggestions=("a",))
    asyncio.run(ledger.feedback([once, twice]))
    asyncio.run(ledger.feedback([twice, other]))
    asyncio.run(ledger.feedback([]))
    assert rows("SELECT count(*) FROM feedback") == [(2,)]


@pytest.mark.proves("R48", "feedback on an unknown card is kept, joined to nothing")
def test_an_unknown_card_is_kept_as_an_orphan(ledger: Ledger, a_feedback: Feedback, rows: Rows) -> None:
    asyncio.run(ledger.feedback([a_feedback("4b1ee0a7-0000-4000-8000-000000000000")]))
    assert rows("SELECT answer FROM feedback") == [(None,)]
    assert ledger.tallies() == [Tally("kidney-failure-risk", None, None, "overridden", "already-referred", 1, 1)]


def test_another_tenant_or_service_cannot_reach_a_card(
    ledger: Ledger, an_answer: Make, a_feedback: Feedback, rows: Rows
) -> None:
    answer = an_answer()
    asyncio.run(ledger.record(answer))
    (card,) = answer.card_ids
    asyncio.run(ledger.feedback([a_feedback(card, tenant="stranger"), a_feedback(card, service="other")]))
    assert rows("SELECT count(*) FROM feedback WHERE answer IS NULL") == [(2,)]


def test_one_bad_report_stores_none(ledger: Ledger, a_feedback: Feedback, rows: Rows) -> None:
    bad = a_feedback("c", outcome="accepted", reason_code=object())
    with pytest.raises(LedgerUnavailable):
        asyncio.run(ledger.feedback([a_feedback("a"), a_feedback("b"), bad]))
    assert rows("SELECT count(*) FROM feedback") == [(0,)]


def test_tallies_tell_models_and_versions_apart(
    ledger: Ledger, an_answer: Make, a_score: Callable[..., ScoreRecord], a_feedback: Feedback
) -> None:
    old = an_answer(scores=(a_score(version="1"),))
    new = an_answer(scores=(a_score(version="2"), a_score(version="2"), a_score(model="kfre-8", version="2")))
    asyncio.run(ledger.record(old))
    asyncio.run(ledger.record(new))
    changed_mind = a_feedback(
        new.card_ids[0], outcome="accepted", reason_code=None, outcome_timestamp=new.recorded_at + MINUTE
    )
    asyncio.run(ledger.feedback([a_feedback(old.card_ids[0]), changed_mind, a_feedback(new.card_ids[0])]))
    service, referred = "kidney-failure-risk", "already-referred"
    assert ledger.tallies() == [
        Tally(service, "kfre-4", "1", "overridden", referred, 1, 1),
        Tally(service, "kfre-4", "2", "accepted", None, 1, 1),
        Tally(service, "kfre-4", "2", "overridden", referred, 0, 1),
        Tally(service, "kfre-8", "2", "accepted", None, 1, 1),
        Tally(service, "kfre-8", "2", "overridden", referred, 0, 1),
    ]


Report = tuple[int, str, int, str | None]  # card, outcome, minute, reason
reports = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["accepted", "overridden"]),
        st.integers(0, 4),
        st.sampled_from([None, "x", "y"]),
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=reports, posts=st.integers(1, 4))
def test_r48_any_sequence_of_reports_ends_in_the_right_tallies(
    keyring: Keyring, an_answer: Make, a_feedback: Feedback, sequence: list[Report], posts: int
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger.open(f"sqlite:///{Path(folder) / 'l.db'}", keyring, create=True, deadline=15.0) as ledger,
    ):
        answers = [an_answer() for _ in range(4)]
        for answer in answers:
            asyncio.run(ledger.record(answer))
        for post in _batched(sequence, posts):
            asyncio.run(ledger.feedback([_told(a_feedback, answers, report) for report in post]))
        found = {(tally.outcome, tally.reason): (tally.cards, tally.reports) for tally in ledger.tallies()}
    assert found == _expected(sequence)


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.proves("R48", "10,000 random sequences in make proof (500 in make test): the right tallies after each")
def test_r48_ten_thousand_sequences_end_in_the_right_tallies(
    tmp_path: Path, keyring: Keyring, an_answer: Make, a_feedback: Feedback, campaign: Callable[[int], int]
) -> None:
    chance, count = Random(48), campaign(10_000)
    for start in range(0, count, BATCH):
        told = {f"service-{n}": _random_sequence(chance) for n in range(min(BATCH, count - start))}
        with Ledger.open(f"sqlite:///{tmp_path / f'{start}.db'}", keyring, create=True, deadline=15.0) as ledger:
            asyncio.run(_tell_all(ledger, told, an_answer, a_feedback))
            found: dict[str, dict[tuple[str, str | None], tuple[int, int]]] = {name: {} for name in told}
            for tally in ledger.tallies():
                found[tally.service][tally.outcome, tally.reason] = (tally.cards, tally.reports)
        assert found == {name: _expected(sequence) for name, sequence in told.items()}


BATCH = 100
"""Sequences that share a ledger, each about a service of its own, and are told at the same time."""


def _random_sequence(chance: Random) -> list[Report]:
    return [
        (
            chance.randrange(4),
            chance.choice(["accepted", "overridden"]),
            chance.randrange(5),
            chance.choice([None, "x", "y"]),
        )
        for _ in range(chance.randrange(26))
    ]


async def _tell_all(ledger: Ledger, told: dict[str, list[Report]], an_answer: Make, a_feedback: Feedback) -> None:
    async def one(service: str, sequence: list[Report]) -> None:
        answers = [an_answer(service=service) for _ in range(4)]
        await asyncio.gather(*(ledger.record(answer) for answer in answers))
        for post in _batched(sequence, 1 + len(sequence) % 4):
            reports = [_told(a_feedback, answers, report) for report in post]
            await ledger.feedback([structs.replace(report, service=service) for report in reports])

    await asyncio.gather(*(one(service, sequence) for service, sequence in told.items()))


def _batched(sequence: list[Report], size: int) -> list[list[Report]]:
    return [sequence[start : start + size] for start in range(0, len(sequence), size)]


def _told(a_feedback: Feedback, answers: list[AnswerRecord], report: Report) -> FeedbackRecord:
    card, outcome, minute, reason = report
    at = answers[card].recorded_at + minute * MINUTE
    return a_feedback(answers[card].card_ids[0], outcome=outcome, outcome_timestamp=at, reason_code=reason)


def _expected(sequence: list[Report]) -> dict[tuple[str, str | None], tuple[int, int]]:
    """The plain reading: of equal reports the first stands; of a card's reports the latest is the card's."""
    first: dict[tuple[int, str, int], Report] = {}
    for report in sequence:
        first.setdefault(report[:3], report)
    firsts = list(first.values())
    standing: dict[int, Report] = {}
    for report in firsts:
        if report[0] not in standing or report[2] >= standing[report[0]][2]:
            standing[report[0]] = report
    all_of = Counter((outcome, reason) for _, outcome, _, reason in firsts)
    cards_of = Counter((outcome, reason) for _, outcome, _, reason in standing.values())
    return {key: (cards_of[key], count) for key, count in all_of.items()}
