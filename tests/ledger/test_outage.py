"""While the database fails nobody is told that an answer was recorded, and afterwards everything goes on (R39, R53)."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from cds.errors import LedgerUnavailable
from cds.ledger import AnswerRecord, Keyring, Ledger

Make = Callable[..., AnswerRecord]


async def _all(ledger: Ledger, answers: list[AnswerRecord]) -> list[Any]:
    return await asyncio.gather(*map(ledger.record, answers), return_exceptions=True)


def test_r53_a_locked_sqlite_refuses_in_time_and_recovers(
    sqlite_url: str, keyring: Keyring, an_answer: Make, tmp_path: Path
) -> None:
    with Ledger.open(sqlite_url, keyring, create=True, deadline=0.4) as ledger:
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        refused = asyncio.run(_all(ledger, [an_answer() for _ in range(30)]))
        with pytest.raises(LedgerUnavailable):
            asyncio.run(ledger.record(an_answer()))
        other.execute("ROLLBACK")
        other.close()
        assert all(isinstance(outcome, LedgerUnavailable) for outcome in refused)
        afterwards = _eventually(ledger, an_answer)
        assert list(ledger.answers()) == [afterwards]


def test_r53_a_postgresql_that_drops_every_connection_is_connected_anew(
    postgres: str, keyring: Keyring, an_answer: Make
) -> None:
    with Ledger.open(postgres, keyring, create=True) as ledger:
        before, lost = an_answer(), [an_answer() for _ in range(10)]
        asyncio.run(ledger.record(before))
        _terminate_others(postgres)
        outcomes = asyncio.run(_all(ledger, lost))
        assert all(isinstance(outcome, LedgerUnavailable) for outcome in outcomes[:1])
        after = _eventually(ledger, an_answer)
        told = {answer.id for answer, outcome in zip(lost, outcomes, strict=True) if isinstance(outcome, bytes)}
        found = {answer.id for answer in ledger.answers()}
        assert found >= {before.id, after.id} | told
        assert not found & {answer.id for answer in lost} - told


def test_a_postgresql_that_does_not_answer_in_time_is_not_waited_for(
    postgres: str, keyring: Keyring, an_answer: Make
) -> None:
    with Ledger.open(postgres, keyring, create=True, deadline=0.3) as ledger:
        engine = create_engine(postgres)
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE answers IN ACCESS EXCLUSIVE MODE"))
            outcomes = asyncio.run(_all(ledger, [an_answer() for _ in range(5)]))
            assert all(isinstance(outcome, LedgerUnavailable) for outcome in outcomes)
        engine.dispose()
        after = _eventually(ledger, an_answer)
        assert after in list(ledger.answers())


def test_a_full_queue_refuses_at_once(sqlite_url: str, keyring: Keyring, an_answer: Make, tmp_path: Path) -> None:
    with Ledger.open(sqlite_url, keyring, create=True, deadline=0.4, backlog=8) as ledger:
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        outcomes = asyncio.run(_all(ledger, [an_answer() for _ in range(60)]))
        other.execute("ROLLBACK")
        other.close()
    assert any("keep up" in str(outcome) for outcome in outcomes)
    assert all(isinstance(outcome, LedgerUnavailable) for outcome in outcomes)


def test_an_outage_names_its_kind_and_no_patient(
    sqlite_url: str, keyring: Keyring, an_answer: Make, tmp_path: Path
) -> None:
    with Ledger.open(sqlite_url, keyring, create=True) as ledger:
        asyncio.run(ledger.record(an_answer()))
        with sqlite3.connect(tmp_path / "ledger.db") as other:
            other.execute("DROP TABLE cards")
        other.close()
        with pytest.raises(LedgerUnavailable) as refused:
            asyncio.run(ledger.record(an_answer(patient="canary", tenant="canary")))
    assert "OperationalError" in str(refused.value)
    assert "canary" not in repr(refused.value)
    assert refused.value.retry_after > 0


def test_a_caller_who_goes_away_stops_nothing(ledger: Ledger, an_answer: Make) -> None:
    gone, there = an_answer(), an_answer()

    async def hang_up() -> bytes:
        call = asyncio.ensure_future(ledger.record(gone))
        await asyncio.sleep(0)
        call.cancel()
        return await ledger.record(there)

    assert asyncio.run(hang_up()) == there.body
    assert there in list(ledger.answers())


def _eventually(ledger: Ledger, make: Make) -> AnswerRecord:
    """The writer may still be in the statement that hung; the EHR would ask again, too."""
    for _ in range(20):
        answer = make()
        try:
            assert asyncio.run(ledger.record(answer)) == answer.body
        except LedgerUnavailable:
            continue
        return answer
    pytest.fail("the ledger did not recover")


def _terminate_others(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = 'postgres'"
            )
        )
    engine.dispose()
