"""While the database is out answers go on, from a spool that names nobody, and come home once each (R53)."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from cds.errors import LedgerUnavailable, SiteError
from cds.ledger import AnswerRecord, FeedbackRecord, Keyring, Ledger
from cds.ledger.events import Event
from cds.ledger.spool_file import LIVE, START, SpoolFile
from tests.ledger.full_disk import at_most
from tests.ledger.test_sealing import CANARIES

Make = Callable[..., AnswerRecord]
Feedback = Callable[..., FeedbackRecord]
Rows = Callable[[str], list[Any]]
Out = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def out(ledger_url: str) -> Out:
    """Takes the database away for as long as the context lasts: locked (SQLite), or refusing everybody (PostgreSQL)."""
    return lambda: _locked(ledger_url) if ledger_url.startswith("sqlite") else _refusing(ledger_url)


@contextlib.contextmanager
def _locked(url: str) -> Iterator[None]:
    database = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
    database.execute("BEGIN EXCLUSIVE")
    yield
    database.execute("ROLLBACK")
    database.close()


@contextlib.contextmanager
def _refusing(url: str) -> Iterator[None]:
    name = make_url(url).database
    engine = create_engine(url.replace(f"/{name}?", "/postgres?"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        connection.execute(text(terminate), {"name": name})
        yield
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    engine.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spooling(ledger_url: str, keyring: Keyring, folder: Path) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, keyring, create=True, deadline=0.8, spool=folder) as opened:
        yield opened


def _home(ledger: Ledger) -> None:
    """Waits until all that was spooled is in the database, and what comes new goes there too."""
    for _ in range(600):
        if not ledger.spooled() and ledger.state() == "ok":
            return
        time.sleep(0.05)
    pytest.fail("the spool was not brought home")


def _failed(ledger: Ledger) -> bool:
    for _ in range(200):
        if ledger.state() == "failed":
            return True
        time.sleep(0.05)
    return False


async def _soon(fulfilled: Callable[[], bool]) -> bool:
    for _ in range(800):
        if fulfilled():
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.mark.proves("R53", "64 callers at once while the database goes and comes 3 times: 0 refused, 0 lost, 0 doubled")
def test_r53_callers_notice_nothing_of_an_outage(spooling: Ledger, an_answer: Make, out: Out) -> None:
    sent: list[str] = []
    going = True

    async def call() -> None:
        while going:
            given = an_answer(replay_key=None)
            assert await spooling.record(given) == given.body
            sent.append(given.id)
            await asyncio.sleep(0.05)

    async def all_day() -> None:
        nonlocal going
        callers = [asyncio.create_task(call()) for _ in range(64)]
        for _ in range(3):
            await asyncio.sleep(0.3)
            with out():
                assert await _soon(lambda: spooling.spooled() > 64)
        assert await _soon(lambda: not spooling.spooled()), "under steady load, too, the spool must come to its end"
        going = False
        await asyncio.gather(*callers)

    asyncio.run(all_day())
    _home(spooling)
    found = [answer.id for answer in spooling.answers(batch=5000)]
    assert len(found) == len(set(found))
    assert set(found) == set(sent)
    assert len(sent) > 64 * 3


def test_r53_what_was_spooled_comes_home_in_order_and_as_it_was(
    spooling: Ledger, an_answer: Make, out: Out, folder: Path
) -> None:
    given = [an_answer(missing=("upcr",), user=None) for _ in range(600)]
    assert spooling.state() == "ok"
    with out():
        for answer in given:
            assert asyncio.run(spooling.record(answer)) == answer.body
        assert spooling.spooled() == 600
        assert spooling.state() == "spooling"
    _home(spooling)
    assert list(spooling.answers()) == given
    assert [path.stat().st_size for path in folder.iterdir()] == [START]


def test_d21_while_spooling_an_identical_call_gets_its_own_body_and_both_are_kept(
    spooling: Ledger, an_answer: Make, out: Out
) -> None:
    calls = [an_answer(replay_key="k", body=f"{n}".encode(), cards=b"[]") for n in range(4)]
    sent = [asyncio.run(spooling.record(calls[0]))]
    with out():
        sent += [asyncio.run(spooling.record(call)) for call in calls[1:3]]
    _home(spooling)
    sent.append(asyncio.run(spooling.record(calls[3])))
    assert sent == [b"0", b"1", b"2", b"0"]
    assert [(answer.body, answer.repeats) for answer in spooling.answers()] == [(b"0", 1), (b"1", 0), (b"2", 0)]


def test_r53_feedback_in_the_spool_is_joined_to_its_answer_and_the_chain_holds(
    spooling: Ledger, an_answer: Make, a_feedback: Feedback, out: Out
) -> None:
    before, during = an_answer(), an_answer()
    asyncio.run(spooling.record(before))
    given = [a_feedback(before.card_ids[0]), a_feedback(during.card_ids[0]), a_feedback("unknown")]
    with out():
        asyncio.run(spooling.record(during))
        asyncio.run(spooling.feedback(given))
        asyncio.run(spooling.feedback(given))
        assert spooling.spooled() == 3
    _home(spooling)
    assert list(spooling.feedback_records()) == given
    (scored,) = [tally for tally in spooling.tallies() if tally.model]
    assert (scored.cards, scored.reports) == (2, 2)
    assert [verdict.broken for verdict in spooling.verify()] == [None]


@pytest.mark.proves("R53", "30 commits of unknown outcome, in the database and in the spool: each recorded once")
def test_r53_a_commit_whose_outcome_nobody_heard_is_no_second_answer(
    postgres: str, keyring: Keyring, an_answer: Make, folder: Path, tmp_path: Path
) -> None:
    given = [an_answer() for _ in range(30)]
    with Ledger.open(postgres, keyring, create=True, deadline=0.3, spool=folder) as ledger:
        engine = create_engine(postgres)
        with engine.begin() as connection:
            # The insert waits for the lock, and is committed after everybody has given up.
            connection.execute(text("LOCK TABLE answers IN ACCESS EXCLUSIVE MODE"))
            assert asyncio.run(_all(ledger, given)) == [answer.body for answer in given]
            assert ledger.spooled() == 30
        engine.dispose()
        _home(ledger)
        found = [answer.id for answer in ledger.answers()]
        assert [sorted(found).count(answer.id) for answer in given] == [1] * 30


async def _all(ledger: Ledger, answers: list[AnswerRecord]) -> list[Any]:
    return await asyncio.gather(*map(ledger.record, answers), return_exceptions=True)


@pytest.mark.proves("R53", "a full spool: 5 sent and recorded, 20 refused with LedgerUnavailable and recorded nowhere")
def test_r53_with_its_spool_full_nothing_leaves(spooling: Ledger, an_answer: Make, out: Out) -> None:
    given = [an_answer() for _ in range(25)]
    assert spooling._outage
    spooling._outage.spool._events = 5
    with out():
        outcomes = [asyncio.run(_all(spooling, [answer]))[0] for answer in given]
        assert [isinstance(outcome, bytes) for outcome in outcomes] == [True] * 5 + [False] * 20
        assert {type(outcome) for outcome in outcomes[5:]} == {LedgerUnavailable}
        assert "spool is full" in str(outcomes[5])
        assert spooling.state() == "failed"
    _home(spooling)
    assert list(spooling.answers()) == given[:5]
    asyncio.run(spooling.record(given[5]))
    assert len(list(spooling.answers())) == 6


@pytest.mark.proves("R53", "a disk that takes 20 kB more: what was sent is recorded, what was not is nowhere")
def test_r53_with_the_disk_full_nothing_leaves(spooling: Ledger, an_answer: Make, out: Out, folder: Path) -> None:
    given = [an_answer(body=bytes(3000), cards=b"") for _ in range(20)]
    with out():
        with at_most(20_000):
            outcomes = [asyncio.run(_all(spooling, [answer]))[0] for answer in given]
            state = spooling.state()
        sent = [answer for answer, outcome in zip(given, outcomes, strict=True) if isinstance(outcome, bytes)]
        assert 0 < len(sent) < 20
        assert state == "failed"
        assert "cannot be written" in str(outcomes[-1])
        late = an_answer()
        assert asyncio.run(spooling.record(late)) == late.body, "there is room again"
        assert spooling.state() == "spooling"
    _home(spooling)
    assert list(spooling.answers()) == [*sent, late]


def test_r53_a_database_whose_file_has_gone_is_out_until_it_is_back(
    sqlite_url: str, keyring: Keyring, an_answer: Make, folder: Path, tmp_path: Path
) -> None:
    answer = an_answer()
    with Ledger.open(sqlite_url, keyring, create=True, spool=folder) as ledger:
        (tmp_path / "ledger.db").rename(tmp_path / "elsewhere.db")
        assert ledger.state() == "spooling"
        assert asyncio.run(ledger.record(answer)) == answer.body
        assert (ledger.state(), ledger.spooled()) == ("spooling", 1)
        assert not (tmp_path / "ledger.db").exists()
        (tmp_path / "elsewhere.db").rename(tmp_path / "ledger.db")
        _home(ledger)
        assert list(ledger.answers()) == [answer]


def test_r53_without_a_spool_an_outage_refuses(ledger_url: str, keyring: Keyring, an_answer: Make, out: Out) -> None:
    with Ledger.open(ledger_url, keyring, create=True, deadline=0.4) as ledger:
        assert (ledger.state(), ledger.spooled()) == ("ok", 0)
        with out():
            with pytest.raises(LedgerUnavailable):
                asyncio.run(ledger.record(an_answer()))
            assert ledger.state() == "failed"


@pytest.mark.proves("R53", "7 canaries and the model's name: 0 found in the spool, whose mode is 0600")
def test_r53_a_stolen_spool_names_nobody(
    spooling: Ledger, an_answer: Make, a_score: Callable[..., Any], a_feedback: Feedback, out: Out, folder: Path
) -> None:
    answer = an_answer(
        patient=CANARIES["patient"],
        user=CANARIES["user"],
        cards=CANARIES["card"].encode(),
        body=CANARIES["body"].encode(),
        scores=(a_score(row=CANARIES["resource"].encode()),),
    )
    told = a_feedback(answer.card_ids[0], comment=CANARIES["comment"], reason_display=CANARIES["display"])
    with out():
        asyncio.run(spooling.record(answer))
        asyncio.run(spooling.feedback([told]))
        (file,) = folder.iterdir()
        stolen = file.read_bytes()
        assert spooling.spooled() == 2
    assert len(stolen) > 500
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [canary for canary in [*CANARIES.values(), "kfre-4", answer.id] if canary.encode() in stolen] == []


def test_r53_a_report_that_cannot_be_kept_is_refused_before_it_is_spooled(
    spooling: Ledger, a_feedback: Feedback, out: Out
) -> None:
    bad = a_feedback("c", reason_code=object(), outcome_timestamp=object())
    with out():
        asyncio.run(spooling.feedback([a_feedback("a")]))
        with pytest.raises(LedgerUnavailable):
            asyncio.run(spooling.feedback([a_feedback("b"), bad]))
        assert spooling.spooled() == 1
    _home(spooling)
    assert [record.card for record in spooling.feedback_records()] == ["a"]


def test_r53_a_record_that_cannot_be_written_is_no_outage(spooling: Ledger, an_answer: Make, rows: Rows) -> None:
    known = an_answer()
    asyncio.run(spooling.record(known))
    with pytest.raises(LedgerUnavailable, match="does not take this record"):
        asyncio.run(spooling.record(an_answer(id=known.id)))
    assert (spooling.state(), spooling.spooled()) == ("ok", 0)


@pytest.mark.proves("R53", "1 event of 21 that the database does not take: set aside sealed, the other 20 recorded")
def test_r53_what_a_database_never_takes_is_set_aside_and_stops_nothing(
    request: pytest.FixtureRequest, keyring: Keyring, an_answer: Make, folder: Path
) -> None:
    url = request.getfixturevalue("postgres")
    good = [an_answer() for _ in range(20)]
    bad = an_answer(tenant="nul\0")  # PostgreSQL has no text with this character
    with Ledger.open(url, keyring, create=True, deadline=0.3, spool=folder) as ledger:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE answers IN ACCESS EXCLUSIVE MODE"))
            asyncio.run(ledger.record(good[0]))
            asyncio.run(_all(ledger, [*good[1:10], bad, *good[10:]]))
        engine.dispose()
        with structlog.testing.capture_logs() as said:
            assert asyncio.run(_soon(lambda: not ledger.spooled()))
        assert ledger.state() == "spooling", "one that was sent stands in no ledger: somebody must look"
        assert {answer.id for answer in good} <= {answer.id for answer in ledger.answers()}
    assert "nul" not in str(said)
    (aside,) = folder.glob("*.refused")
    file = SpoolFile.adopt(aside)
    assert file
    assert [b"nul" in frame.plain for frame in file.walk(START, 0, keyring)] == [True]
    file.close()


@pytest.mark.proves("R53", "closed during an outage with 40 events: the next process records all 40, the file is gone")
def test_r53_what_a_process_leaves_the_next_one_brings_home(
    ledger_url: str, keyring: Keyring, an_answer: Make, folder: Path, out: Out
) -> None:
    given = [an_answer() for _ in range(40)]
    first = Ledger.open(ledger_url, keyring, create=True, deadline=0.4, spool=folder)
    with out():
        assert asyncio.run(_all(first, given)) == [answer.body for answer in given]
        first.close()
        (left,) = folder.glob(f"*{LIVE}")
        with pytest.raises(LedgerUnavailable):
            Ledger.open(ledger_url, keyring, deadline=0.4)
        second = Ledger.open(ledger_url, keyring, deadline=0.4, spool=folder)
        assert (second.spooled(), second.state()) == (40, "spooling")
        late = an_answer()
        assert asyncio.run(second.record(late)) == late.body
    _home(second)
    assert not left.exists()
    assert list(second.answers())[-1] == late
    assert {answer.id for answer in second.answers()} == {answer.id for answer in [*given, late]}
    second.close()
    assert list(folder.iterdir()) == []


def test_r53_tables_that_are_not_up_to_date_after_an_outage_are_not_written(
    ledger_url: str, keyring: Keyring, an_answer: Make, folder: Path, out: Out, rows: Rows
) -> None:
    Ledger.open(ledger_url, keyring, create=True).close()
    rows("UPDATE alembic_version SET version_num = '0000'")
    with out():
        ledger = Ledger.open(ledger_url, keyring, deadline=0.4, spool=folder)
        asyncio.run(ledger.record(an_answer()))
    assert _failed(ledger)
    assert ledger.spooled() == 1
    ledger.close()
    rows("DELETE FROM alembic_version")
    with pytest.raises(SiteError):
        Ledger.open(ledger_url, keyring, spool=folder)


def test_r53_a_spool_that_is_damaged_under_its_process_is_not_read_over(
    ledger_url: str, keyring: Keyring, an_answer: Make, folder: Path, out: Out
) -> None:
    ledger = Ledger.open(ledger_url, keyring, create=True, deadline=0.4, spool=folder)
    given = [an_answer() for _ in range(3)]
    with out():
        for answer in given[:2]:
            asyncio.run(ledger.record(answer))
        (file,) = folder.iterdir()
        whole = file.read_bytes()
        with file.open("r+b") as raw:
            raw.seek(START + 100)
            raw.write(bytes([whole[START + 100] ^ 1]))
    assert _failed(ledger)
    assert asyncio.run(ledger.record(given[2])) == given[2].body, "it is durable: it stands behind the others"
    ledger.close()
    with pytest.raises(SiteError, match=f"damaged at byte {START}"):
        Ledger.open(ledger_url, keyring, spool=folder)
    file.rename(file.with_suffix(".damaged"))
    with Ledger.open(ledger_url, keyring, deadline=0.4, spool=folder) as again:
        _home(again)
        assert list(again.answers()) == given[1:]
    assert [path.suffix for path in folder.iterdir()] == [".salvaged"]


def test_r53_after_a_rotation_during_an_outage_the_spool_still_comes_home(
    spooling: Ledger, keyring: Keyring, an_answer: Make, out: Out
) -> None:
    before, after = an_answer(), an_answer()
    with out():
        asyncio.run(spooling.record(before))
        with pytest.raises(LedgerUnavailable):
            spooling.rotate(keyring.rotated())
        asyncio.run(spooling.record(after))
    _home(spooling)
    assert list(spooling.answers()) == [before, after]


def test_r53_an_outage_is_told_once_when_it_begins_and_once_when_it_ends(
    spooling: Ledger, an_answer: Make, out: Out
) -> None:
    with structlog.testing.capture_logs() as said:
        with out():
            for _ in range(20):
                asyncio.run(spooling.record(an_answer(patient="canary")))
        _home(spooling)
    assert [line["log_level"] for line in said] == ["error", "warning"]
    assert "canary" not in str(said)


@pytest.mark.proves("R53", "events of an outage: each recorded once, in the chain, on both databases")
def test_r53_what_else_must_be_told_waits_in_the_spool_too(spooling: Ledger, an_answer: Make, out: Out) -> None:
    async def told() -> None:
        with out():
            for number in range(5):
                detail = {"reason": str(number)}
                await spooling.note(
                    Event("token-refused", "local", an_answer().recorded_at, "refused", None, None, detail)
                )

    asyncio.run(told())
    _home(spooling)
    found = [event.detail["reason"] for event in spooling.events() if event.kind == "token-refused"]
    assert found == list("01234")
    assert [verdict.broken for verdict in spooling.verify()] == [None]
