"""An answer is on the disk before its bytes are given out, alone or in a group, on both databases."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cds.errors import LedgerUnavailable
from cds.ledger import AnswerRecord, Keyring, Ledger, ScoreRecord

Make = Callable[..., AnswerRecord]
Rows = Callable[[str], list[Any]]


def test_an_answer_comes_back_as_it_was_recorded(
    ledger: Ledger, an_answer: Make, a_score: Callable[..., ScoreRecord]
) -> None:
    scores = (a_score(), a_score(model="kfre-8", outcome="not-scored", reason="too old", estimates=[], row=b"\x00\xff"))
    given = an_answer(scores=scores, missing=("upcr", "procedures"), user=None)
    assert asyncio.run(ledger.record(given)) == given.body
    assert list(ledger.answers()) == [given]
    assert list(ledger.scores()) == [(given, scores[0]), (given, scores[1])]


def test_cards_that_are_no_part_of_the_body_are_kept_too(ledger: Ledger, an_answer: Make) -> None:
    given = an_answer(stage="shadow", kind="shadow", body=b'{"cards":[]}')
    asyncio.run(ledger.record(given))
    assert list(ledger.answers()) == [given]


def test_many_at_once_are_each_recorded_once_with_their_own_body(ledger: Ledger, an_answer: Make, rows: Rows) -> None:
    given = [an_answer(body=f'{{"cards":[],"n":{n}}}'.encode(), cards=b"[]") for n in range(400)]

    async def all_at_once() -> list[bytes]:
        return await asyncio.gather(*[ledger.record(answer) for answer in given])

    assert asyncio.run(all_at_once()) == [answer.body for answer in given]
    assert {answer.id: answer for answer in ledger.answers(batch=37)} == {answer.id: answer for answer in given}
    assert rows("SELECT count(*), count(DISTINCT id) FROM answers") == [(400, 400)]
    assert rows("SELECT count(*) FROM scores") == [(400,)]
    assert rows("SELECT count(*) FROM cards") == [(400,)]


def test_walking_answers_by_time_and_service(ledger: Ledger, an_answer: Make) -> None:
    early = an_answer(service="other")
    late = an_answer(recorded_at=early.recorded_at + timedelta(microseconds=1))
    asyncio.run(ledger.record(early))
    asyncio.run(ledger.record(late))
    assert list(ledger.answers(since=late.recorded_at)) == [late]
    assert list(ledger.answers(service="other")) == [early]
    assert list(ledger.answers(since=late.recorded_at, service="other")) == []


def test_one_answer_that_cannot_be_written_does_not_take_its_group_along(ledger: Ledger, an_answer: Make) -> None:
    known = an_answer()
    asyncio.run(ledger.record(known))
    good = [an_answer() for _ in range(20)]
    twice = an_answer(id=known.id)

    async def together() -> list[Any]:
        return await asyncio.gather(*map(ledger.record, [*good, twice]), return_exceptions=True)

    *bodies, refused = asyncio.run(together())
    assert bodies == [answer.body for answer in good]
    assert isinstance(refused, LedgerUnavailable)
    assert sorted(answer.id for answer in ledger.answers()) == sorted(answer.id for answer in [known, *good])


def test_a_time_without_a_zone_is_refused_before_anything_is_written(ledger: Ledger, an_answer: Make) -> None:
    naive = an_answer(recorded_at=an_answer().recorded_at.replace(tzinfo=None))
    with pytest.raises(TypeError):
        asyncio.run(ledger.record(naive))
    assert list(ledger.answers()) == []


def test_closing_writes_what_was_accepted_and_refuses_what_comes_after(
    ledger_url: str, keyring: Keyring, an_answer: Make
) -> None:
    ledger = Ledger.open(ledger_url, keyring, create=True, deadline=15.0)
    given = [an_answer() for _ in range(50)]

    async def close_while_waiting() -> list[bytes]:
        waiting = [asyncio.ensure_future(ledger.record(answer)) for answer in given]
        await asyncio.sleep(0)
        await asyncio.to_thread(ledger.close)
        return await asyncio.gather(*waiting)

    assert asyncio.run(close_while_waiting()) == [answer.body for answer in given]
    with pytest.raises(LedgerUnavailable, match="closed"):
        asyncio.run(ledger.record(an_answer()))
    with Ledger.open(ledger_url, keyring) as again:
        assert {answer.id for answer in again.answers()} == {answer.id for answer in given}


def test_two_servers_share_a_ledger(
    ledger: Ledger, ledger_url: str, keyring: Keyring, an_answer: Make, rows: Rows
) -> None:
    given = [an_answer(id=str(uuid.UUID(int=n))) for n in range(200)]
    with Ledger.open(ledger_url, keyring, deadline=15.0) as other:

        async def both() -> None:
            await asyncio.gather(*[(ledger, other)[n % 2].record(answer) for n, answer in enumerate(given)])

        asyncio.run(both())
    assert rows("SELECT count(*), count(DISTINCT id) FROM answers") == [(200, 200)]
