"""An identical call within five minutes gets the recorded answer again, counted, and adds no row (D21, R47)."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cds.ledger import AnswerRecord, Keyring, Ledger

Make = Callable[..., AnswerRecord]
Rows = Callable[[str], list[Any]]
SECOND = timedelta(seconds=1)


@pytest.mark.proves("R47", "100 repeats, 60 of them at once: 1 row, 1 body, counter at 100, on SQLite and PostgreSQL")
def test_r47_a_hundred_repeats_are_one_row_and_one_body(ledger: Ledger, an_answer: Make, rows: Rows) -> None:
    first = an_answer(replay_key="k", body=b"first")

    async def campaign() -> set[bytes]:
        bodies = [await ledger.record(first)]
        bodies += [await ledger.record(an_answer(replay_key="k", body=b"other")) for _ in range(40)]
        bodies += await asyncio.gather(*[ledger.record(an_answer(replay_key="k", body=b"more")) for _ in range(60)])
        return set(bodies)

    assert asyncio.run(campaign()) == {b"first"}
    assert rows("SELECT id, repeats FROM answers") == [(first.id, 100)]
    assert rows("SELECT count(*) FROM scores") == rows("SELECT count(*) FROM cards") == [(1,)]
    assert [answer.repeats for answer in ledger.answers()] == [100]


def test_repeats_that_arrive_together_agree_on_one_answer(ledger: Ledger, an_answer: Make, rows: Rows) -> None:
    async def at_once() -> list[bytes]:
        calls = [an_answer(replay_key=f"k{n % 5}", body=f"{n}".encode(), cards=b"[]") for n in range(50)]
        return await asyncio.gather(*map(ledger.record, calls))

    bodies = asyncio.run(at_once())
    assert all(len(set(bodies[n::5])) == 1 for n in range(5))
    assert len(set(bodies)) == 5
    assert rows("SELECT count(*), sum(repeats) FROM answers") == [(5, 45)]


def test_d21_after_five_minutes_the_call_is_answered_afresh(ledger: Ledger, an_answer: Make, rows: Rows) -> None:
    first = an_answer(replay_key="k", body=b"first")
    almost = an_answer(
        replay_key="k", body=b"almost", recorded_at=first.recorded_at + 300 * SECOND - SECOND / 1_000_000
    )
    after = an_answer(replay_key="k", body=b"after", recorded_at=first.recorded_at + 300 * SECOND)
    again = an_answer(replay_key="k", body=b"again", recorded_at=first.recorded_at + 301 * SECOND)
    sent = [asyncio.run(ledger.record(call)) for call in (first, almost, after, again)]
    assert sent == [b"first", b"first", b"after", b"after"]
    assert rows("SELECT repeats FROM answers ORDER BY seq") == [(1,), (1,)]


def test_outlived_keys_are_forgotten(ledger: Ledger, an_answer: Make, rows: Rows) -> None:
    first = an_answer(replay_key="old")
    asyncio.run(ledger.record(first))
    asyncio.run(ledger.record(an_answer(replay_key="new", recorded_at=first.recorded_at + 400 * SECOND)))
    asyncio.run(ledger.record(an_answer(replay_key="newer", recorded_at=first.recorded_at + 440 * SECOND)))
    assert rows("SELECT replay_key FROM replays ORDER BY replay_key") == [("new",), ("newer",)]


def test_calls_without_a_key_are_never_replayed(ledger: Ledger, an_answer: Make) -> None:
    calls = [an_answer(body=f"{n}".encode(), cards=b"[]") for n in range(3)]
    assert [asyncio.run(ledger.record(call)) for call in calls] == [b"0", b"1", b"2"]


def test_two_servers_replay_each_others_answers(
    ledger: Ledger, ledger_url: str, keyring: Keyring, an_answer: Make, rows: Rows
) -> None:
    with Ledger.open(ledger_url, keyring, deadline=15.0) as other:

        async def both() -> list[bytes]:
            calls = [an_answer(replay_key=f"k{n % 10}", body=f"{n}".encode(), cards=b"[]") for n in range(200)]
            return await asyncio.gather(*[(ledger, other)[n // 10 % 2].record(call) for n, call in enumerate(calls)])

        bodies = asyncio.run(both())
    assert all(len(set(bodies[n::10])) == 1 for n in range(10))
    assert rows("SELECT count(*), sum(repeats) FROM answers") == [(10, 190)]
