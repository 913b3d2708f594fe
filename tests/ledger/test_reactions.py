"""What a user reacted to last is found by patient, user and service, on both databases (D16)."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cds.ledger import AnswerRecord, FeedbackRecord, Keyring, Ledger, Whose, reactors
from cds.ledger.beginning import upgrade
from cds.ledger.database import connect, revision
from cds.ledger.schema import HEAD

Make = Callable[..., AnswerRecord]
Feedback = Callable[..., FeedbackRecord]
Rows = Callable[[str], list[Any]]
DAY = timedelta(days=1)


def whose(answer: AnswerRecord, **changes: str) -> Whose:
    given = {"tenant": answer.tenant, "service": answer.service, "patient": answer.patient, "user": answer.user or ""}
    return Whose(**(given | changes))


def reacted(ledger: Ledger, asked: Whose, since: Any) -> AnswerRecord | None:
    return asyncio.run(ledger.reacted(asked, since))


@pytest.fixture
def told(ledger: Ledger, an_answer: Make, a_feedback: Feedback) -> AnswerRecord:
    """An answer on whose card its user reported."""
    answer = an_answer()
    asyncio.run(ledger.record(answer))
    asyncio.run(ledger.feedback([a_feedback(answer.card_ids[0])]))
    return answer


def test_the_answer_comes_back_whole(ledger: Ledger, told: AnswerRecord) -> None:
    assert reacted(ledger, whose(told), told.recorded_at - DAY) == told


@pytest.mark.parametrize(
    "other",
    [
        {"user": "Practitioner/8"},
        {"patient": "https://fhir.example/r4|Patient/124"},
        {"service": "cardiovascular-risk"},
        {"tenant": "hospital"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_nobody_elses_reaction_counts(ledger: Ledger, told: AnswerRecord, other: dict[str, str]) -> None:
    assert reacted(ledger, whose(told, **other), told.recorded_at - DAY) is None


def test_a_reaction_counts_from_the_moment_asked_on(ledger: Ledger, told: AnswerRecord) -> None:
    assert reacted(ledger, whose(told), told.recorded_at) is not None
    assert reacted(ledger, whose(told), told.recorded_at + timedelta(microseconds=1)) is None


def test_the_newest_reaction_counts_and_not_the_newest_answer(
    ledger: Ledger, an_answer: Make, a_feedback: Feedback
) -> None:
    first, second, unanswered = (an_answer() for _ in range(3))
    for answer in (first, second, unanswered):
        asyncio.run(ledger.record(answer))
    later = a_feedback(first.card_ids[0], received_at=first.recorded_at + DAY)
    asyncio.run(ledger.feedback([later, a_feedback(second.card_ids[0])]))
    found = reacted(ledger, whose(first), first.recorded_at - DAY)
    assert found is not None
    assert found.id == first.id


def test_a_page_or_a_silence_is_nothing_to_rest(ledger: Ledger, an_answer: Make, a_feedback: Feedback) -> None:
    answer = an_answer(kind="page")
    asyncio.run(ledger.record(answer))
    asyncio.run(ledger.feedback([a_feedback(answer.card_ids[0])]))
    assert reacted(ledger, whose(answer), answer.recorded_at - DAY) is None


def test_a_reaction_is_found_after_the_key_was_changed(ledger: Ledger, keyring: Keyring, told: AnswerRecord) -> None:
    ledger.rotate(keyring.rotated())
    assert reacted(ledger, whose(told), told.recorded_at - DAY) == told


def test_what_another_server_recorded_is_found_half_a_minute_later(
    ledger_url: str, keyring: Keyring, ledger: Ledger, an_answer: Make, a_feedback: Feedback,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    answer, now = an_answer(), [100.0]
    monkeypatch.setattr(reactors, "monotonic", lambda: now[0])
    asyncio.run(ledger.record(answer))
    since = answer.recorded_at - DAY
    assert reacted(ledger, whose(answer), since) is None
    with Ledger.open(ledger_url, keyring, deadline=15.0) as other:
        asyncio.run(other.feedback([a_feedback(answer.card_ids[0])]))
        assert reacted(other, whose(answer), since) is not None
    now[0] += reactors.FRESH - 1
    assert reacted(ledger, whose(answer), since) is None
    now[0] += 2
    assert reacted(ledger, whose(answer), since) == answer


def test_who_has_reacted_to_nothing_costs_the_database_nothing(
    ledger: Ledger, told: AnswerRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    since, stranger = told.recorded_at - DAY, whose(told, patient="https://fhir.example/r4|Patient/124")
    assert reacted(ledger, stranger, since) is None

    async def asked(*_: object) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(ledger, "_soon", asked)
    assert reacted(ledger, stranger, since) is None
    with pytest.raises(AssertionError):
        reacted(ledger, whose(told), since)
    with pytest.raises(AssertionError):  # of the days before nothing is known
        reacted(ledger, stranger, since - DAY)


def test_many_reports_are_read_a_part_at_a_time(
    ledger: Ledger, an_answer: Make, a_feedback: Feedback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reactors, "PAGE", 2)
    monkeypatch.setattr(reactors, "OVERLAP", 1)
    answers = [an_answer(patient=f"https://fhir.example/r4|Patient/{n}") for n in range(10)]
    for answer in answers:
        asyncio.run(ledger.record(answer))
    asyncio.run(ledger.feedback([a_feedback(answer.card_ids[0]) for answer in answers]))
    for answer in reversed(answers):
        assert reacted(ledger, whose(answer), answer.recorded_at - DAY) == answer


def test_reports_of_before_are_not_read(ledger: Ledger, told: AnswerRecord) -> None:
    later = told.recorded_at + DAY
    with ledger._engine.connect() as connection:
        seen = reactors.Reactors()
        seen.look(connection, later)
        assert seen.known(later)
        assert seen._patients == set()
        seen.look(connection, told.recorded_at - DAY)
        assert len(seen._patients) == 1


def test_the_index_is_the_one_that_is_used(sqlite_url: str, keyring: Keyring) -> None:
    Ledger.open(sqlite_url, keyring, create=True).close()
    query = "EXPLAIN QUERY PLAN SELECT seq FROM answers WHERE patient = 'x' AND kind = 'card' AND tenant = 't'"
    with connect(sqlite_url).connect() as connection:
        plan = " ".join(str(row) for row in connection.exec_driver_sql(query).all())
    assert "answers_shown" in plan


def earlier(rows: Rows, ledger_url: str) -> None:
    """Make the tables those of the revision before."""
    rows("DROP INDEX answers_shown")
    rows("UPDATE alembic_version SET version_num = '0003'")
    assert revision(connect(ledger_url)) == "0003"


def test_an_upgrade_keeps_the_chains_whole(
    ledger_url: str, keyring: Keyring, an_answer: Make, a_feedback: Feedback, rows: Rows
) -> None:
    answer = an_answer()
    with Ledger.open(ledger_url, keyring, create=True, deadline=15.0) as ledger:
        asyncio.run(ledger.record(answer))
        asyncio.run(ledger.feedback([a_feedback(answer.card_ids[0])]))
    earlier(rows, ledger_url)
    upgrade(ledger_url)  # no key is needed: nothing is signed
    assert revision(connect(ledger_url)) == HEAD
    with Ledger.open(ledger_url, keyring, deadline=15.0) as ledger:
        assert [verdict.broken for verdict in ledger.verify()] == [None]
        assert reacted(ledger, whose(answer), answer.recorded_at - DAY) == answer


def test_an_upgrade_does_not_sign_again_what_somebody_took_away(
    ledger_url: str, keyring: Keyring, an_answer: Make, rows: Rows
) -> None:
    with Ledger.open(ledger_url, keyring, create=True, deadline=15.0) as ledger:
        asyncio.run(ledger.record(an_answer()))
    rows("DELETE FROM beginning")
    earlier(rows, ledger_url)
    upgrade(ledger_url, keyring)
    assert rows("SELECT count(*) FROM beginning") == [(0,)]
