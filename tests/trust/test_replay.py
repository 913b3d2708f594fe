"""A token is good for one call, however many workers hear it at once."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, func, select

from cds.errors import LedgerUnavailable, SiteError
from cds.ledger.database import connect
from cds.trust import MemoryReplays, NotTrusted, ReplayStore, SharedReplays, Trust, Use
from cds.trust.shared_replay import jti
from tests.ledger.conftest import postgres  # noqa: F401 - a fixture
from tests.trust.ehr import (
    ISSUER,
    NOW,
    KeyServer,
    T,
    accepted,
    claims,
    header,
    key,
    refusal,
    signed,
    table,
    token,
    trust,
)

WORKERS = 8
TIMES = 100


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'jti.db'}"
        return
    server: str = request.getfixturevalue("postgres")
    yield server
    engine = create_engine(server)
    jti.drop(engine, checkfirst=True)
    engine.dispose()


@pytest.fixture(params=["memory", "sqlite"])
def replays(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReplayStore]:
    if request.param == "memory":
        yield MemoryReplays()
        return
    store = SharedReplays(f"sqlite:///{tmp_path / 'jti.db'}")
    yield store
    store.close()


def use(name: str = "jti-1", until: float = T + 330, issuer: str = ISSUER) -> Use:
    return Use("general-hospital", issuer, name, until)


@pytest.mark.proves("C103", "a second use: refused")
async def test_r6_c103_a_second_use_is_refused(server: KeyServer, replays: ReplayStore) -> None:
    door, sent = trust(server, replays=replays), token()
    await accepted(door, sent)
    refused = await refusal(door, sent)
    assert (refused.reason, refused.tenant) == ("replayed", "general-hospital")
    assert (await refusal(door, signed(header(), claims(sub="other")))).reason == "replayed"
    await accepted(door, token(jti="jti-2"))


async def test_r6_c103_a_use_is_remembered_as_long_as_the_leeway_lets_the_token_in(
    server: KeyServer, replays: ReplayStore
) -> None:
    door, sent = trust(server, replays=replays), token()
    await accepted(door, sent)
    await accepted(door, token(iat=T + 320, exp=T + 600, jti="another"), now=NOW + timedelta(seconds=320))
    for seconds, reason in ((320, "replayed"), (329.9, "replayed"), (330, "expired")):
        assert (await refusal(door, sent, now=NOW + timedelta(seconds=seconds))).reason == reason


async def test_r6_c103_the_same_jti_of_two_issuers_is_two_tokens(server: KeyServer, replays: ReplayStore) -> None:
    door = trust(server, table(), table(tenant="other", issuer="https://other.example"), replays=replays)
    callers = [await accepted(door, token(iss=issuer)) for issuer in (ISSUER, "https://other.example")]
    assert [(one.tenant, one.jti) for one in callers] == [("general-hospital", "jti-1"), ("other", "jti-1")]


async def test_c103_a_token_that_is_refused_is_not_used_up(server: KeyServer, replays: ReplayStore) -> None:
    door = trust(server, replays=replays)
    bad = {
        "audience": token(aud="x"),
        "signature": signed(header(), claims(), key("evil")),
        "lifetime": token(exp=T + 9999),
        "key": signed(header(kid="x"), claims()),
    }
    assert [(await refusal(door, sent)).reason for sent in bad.values()] == list(bad)
    elsewhere = trust(server, table(services=["other"]), replays=replays)
    assert (await refusal(elsewhere, token(), service="kidney-failure-risk")).reason == "service"
    assert (await accepted(door, token())).jti == "jti-1"


@pytest.mark.proves("R6", "one token 100 times at once: 1 accepted, in memory and on SQLite")
async def test_r6_of_a_hundred_uses_at_once_one_is_the_first(replays: ReplayStore) -> None:
    assert sum(await asyncio.gather(*(replays.first(use(), T) for _ in range(TIMES)))) == 1


def _worker(url: str, start: Any, answers: Any) -> None:
    """One worker process, which hears the same token as all the others."""
    store = SharedReplays(url)
    start.wait()

    async def hear() -> list[bool]:
        return await asyncio.gather(*(store.first(use(), T) for _ in range(TIMES)))

    answers.put(sum(asyncio.run(hear())))
    store.close()


@pytest.mark.proves("R6", "8 processes with one token 100 times each: 1 of 800 accepted, on SQLite and PostgreSQL")
def test_r6_c103_of_eight_workers_with_one_token_one_accepts_it_once(url: str) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cds.trust", __name__])  # imported once, not by each of them
    start, answers = context.Barrier(WORKERS), context.Queue()
    workers = [context.Process(target=_worker, args=(url, start, answers)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    firsts = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sorted(firsts) == [0] * (WORKERS - 1) + [1]


def test_r6_c103_of_eight_threads_that_share_a_memory_one_accepts_the_token_once(url: str, server: KeyServer) -> None:
    store, sent = SharedReplays(url), token()

    async def hear() -> list[str]:
        door = trust(server, replays=store)
        return [await _outcome(door, sent) for _ in range(TIMES // WORKERS + 1)]

    with ThreadPoolExecutor(WORKERS) as threads:
        heard = [one for all_of in threads.map(lambda _: asyncio.run(hear()), range(WORKERS)) for one in all_of]
    store.close()
    assert len(heard) >= TIMES
    assert sorted(heard) == ["accepted"] + ["replayed"] * (len(heard) - 1)


async def _outcome(door: Trust, sent: str) -> str:
    try:
        await accepted(door, sent)
    except NotTrusted as refused:
        return refused.reason
    return "accepted"


def _rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(jti)).scalar_one()


@pytest.mark.proves("R6", "rows never more than the tokens of the last life")
async def test_r6_used_tokens_are_forgotten_when_they_could_no_longer_come(url: str) -> None:
    store, engine = SharedReplays(url), connect(url)
    for second in range(0, 2000, 5):
        assert await store.first(use(f"jti-{second}", T + second + 330), T + second)
        if second % 500 == 0:
            assert _rows(engine) <= 330 // 5 + 1
    assert _rows(engine) == 330 // 5
    store.close()


async def test_r6_memory_forgets_too() -> None:
    store = MemoryReplays()
    for second in range(2000):
        assert await store.first(use(f"jti-{second}", T + second + 330), T + second)
    assert len(store) == 330
    assert not await store.first(use("jti-1999"), T + 1999)


async def test_r6_a_restarted_server_still_remembers(url: str) -> None:
    for expected in (True, False):
        store = SharedReplays(url)
        assert await store.first(use(), T) is expected
        store.close()


async def test_r6_names_are_compared_to_the_letter(url: str) -> None:
    store = SharedReplays(url)
    names = ["a", "A", "a ", "ä", "a\u0308", "'; DROP TABLE jti; --", "%s", "?", "\u202e", "😀", "j" * 255]
    assert [await store.first(use(name), T) for name in [*names, *names]] == [True] * len(names) + [False] * len(names)
    store.close()


async def test_r6_without_its_memory_nobody_is_let_in(tmp_path: Path, server: KeyServer) -> None:
    path = tmp_path / "jti.db"
    store = SharedReplays(f"sqlite:///{path}")
    engine = connect(f"sqlite:///{path}")
    with engine.begin() as connection:
        jti.drop(connection)
    door = trust(server, replays=store)
    with pytest.raises(LedgerUnavailable) as fault:
        await door.verify(token(), "/cds-services/kidney-failure-risk", NOW)
    assert "jti-1" not in str(fault.value)
    with engine.begin() as connection:
        jti.create(connection)
    await accepted(door, token())  # and it recovers by itself
    store.close()
    with pytest.raises(LedgerUnavailable):
        await store.first(use(), T)


async def test_r6_a_caller_that_hangs_up_stops_nobody(tmp_path: Path) -> None:
    store = SharedReplays(f"sqlite:///{tmp_path / 'jti.db'}")
    gone = asyncio.create_task(store.first(use("gone"), T))
    await asyncio.sleep(0)
    gone.cancel()
    assert await store.first(use(), T)
    late = asyncio.create_task(store.first(use("late"), T))
    await asyncio.sleep(0)
    store.close()
    with pytest.raises(LedgerUnavailable):
        await late


def test_a_memory_that_cannot_be_opened_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SiteError):
        SharedReplays("mysql://db/x")
    (tmp_path / "jti.db").write_bytes(b"no database" * 100)
    with pytest.raises(LedgerUnavailable):
        SharedReplays(f"sqlite:///{tmp_path / 'jti.db'}")
