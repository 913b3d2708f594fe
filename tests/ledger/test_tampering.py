"""Whatever is changed behind the ledger's back, the chain shows it (R36)."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, NullPool, Table, create_engine, delete, insert, text

from cds.errors import SiteError
from cds.ledger import Head, Keyring, Ledger, upgrade
from cds.ledger.rows import entry
from tests.ledger.conftest import AT, answer, feedback, score
from tests.ledger.tampering import CHAINED, KINDS, all_rows
from tests.ledger.test_chain import noted, write

HOUR = timedelta(hours=1)


def _fill(url: str, keyring: Keyring) -> list[Head]:
    """Two tenants, every kind of row, a purge behind it; and the heads at its end."""
    with Ledger.open(url, keyring, create=True, deadline=15.0) as ledger:
        for tenant in ("north", "south"):
            old, *new = [answer(tenant=tenant, scores=(score(), score(model="b"))) for _ in range(5)]
            gone = answer(tenant=tenant, recorded_at=AT - HOUR)
            write(ledger, gone)
            ledger.purge(AT - HOUR / 2)
            write(ledger, old, *new)
            write(ledger, *[feedback(one.card_ids[0], tenant=tenant) for one in new[:2]])
            write(ledger, feedback(f"lost-{tenant}", tenant=tenant), *[noted(tenant=tenant) for _ in range(3)])
        heads = ledger.heads(AT)
        verdicts = ledger.verify(heads)
        assert [(v.broken, v.links, v.rows, v.purged) for v in verdicts] == [(None, 14, 13, 1)] * 2
        return heads


def _tamper(url: str, kind: str, chance: random.Random) -> str:
    with _intruder(url) as database:
        if database.dialect.name == "sqlite" and kind == "delete" and chance.random() < 0.5:
            database.connection.execute("PRAGMA foreign_keys = ON")  # what belongs to the row goes with it
        return KINDS[kind](database, chance)


@contextmanager
def _intruder(url: str) -> Iterator[Connection]:
    """One who owns the database: no foreign key stops him, and he commits."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as database:
        if database.dialect.name == "postgresql":
            database.execute(text("SET session_replication_role = replica"))
        yield database
    engine.dispose()


def _restore(url: str, saved: dict[Table, list[dict[str, Any]]]) -> None:
    with _intruder(url) as database:
        for table, rows in saved.items():
            database.execute(delete(table))
            database.execute(insert(table), rows)


@pytest.mark.proof
@pytest.mark.timeout(1200)
@pytest.mark.proves("R36", "1,000 random tamperings on each of SQLite and PostgreSQL, 1,000 detected")
def test_r36_every_tampering_is_detected(ledger_url: str, keyring: Keyring, campaign: Callable[[int], int]) -> None:
    heads = _fill(ledger_url, keyring)
    with _intruder(ledger_url) as database:
        saved = {table: all_rows(database, table) for table in CHAINED}
    chance = random.Random(20261122)
    missed: list[tuple[int, str, str]] = []
    done = dict.fromkeys(KINDS, 0)
    with Ledger.open(ledger_url, keyring) as ledger:
        for number, kind in zip(range(campaign(1000)), cycle(KINDS), strict=False):
            what = _tamper(ledger_url, kind, chance)
            done[kind] += 1
            # A tail that was cut off shows only against a head that was kept elsewhere; the rest shows by itself.
            if not any(verdict.broken for verdict in ledger.verify(heads if kind == "truncate" else [])):
                missed.append((number, kind, what))
            _restore(ledger_url, saved)
            if number % 50 == 0:
                assert [verdict.broken for verdict in ledger.verify(heads)] == [None, None], "restored, it is whole"
        assert missed == []
        assert min(done.values()) >= 1
        assert [verdict.broken for verdict in ledger.verify(heads)] == [None, None]


@pytest.mark.proves("R36", "chain wiped, rows rewritten, with and without its mark: found, then and after a new answer")
@pytest.mark.parametrize("mark", ["kept", "taken"])
def test_a_chain_that_was_wiped_never_begins_again(ledger_url: str, keyring: Keyring, mark: str) -> None:
    _fill(ledger_url, keyring)
    with _intruder(ledger_url) as database:
        for table in ("links", "events", *(["beginning"] if mark == "taken" else [])):
            database.execute(text(f"DELETE FROM {table}"))
        empty = "x''" if ledger_url.startswith("sqlite") else "''::bytea"
        for name in ("answers", "feedback"):
            counted = f"(SELECT count(*) FROM {name} WHERE tenant = heads.tenant)"
            database.execute(text(f"UPDATE heads SET n = 0, mac = {empty}, earlier_{name} = {counted}"))
        database.execute(text("UPDATE scores SET estimates = '[]'"))
    with Ledger.open(ledger_url, keyring) as ledger:
        found = {verdict.tenant: verdict.broken for verdict in ledger.verify()}
    assert None not in found.values()
    assert found.keys() >= {"north", "south"}
    assert found.get("") == (None if mark == "kept" else "the mark that its chains have begun is missing")
    with Ledger.open(ledger_url, keyring, create=True, deadline=15.0) as ledger:
        write(ledger, answer(tenant="north"), answer(tenant="south"))
        again = {verdict.tenant: verdict.broken for verdict in ledger.verify()}
        assert None not in again.values()
        assert again.keys() == found.keys(), "no start, upgrade or answer makes a new mark"


def test_a_ledger_made_to_look_older_and_upgraded_shows_only_against_an_anchored_head(
    ledger_url: str, keyring: Keyring
) -> None:
    heads = _fill(ledger_url, keyring)
    with _intruder(ledger_url) as database:
        for table in ("links", "events", "heads", "beginning"):
            database.execute(text(f"DROP TABLE {table}"))
        database.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    with pytest.raises(SiteError, match="this Bedside needs"):
        Ledger.open(ledger_url, keyring)  # so a person must run the upgrade
    with pytest.raises(SiteError, match="set BEDSIDE_LEDGER_KEY"):
        upgrade(ledger_url)
    upgrade(ledger_url, keyring)
    with Ledger.open(ledger_url, keyring) as ledger:
        assert [(verdict.broken, verdict.earlier) for verdict in ledger.verify()] == [(None, 8)] * 2
        assert all(verdict.broken for verdict in ledger.verify(heads))


def test_a_tail_cut_off_shows_only_against_an_anchored_head(ledger: Ledger, keyring: Keyring, ledger_url: str) -> None:
    write(ledger, *[answer() for _ in range(5)])
    heads = ledger.heads(AT)
    _tamper(ledger_url, "truncate", random.Random(3))
    assert not any(verdict.broken for verdict in ledger.verify())
    assert [verdict.broken for verdict in ledger.verify(heads)] == ["the chain ends before link 6, which was anchored"]


def test_a_history_written_anew_shows_against_an_anchored_head(sqlite_url: str, keyring: Keyring) -> None:
    heads = _fill(sqlite_url, keyring)
    Path(sqlite_url.removeprefix("sqlite:///")).unlink()
    with Ledger.open(sqlite_url, keyring, create=True, deadline=15.0) as ledger:
        assert [verdict.broken for verdict in ledger.verify(heads)] == [
            "the anchored head knows this chain, the ledger does not"
        ] * 2
        write(ledger, *[answer(tenant="north") for _ in range(20)])
        north, south = sorted(ledger.verify(heads), key=lambda verdict: verdict.tenant)
        assert (north.place, north.broken) == (14, "the link is not the one that was anchored")
        assert south.broken is not None


def test_another_ledgers_key_is_told_from_an_altered_mark(ledger: Ledger, ledger_url: str) -> None:
    write(ledger, *[answer(tenant=tenant) for tenant in ("north", "south")])
    with Ledger.open(ledger_url, Keyring.generate()) as stranger:
        assert [(verdict.tenant, verdict.broken) for verdict in stranger.verify()] == [
            ("", "nothing in it was signed with this key: is BEDSIDE_LEDGER_KEY this ledger's?")
        ]
    with _intruder(ledger_url) as database:
        database.execute(text("UPDATE beginning SET at = at + 1"))
    assert [(verdict.tenant, verdict.broken) for verdict in ledger.verify()] == [
        ("", "the mark that its chains have begun was altered"), ("north", None), ("south", None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "place", "why"),
    [
        ("UPDATE answers SET kind = CAST(x'ff' AS TEXT) WHERE seq = 2", 3, "its row holds what was never written"),
        ("UPDATE answers SET id = CAST(x'ff' AS TEXT) WHERE seq = 2", 3, "its row holds what was never written"),
        ("UPDATE links SET kind = CAST(x'ff' AS TEXT) WHERE n = 3", 3, "the link was altered, inserted or moved"),
        ("UPDATE events SET kind = CAST(x'ff' AS TEXT)", 1, "its row holds what was never written"),
        ("UPDATE heads SET tenant = CAST(x'ff' AS TEXT)", 0, "the head holds what was never written"),
        ("UPDATE scores SET model = CAST(x'ff' AS TEXT) WHERE answer = 2", 3, "its row holds what was never written"),
    ],
)
def test_text_that_is_none_is_found_at_its_place(
    sqlite_url: str, keyring: Keyring, change: str, place: int, why: str
) -> None:
    with Ledger.open(sqlite_url, keyring, create=True, deadline=15.0) as ledger:
        write(ledger, *[answer() for _ in range(3)])
        with _intruder(sqlite_url) as database:
            database.execute(text(change))
        assert (place, why) in [(verdict.place, verdict.broken) for verdict in ledger.verify()]


def test_the_first_broken_place_is_named_and_nobody_in_it(ledger: Ledger, ledger_url: str) -> None:
    write(ledger, *[answer(patient="Patient/canary", user="canary") for _ in range(5)])
    engine = create_engine(ledger_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE answers SET latency_us = 1 WHERE seq >= 3"))
    engine.dispose()
    (verdict,) = ledger.verify()
    assert (verdict.place, verdict.kind, verdict.broken) == (4, "answer", "its row was altered")  # 1: the beginning
    assert "canary" not in repr(verdict)


@pytest.mark.parametrize(
    "change", [{"n": 7}, {"tenant": "south"}, {"mac": "00" * 32}, {"at": AT - HOUR}, {"signature": "é"}]
)
def test_a_head_that_was_altered_is_refused(ledger: Ledger, change: dict[str, Any]) -> None:
    write(ledger, answer())
    (head,) = ledger.heads(AT)
    kept = msgspec.json.encode(head).decode()
    assert ledger.read_heads(f"{kept}\n{kept}\n") == [head, head]
    altered = msgspec.json.encode(msgspec.structs.replace(head, **change)).decode()
    with pytest.raises(SiteError, match="line 2 is not signed"):
        ledger.read_heads(f"{kept}\n{altered}\n")
    with pytest.raises(SiteError, match="line 1 is no head"):
        ledger.read_heads("nonsense")


def test_no_digest_in_the_database_can_be_guessed_without_the_key(
    ledger: Ledger, ledger_url: str, keyring: Keyring
) -> None:
    twin = answer()
    write(ledger, twin)
    stranger = Keyring.generate()
    ours, theirs = entry(twin, keyring), entry(twin, stranger)
    assert ours.digest == entry(twin, keyring.rotated()).digest, "the sealing key does not matter"
    assert ours.digest != theirs.digest, "the lasting secret does"
