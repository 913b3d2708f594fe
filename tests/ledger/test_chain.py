"""The chain stands, whatever is done by right: recording, purging, rotating, by several servers at once (R36, R39)."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, event, text

from cds.errors import SiteError
from cds.ledger import AnswerRecord, Event, FeedbackRecord, Keyring, Ledger, Verdict, upgrade
from cds.ledger.database import MIGRATIONS, connect
from cds.ledger.rows import ANSWER_COLUMNS, SCORE_COLUMNS, entry, feedback_row
from tests.ledger.conftest import AT, answer, feedback

Make = Callable[..., AnswerRecord]
Rows = Callable[[str], list[Any]]
DAY = timedelta(days=1)


def noted(**changes: Any) -> Event:
    plain: dict[str, Any] = {
        "kind": "page-view",
        "tenant": "clinic",
        "at": AT,
        "outcome": "success",
        "who": "Practitioner/7",
        "patient": "https://fhir.example/r4|Patient/123",
        "detail": {"service": "kidney-failure-risk"},
    }
    return Event(**plain | changes)


def whole(verdicts: list[Verdict]) -> bool:
    return bool(verdicts) and all(verdict.broken is None for verdict in verdicts)


def broken(ledger: Ledger) -> list[str | None]:
    """By tenant. SQLite's shell leaves the scores of a deleted answer behind, which is told apart, without a tenant."""
    return [verdict.broken for verdict in ledger.verify() if verdict.tenant]


def write(ledger: Ledger, *works: AnswerRecord | Event | FeedbackRecord) -> None:
    async def all_at_once() -> None:
        await asyncio.gather(*[
            ledger.record(work)
            if isinstance(work, AnswerRecord)
            else ledger.note(work)
            if isinstance(work, Event)
            else ledger.feedback([work])
            for work in works
        ])  # fmt: skip

    asyncio.run(all_at_once())


def test_an_empty_ledger_has_no_chain(ledger: Ledger) -> None:
    assert [len(ledger.verify()), len(ledger.heads(AT)), len(ledger.tenants())] == [0, 0, 0]


@pytest.mark.proves("R36", "3 kinds of row, 2 tenants, each its own chain")
def test_every_answer_feedback_and_event_stands_in_its_tenants_chain(ledger: Ledger, an_answer: Make) -> None:
    first = an_answer(replay_key="k")
    write(ledger, first, an_answer(tenant="other"), noted(), noted(patient=None, who=None, detail={}))
    write(ledger, feedback(first.card_ids[0]), feedback("lost"), an_answer(replay_key="k", body=b"a repeat"))
    write(ledger, feedback(first.card_ids[0]))  # the same report again
    assert ledger.verify() == [Verdict("clinic", links=6, rows=6), Verdict("other", links=2, rows=2)]


def test_an_event_comes_back_as_it_was_noted(ledger: Ledger, rows: Rows) -> None:
    one, other = noted(), noted(kind="token-refused", outcome="refused", who=None, patient=None, at=AT + DAY, detail={})
    write(ledger, one)
    write(ledger, other)
    begun, *found = ledger.events()
    assert begun.kind == "chain-begins"
    assert [Event(e.kind, e.tenant, e.at, e.outcome, e.who, e.patient, e.detail) for e in found] == [one, other]
    assert [e.kind for e in ledger.events(since=AT + DAY)] == ["token-refused"]
    ((who, patient),) = rows("SELECT who, patient FROM events WHERE kind = 'page-view'")
    assert (len(who), len(patient)) == (64, 64)
    write(ledger, answer(patient=one.patient))
    assert rows("SELECT patient FROM answers") == [(patient,)], "an event and an answer join on the patient's pseudonym"


@pytest.mark.proves("R36", "a purge leaves every chain verifiable; a row gone without one is found")
def test_a_purge_is_an_event_and_its_gaps_are_no_breach(ledger: Ledger, rows: Rows) -> None:
    old = [answer(tenant=tenant) for tenant in ("a", "b") for _ in range(210)]
    kept = [answer(tenant=tenant, recorded_at=AT + 2 * DAY) for tenant in ("a", "b")]
    late = feedback(old[0].card_ids[0], tenant="a", received_at=AT + 3 * DAY)  # goes with its answer, however young
    write(ledger, *old, *kept, noted(tenant="a"))
    write(ledger, late, feedback("lost", tenant="b"))
    before = {verdict.tenant: verdict.links for verdict in ledger.verify()}
    assert ledger.purge(AT + DAY, AT + 4 * DAY) == 420
    first, second = ledger.verify()
    assert (first.broken, first.purged, first.links) == (None, 212, before["a"] + 2)  # 200 and the rest
    assert (second.broken, second.purged, second.links) == (None, 211, before["b"] + 2)
    assert {e.at for e in ledger.events() if e.kind == "purge"} == {AT + 4 * DAY}
    assert ledger.purge(AT + DAY) == 0
    assert [verdict.links for verdict in ledger.verify()] == [first.links, second.links], "nothing done, nothing noted"
    rows("DELETE FROM answers WHERE tenant = 'b'")
    assert broken(ledger) == [None, "its row is missing"]


def test_a_purge_permits_nothing_that_was_recorded_after_it(ledger: Ledger, rows: Rows) -> None:
    write(ledger, answer())
    ledger.purge(AT + DAY)
    backdated = answer(recorded_at=AT - DAY)
    write(ledger, backdated)
    assert whole(ledger.verify())
    rows(f"DELETE FROM answers WHERE id = '{backdated.id}'")
    assert broken(ledger) == ["its row is missing"]


@pytest.mark.parametrize("kind", ["purge", "chain-begins"])
def test_the_events_that_explain_the_chain_are_never_purged_nor_taken(ledger: Ledger, rows: Rows, kind: str) -> None:
    for day in range(3):
        write(ledger, answer(recorded_at=AT + day * DAY))
        ledger.purge(AT + (day + 1) * DAY)
    assert whole(ledger.verify())
    assert sum(e.kind == "purge" for e in ledger.events()) == 3
    rows(f"DELETE FROM events WHERE seq = (SELECT min(seq) FROM events WHERE kind = '{kind}')")
    assert [verdict.kind for verdict in ledger.verify()] == ["event"]


@pytest.mark.proves("R36", "chains verify before, during and after a key rotation")
def test_a_rotation_changes_no_link(ledger_url: str) -> None:
    old = Keyring.generate()
    new = old.rotated()
    with Ledger.open(ledger_url, old, create=True, deadline=15.0) as ledger:
        given_ = [answer() for _ in range(30)]
        write(ledger, *given_, noted())
        write(ledger, feedback(given_[0].card_ids[0]))
        heads = ledger.heads(AT)
        assert ledger.rotate(new) == 33
        assert ledger.heads(AT) == heads
        assert ledger.verify(heads) == [Verdict("clinic", links=33, rows=33)]
        write(ledger, answer())
        assert [e.kind for e in ledger.events()] == ["chain-begins", "page-view"]
    with Ledger.open(ledger_url, new.alone()) as ledger:
        assert ledger.verify(heads) == [Verdict("clinic", links=34, rows=34)]
    with Ledger.open(ledger_url, Keyring.generate()) as stranger:
        assert ["is BEDSIDE_LEDGER_KEY this ledger's?" in str(v.broken) for v in stranger.verify()] == [True]


def test_a_key_that_is_missing_from_the_ring_is_named(ledger_url: str) -> None:
    old = Keyring.generate()
    with Ledger.open(ledger_url, old, create=True, deadline=15.0) as ledger:
        write(ledger, answer())
    with Ledger.open(ledger_url, old.rotated().alone()) as ledger:
        (verdict,) = ledger.verify()
        assert old.current_id.hex() in str(verdict.broken)


def _servers(url: str, keyring: Keyring, count: int) -> list[Ledger]:
    return [Ledger.open(url, keyring, create=True, deadline=20) for _ in range(count)]


@pytest.mark.proves("R39", "4 servers, 2 tenants, 480 rows at once: both chains whole, nothing lost")
def test_servers_that_write_at_once_keep_each_chain_in_one_line(ledger_url: str, keyring: Keyring) -> None:
    servers = _servers(ledger_url, keyring, 4)
    works: list[list[AnswerRecord | Event]] = [
        [
            made
            for n in range(40)
            for made in (
                answer(tenant="ab"[n % 2], replay_key=f"k{n // 3}-{server % 2}", recorded_at=AT + n * DAY / 1e6),
                noted(tenant="ba"[n % 2]),
                answer(tenant="ab"[(n + server) % 2]),
            )
        ]
        for server in range(4)
    ]

    async def all_at_once() -> None:
        await asyncio.gather(
            *[
                server.record(work) if isinstance(work, AnswerRecord) else server.note(work)
                for server, own in zip(servers, works, strict=True)
                for work in own
            ]
        )

    asyncio.run(all_at_once())
    verdicts = servers[0].verify()
    events = sum(1 for _ in servers[0].events())
    answers = sum(1 for _ in servers[0].answers())
    assert [verdict.tenant for verdict in verdicts] == ["a", "b"]
    assert whole(verdicts)
    assert events == 160 + 2
    assert sum(verdict.rows for verdict in verdicts) == events + answers
    assert answers >= 160, "those without a replay key are never repeats"
    for server in servers:
        server.close()


def test_a_purge_beside_writers_leaves_no_gap_unexplained(ledger_url: str, keyring: Keyring) -> None:
    """What comes in during a purge may be as old as what goes: 300 answers, 100 of them about to be purged."""
    writer, keeper = _servers(ledger_url, keyring, 2)
    works = [answer(tenant="ab"[n % 2], recorded_at=AT + (n % 3 > 0) * 2 * DAY) for n in range(300)]

    async def both() -> None:
        for start in range(0, 300, 50):
            some = works[start : start + 50]
            told = [feedback(one.card_ids[0], tenant=one.tenant) for one in works[:start:7]]
            purge = asyncio.to_thread(keeper.purge, AT + DAY)
            await asyncio.gather(purge, *map(writer.record, some), *[writer.feedback([one]) for one in told])

    asyncio.run(both())
    keeper.purge(AT + DAY)
    assert whole(keeper.verify())
    assert {one.id for one in keeper.answers()} == {one.id for one in works if one.recorded_at > AT}
    writer.close()
    keeper.close()


@contextmanager
def _held(url: str) -> Iterator[None]:
    """Nobody else can write."""
    if url.startswith("sqlite"):
        other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")
        other.close()
        return
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE answers IN ACCESS EXCLUSIVE MODE"))
        yield
    engine.dispose()


@pytest.mark.proves("R39", "257 answers of 3 tenants that waited together: 2 commits, as without a chain")
def test_the_chain_costs_no_commit(ledger_url: str, keyring: Keyring) -> None:
    with Ledger.open(ledger_url, keyring, create=True, deadline=20) as ledger:
        commits: list[object] = []
        event.listen(ledger._engine, "commit", commits.append)

        async def together() -> None:
            with _held(ledger_url):
                first = asyncio.ensure_future(ledger.record(answer()))
                await asyncio.sleep(0.2)  # the writer has it in hand and waits for the lock
                others = [asyncio.ensure_future(ledger.record(answer(tenant=f"t{n % 2}"))) for n in range(256)]
                await asyncio.sleep(0.2)
            await asyncio.gather(first, *others)

        for _ in range(2):  # connected, begun, and the sweep of outlived keys that follows the first behind it
            write(ledger, answer())
        commits.clear()
        asyncio.run(together())
        assert len(commits) == 2
        assert whole(ledger.verify())


def _older(url: str, keyring: Keyring, count: int) -> None:
    """A ledger as revision 0001 left it."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with connect(url, create=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for seq in range(1, count + 1):
            made = entry(answer(), keyring)
            _insert(connection, "answers", ANSWER_COLUMNS, (seq, *made.answer))
            _insert(connection, "scores", SCORE_COLUMNS, (seq, *made.scores[0]))
            _insert(connection, "cards", ("answer", "card"), (seq, made.cards[0]))
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SELECT setval(pg_get_serial_sequence('answers', 'seq'), {count})"))


def _insert(connection: Any, table: str, columns: tuple[str, ...], values: tuple[Any, ...]) -> None:
    marks = ", ".join(f":{column}" for column in columns)
    query = text(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})")
    connection.execute(query, dict(zip(columns, values, strict=True)))


@pytest.mark.proves("R36", "an older ledger's rows are counted before the chain begins; one lost is found")
def test_an_older_ledgers_chain_begins_after_what_it_holds(ledger_url: str, keyring: Keyring, rows: Rows) -> None:
    _older(ledger_url, keyring, 7)
    upgrade(ledger_url, keyring)
    upgrade(ledger_url, keyring)
    with Ledger.open(ledger_url, keyring) as ledger:
        assert ledger.verify() == [Verdict("clinic", links=1, rows=1, earlier=7)]
        assert [head.n for head in ledger.heads(AT)] == [1]
        write(ledger, answer())
        assert ledger.verify() == [Verdict("clinic", links=2, rows=2, earlier=7)]
        assert next(ledger.events()).detail == {"earlier_answers": "7", "earlier_feedback": "0"}
        rows("DELETE FROM answers WHERE seq = 3")
        assert broken(ledger) == ["a row from before the chain is missing"]


def test_what_is_older_than_the_chain_may_be_purged_and_must_open(
    ledger_url: str, keyring: Keyring, rows: Rows
) -> None:
    _older(ledger_url, keyring, 7)
    upgrade(ledger_url, keyring)
    with Ledger.open(ledger_url, keyring) as ledger:
        rows("UPDATE answers SET sealed = (SELECT sealed FROM answers WHERE seq = 1) WHERE seq = 2")
        assert broken(ledger) == ["a row from before the chain does not open"]
        assert ledger.purge(AT + DAY) == 7
        assert ledger.verify() == [Verdict("clinic", links=2, rows=2)]


@pytest.mark.proves("R36", "7 rows older than the chain, 3 purged, 1 taken: found, by the purge's own count")
def test_a_purge_says_how_much_from_before_the_chain_it_took(ledger_url: str, keyring: Keyring, rows: Rows) -> None:
    _older(ledger_url, keyring, 7)
    rows(f"UPDATE answers SET recorded_at = recorded_at - {3 * 86_400_000_000} WHERE seq <= 3")
    upgrade(ledger_url, keyring)
    with Ledger.open(ledger_url, keyring) as ledger:
        new = answer(recorded_at=AT - 3 * DAY)
        write(ledger, new, feedback(new.card_ids[0]), feedback("lost", received_at=AT - 3 * DAY), answer())
        assert ledger.purge(AT - DAY, AT) == 4
        (purged,) = [event.detail for event in ledger.events() if event.kind == "purge"]
        assert (purged["earlier_answers"], purged["earlier_feedback"]) == ("3", "0")
        assert ledger.verify() == [Verdict("clinic", links=6, rows=3, purged=3, earlier=4)]
        rows("DELETE FROM answers WHERE seq = 5")
        assert broken(ledger) == ["a row from before the chain is missing"]


@pytest.mark.proves("R36", "an older ledger with reports: 5 of 5 counted when it begins, and when a purge takes them")
def test_reports_from_before_the_chain_are_counted_too(ledger_url: str, keyring: Keyring, rows: Rows) -> None:
    _older(ledger_url, keyring, 2)
    with connect(ledger_url).begin() as connection:
        for number, answered in enumerate((1, 1, 2, None, None), start=1):
            row, _ = feedback_row(feedback(f"c{number}"), answered, keyring)
            _insert(connection, "feedback", ("seq", *row), (number, *row.values()))
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT setval(pg_get_serial_sequence('feedback', 'seq'), 5)"))
    upgrade(ledger_url, keyring)
    with Ledger.open(ledger_url, keyring) as ledger:
        write(ledger, feedback("new", received_at=AT + 2 * DAY))
        assert ledger.verify() == [Verdict("clinic", links=2, rows=2, earlier=7)]
        assert ledger.purge(AT + DAY) == 2
        (purged,) = [event.detail for event in ledger.events() if event.kind == "purge"]
        assert (purged["earlier_answers"], purged["earlier_feedback"]) == ("2", "5")
        assert ledger.verify() == [Verdict("clinic", links=3, rows=3)]


def test_an_older_ledger_is_not_upgraded_without_its_key(ledger_url: str, keyring: Keyring, rows: Rows) -> None:
    _older(ledger_url, keyring, 1)
    with pytest.raises(SiteError, match="set BEDSIDE_LEDGER_KEY"):
        upgrade(ledger_url)
    assert rows("SELECT version_num FROM alembic_version") == [("0001",)], "nothing was changed"


WORK = st.sampled_from(["answer", "repeat", "feedback", "orphan", "event", "purge", "rotate", "again"])


@settings(max_examples=25)
@given(works=st.lists(st.tuples(WORK, st.sampled_from("ab")), max_size=12))
def test_whatever_is_done_by_right_verifies(tmp_path_factory: pytest.TempPathFactory, works: Any) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('chain') / 'ledger.db'}"
    keyring = Keyring.generate()
    with Ledger.open(url, keyring, create=True, deadline=15.0) as ledger:
        heads = []
        for number, (work, tenant) in enumerate(works):
            at = AT + number * DAY
            made = answer(tenant=tenant, recorded_at=at, replay_key=f"{tenant}" if work == "repeat" else None)
            if work in {"answer", "repeat"}:
                write(ledger, made)
            elif work == "feedback":
                write(ledger, made)
                write(ledger, feedback(made.card_ids[0], tenant=tenant, received_at=at + DAY))
            elif work == "orphan":
                write(ledger, feedback("lost", tenant=tenant, received_at=at))
            elif work == "event":
                write(ledger, noted(tenant=tenant, at=at))
            elif work == "purge":
                ledger.purge(at - DAY, at)
            elif work == "rotate":
                keyring = keyring.rotated()
                ledger.rotate(keyring)
            else:
                heads += ledger.heads(at)
        assert all(verdict.broken is None for verdict in ledger.verify(heads))
