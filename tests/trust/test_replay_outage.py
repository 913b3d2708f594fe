"""While the shared memory of used tokens is out, no node accepts a token twice, and afterwards none is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
from sqlalchemy import Engine, create_engine, text

from cds.errors import LedgerUnavailable
from cds.ledger.database import connect
from cds.trust import FallbackReplays, SharedReplays, Use
from cds.trust.shared_replay import jti
from tests.ledger.conftest import postgres  # noqa: F401 - a fixture
from tests.trust.ehr import ISSUER, NOW, KeyServer, T, accepted, key, public, token, trust

TIMES = 100


def use(name: str = "jti-1", until: float = T + 330) -> Use:
    return Use("general-hospital", ISSUER, name, until)


class Node:
    """One server of two, on a database that can be taken away from both."""

    def __init__(self, url: str, *, deadline: float = 0.5) -> None:
        self.shared = SharedReplays(url)
        self.store = FallbackReplays(self.shared, deadline=deadline, pause=0.02)

    async def hears(self, name: str) -> bool:
        return await self.store.first(use(name), T)

    async def recovered(self) -> None:
        await recovered(self.store)


async def recovered(store: FallbackReplays) -> None:
    for _ in range(2000):
        if not store.degraded:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the shared memory was not trusted again")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jti.db'}"


@pytest.fixture
async def node(url: str) -> AsyncIterator[Node]:
    node = Node(url)
    yield node
    node.shared.close()


@pytest.fixture
async def other(url: str) -> AsyncIterator[Node]:
    node = Node(url)
    yield node
    node.shared.close()


@pytest.fixture
def database(url: str, node: Node) -> Engine:
    return connect(url)


def take_away(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE jti RENAME TO away"))


def bring_back(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO jti"))


@pytest.mark.proves("R53", "jti on this node while the shared store is out: flagged, warned of once, 0 replays")
@pytest.mark.proves("R6", "the same token 100 times at once during an outage of the shared store: 1 accepted")
async def test_r6_r53_during_an_outage_a_token_is_still_good_once(node: Node, database: Engine) -> None:
    take_away(database)
    with structlog.testing.capture_logs() as said:
        firsts = await asyncio.gather(*(node.hears("x") for _ in range(TIMES)))
        firsts += [await node.hears(f"y{number}") for number in range(20)]
        assert node.store.degraded
        assert not any([await node.hears("x") for _ in range(TIMES)])
    assert sum(firsts) == 1 + 20
    assert len(said) == 1
    assert "jti" not in str(said)


@pytest.mark.proves("R6", "0 of 60 tokens accepted twice on one node across both switches of the store")
async def test_r6_a_replay_is_refused_across_the_switch_in_both_directions(node: Node, database: Engine) -> None:
    before, during, after = ([f"{when}{number}" for number in range(20)] for when in ("b", "d", "a"))
    assert all([await node.hears(name) for name in before])
    take_away(database)
    assert all([await node.hears(name) for name in during])
    assert not any([await node.hears(name) for name in before])
    bring_back(database)
    await node.recovered()
    assert all([await node.hears(name) for name in after])
    assert not any([await node.hears(name) for name in before + during + after])


@pytest.mark.proves("R6", "600 tokens accepted during an outage: afterwards another node refuses all 600")
async def test_r6_what_was_accepted_during_an_outage_is_shared_after_it(
    node: Node, other: Node, database: Engine
) -> None:
    names = [f"jti-{number}" for number in range(600)]
    take_away(database)
    assert all(await asyncio.gather(*map(node.hears, names)))
    bring_back(database)
    await node.recovered()
    assert not any(await asyncio.gather(*map(other.hears, names)))
    with database.connect() as connection:
        assert len(connection.execute(jti.select()).all()) == len(names)


async def test_what_could_no_longer_be_accepted_is_not_shared_any_more(node: Node, database: Engine) -> None:
    take_away(database)
    assert await node.store.first(use("old", T + 1), T)
    assert await node.store.first(use("new", T + 330), T + 2)
    bring_back(database)
    await node.recovered()
    with database.connect() as connection:
        assert [row.jti for row in connection.execute(jti.select())] == ["new"]


async def test_a_shared_memory_that_hangs_is_waited_for_once(url: str, database: Engine) -> None:
    node = Node(url, deadline=0.1)
    loop = asyncio.get_running_loop()
    with database.begin():  # holds the one writing lock of the file
        assert await node.hears("x")
        assert node.store.degraded
        started = loop.time()
        assert all([await node.hears(f"y{number}") for number in range(50)])
        assert loop.time() - started < 1
        assert not await node.hears("x")
    await node.recovered()
    assert not await node.hears("x")
    node.shared.close()


async def test_a_second_outage_is_told_of_again(node: Node, database: Engine) -> None:
    for round_ in range(2):
        with structlog.testing.capture_logs() as said:
            take_away(database)
            assert await node.hears(f"x{round_}")
            bring_back(database)
            await node.recovered()
        assert [line["log_level"] for line in said] == ["warning", "warning"]


def test_a_loop_that_ends_during_an_outage_does_not_end_the_recovery(url: str, tmp_path: Path) -> None:
    shared = SharedReplays(url)
    store = FallbackReplays(shared, pause=0.01)
    database = connect(url)
    take_away(database)
    assert asyncio.run(store.first(use("x"), T))
    bring_back(database)

    async def later() -> None:
        assert await store.first(use("y"), T)
        await recovered(store)

    asyncio.run(later())
    assert not asyncio.run(shared.first(use("x"), T))
    shared.close()


async def test_a_caller_is_let_in_while_the_shared_memory_is_out(node: Node, database: Engine) -> None:
    server = KeyServer(*public(key()))
    door = trust(server, replays=node.store)
    take_away(database)
    caller = await accepted(door, token(), now=NOW)
    assert (caller.jti, caller.tenant) == ("jti-1", "general-hospital")
    assert node.store.degraded


@pytest.mark.proves("R53", "a worker that starts while the jti database is not there serves, and joins it later")
async def test_r53_a_start_during_an_outage_is_possible_where_it_is_asked_for(request: pytest.FixtureRequest) -> None:
    server: str = request.getfixturevalue("postgres")
    away = server.replace("/postgres?", "/jti_away?")
    with pytest.raises(LedgerUnavailable):
        SharedReplays(away)
    shared = SharedReplays(away, may_be_out=True)
    store = FallbackReplays(shared, pause=0.02)
    assert await store.first(use("x"), T)
    assert store.degraded
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE jti_away"))
    await recovered(store)
    assert not await shared.first(use("x"), T)
    shared.close()
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE jti_away WITH (FORCE)"))
    admin.dispose()
