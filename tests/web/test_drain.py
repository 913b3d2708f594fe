"""R55: a server that is told to leave turns nobody away."""

import asyncio
import itertools
import json
import signal
import socket
import time
from collections.abc import Callable

import httpx
import pytest

from cds.ledger import Ledger
from tests.cdshooks.charts import Json
from tests.cdshooks.desk import PATH
from tests.web.process import Served, fresh, wait_until

RATE = 50  # requests a second that the tiny balancer sends


class Balancer:
    """Asks both servers five times a second whether they are ready, and sends each request to one that said so."""

    def __init__(self, servers: tuple[Served, ...], call: Json) -> None:
        self.servers, self.call = servers, call
        self.ready = {server.base: True for server in servers}
        self.http = httpx.AsyncClient(timeout=30, trust_env=False)
        self.failures: list[str] = []
        self.done = False

    async def watch(self) -> None:
        while not self.done:
            for server in self.servers:
                try:
                    answered = await self.http.get(f"{server.base}/health/ready")
                    self.ready[server.base] = answered.status_code == 200
                except httpx.TransportError:
                    self.ready[server.base] = False
            await asyncio.sleep(0.2)

    async def send(self, base: str) -> None:
        try:
            answered = await self.http.post(f"{base}{PATH}", json=fresh(self.call))
            if answered.status_code != 200 or len(answered.json()["cards"]) != 1:
                self.failures.append(str(answered.status_code))
        except httpx.TransportError as error:
            self.failures.append(type(error).__name__)

    async def load(self, count: int) -> None:
        turn = itertools.cycle(server.base for server in self.servers)
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                base = next(base for base in itertools.islice(turn, 0, 2) if self.ready[base])
                group.create_task(self.send(base))
                await asyncio.sleep(1 / RATE)
        self.done = True  # no restart begins any more


async def restart_in_turn(balancer: Balancer) -> int:
    """Restart one server after the other until the load is over; how often that was."""
    for restarts, server in enumerate(itertools.cycle(balancer.servers)):
        if balancer.done:
            return restarts
        server.tell(signal.SIGTERM)
        assert await asyncio.to_thread(server.running.wait, 60) == 0, server.log()
        await asyncio.to_thread(server.start)
        balancer.ready[server.base] = True
    raise AssertionError("unreachable")


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.proves("R55", "rolling restarts of two processes at 50 requests a second: 0 failed of 10,000")
async def test_a_rolling_restart_fails_no_request(
    open_server: Callable[[], Served], call: Json, campaign: Callable[[int], int]
) -> None:
    servers = (open_server(), open_server())
    for server in servers:
        server.write(drain=1.5)
        server.start()
    balancer, count = Balancer(servers, call), campaign(10_000)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(balancer.watch())
        restarting = group.create_task(restart_in_turn(balancer))
        await balancer.load(count)
        restarts = await restarting
        await watching
    await balancer.http.aclose()
    assert balancer.failures == []
    assert restarts >= 2
    for server in servers:
        server.tell(signal.SIGTERM)
        assert server.running.wait(60) == 0
    with Ledger.open(f"sqlite:///{servers[0].database}", servers[0].keyring) as ledger:
        assert sum(1 for _ in ledger.answers()) == count


def head(body: bytes) -> bytes:
    lines = (
        f"POST {PATH} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join([*lines, "", ""]).encode()


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.proves("R55", "a request half sent at SIGTERM is answered, recorded and sent after the socket has closed")
def test_a_request_in_progress_outlives_the_signal(open_server: Callable[[], Served], call: Json) -> None:
    server = open_server()
    server.write(drain=0)
    server.start()
    body = json.dumps(fresh(call)).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
        slow.sendall(head(body) + body[:1000])
        time.sleep(0.3)  # until the server has read the head
        server.tell(signal.SIGTERM)
        wait_until(lambda: refuses(server.port))
        assert server.running.poll() is None
        slow.sendall(body[1000:])
        answered = b"".join(iter(lambda: slow.recv(65_536), b""))
    assert answered.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" in answered.lower()
    assert b'"summary":' in answered
    assert server.running.wait(30) == 0
    with Ledger.open(f"sqlite:///{server.database}", server.keyring) as ledger:
        assert len(list(ledger.answers())) == 1


@pytest.mark.proves("R55", "readiness 503 within 1 s of SIGTERM while calls are still answered 200")
def test_while_it_drains_it_is_not_ready_and_answers(open_server: Callable[[], Served], call: Json) -> None:
    server = open_server()
    server.write(drain=60)
    server.start()
    with httpx.Client(trust_env=False) as client:
        assert server.post(fresh(call), client).headers.get("connection") != "close"
        server.tell(signal.SIGTERM)
        wait_until(lambda: server.status()[0] == 503, 1)
        assert server.status()[1]["checks"]["draining"] == "failed"
        assert httpx.get(f"{server.base}/health/live").status_code == 200
        answered = server.post(fresh(call), client)
        assert (answered.status_code, answered.headers["connection"]) == (200, "close")
    server.tell(signal.SIGTERM)  # a second one does not wait for the minute to end
    assert server.running.wait(20) == 0


@pytest.mark.parametrize("hurry", [signal.SIGTERM, signal.SIGINT])
def test_a_third_signal_waits_for_nobody_and_the_ledger_is_closed(
    open_server: Callable[[], Served], call: Json, hurry: signal.Signals
) -> None:
    server = open_server()
    server.write(drain=60)
    server.start()
    assert server.post(fresh(call)).status_code == 200
    body = json.dumps(fresh(call)).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow:
        slow.sendall(head(body) + body[:1000])
        time.sleep(0.3)
        server.tell(signal.SIGTERM)
        wait_until(lambda: not server.ready())  # two signals at once would be one
        server.tell(hurry)
        wait_until(lambda: refuses(server.port))
        server.tell(hurry)
        assert server.running.wait(20) == 0
    assert not server.database.with_name("ledger.sqlite-wal").exists()
    with Ledger.open(f"sqlite:///{server.database}", server.keyring) as ledger:
        assert len(list(ledger.answers())) == 1


def test_ctrl_c_at_a_terminal_ends_at_once(open_server: Callable[[], Served]) -> None:
    server = open_server()
    server.write(drain=60)
    server.start()
    server.tell(signal.SIGINT)
    assert server.running.wait(20) == 0
