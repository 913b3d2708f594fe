"""How long the SMART page lets its reader wait, and what it weighs: a launched session over a 300-resource chart."""

import argparse
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import uvloop
from joserfc.jwk import ECKey

from bench.browser import Sent, get, weigh
from bench.echo import Application
from bench.ehr import FHIR, Ehr
from bench.online import two_cpus
from bench.peers import SITE, Peer, ledger_environment, running, uvicorn
from bench.profile_online import started
from bench.report import Target, target_table
from bench.trust import BASE, ISSUER, never
from cds.batch.setting import environment
from cds.cli.common import open_ledger
from cds.ledger import upgrade
from cds.settings import read_settings
from cds.site import load_site
from cds.trust import Clients, MemoryReplays, PublicKeys, Trust
from cds.web.app import create_app

MOST_MS = 50.0
MOST_BYTES = 60_000
BATCH = 10
ROUNDS = 15
RISK = b"15.6%"  # within five years, as in bench.payloads


@dataclass
class Road:
    """One way to the chart: the application with an open session's page and cookie, and what each look took in ms."""

    name: str
    app: Application
    path: str = ""
    cookie: str = ""
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def look(self) -> Sent:
        sent = await get(self.app, self.path, cookie=self.cookie)
        if sent.status != 200 or RISK not in sent.plain:
            raise SystemExit(f"status {sent.status} and no risk: {sent.plain[:2000]!r}")
        return sent


class AtHand(httpx.AsyncBaseTransport):
    """The FHIR server's answers without a socket and without its time."""

    def __init__(self, ehr: Ehr) -> None:
        self._ehr = ehr

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        base = f"{url.scheme}://{url.netloc.decode()}{FHIR}"
        return httpx.Response(200, content=self._ehr.get(base, url.path, url.query.decode()))


def application(base: str, folder: Path, name: str, transport: httpx.AsyncBaseTransport | None) -> Application:
    """Bedside with one registered EHR and a durable ledger."""
    client = {
        "tenant": "bench",
        "issuer": ISSUER,
        "jwks": {"keys": [ECKey.generate_key("P-384", {"kid": "ec"}).as_dict(private=False)]},
        "fhir_base": base,
        "smart": {"client_id": "bedside", "identity": "optional", "auth": "public", "save": True},
    }
    with environment(**ledger_environment(name, folder)):  # only here: the next benchmark keeps no ledger of ours
        settings = read_settings(SITE, trust="clients", public_url=BASE, clients=(client,))
        upgrade(str(settings.ledger))
        trust = Trust(Clients.read(settings.clients), PublicKeys(never), MemoryReplays(), (BASE,))
        return create_app(load_site(SITE, settings, transport), open_ledger(settings), trust=trust)


async def launch(road: Road, base: str) -> None:
    """Through the launch as an EHR begins it, to the session's page."""
    left = await get(road.app, f"/smart/launch?iss={quote(base, safe='')}&launch=bench")
    state = parse_qs(urlsplit(left.headers["location"]).query)["state"][0]
    way_back = f"/smart/callback?code=bench&state={quote(state, safe='')}"
    opened = await get(road.app, way_back, cookie="; ".join(left.cookies))
    if opened.status != 303:
        raise SystemExit(f"the launch ended with {opened.status}: {opened.plain[:2000]!r}")
    road.path = urlsplit(opened.headers["location"]).path
    road.cookie = "; ".join(cookie for cookie in opened.cookies if not cookie.endswith("="))


async def measure(rounds: int, folder: Path, base: str) -> str:
    """Both roads in every round; the first round warms up."""
    ehr = Ehr()
    roads = [
        Road("at hand", application(base, folder, "hand", AtHand(ehr))),
        Road("over loopback", application(base, folder, "loopback", None)),
    ]
    async with AsyncExitStack() as stack:
        for road in roads:
            await stack.enter_async_context(started(road.app))
            await launch(road, base)
        for number in range(rounds + 1):
            for road in roads:
                await batch(road, counted=number > 0)
        sent = await roads[0].look()
        weights, elsewhere = await weigh(roads[0].app, roads[0].path, sent)
    return told(roads, ehr.delivered(), rounds, weights, len(sent.plain), elsewhere)


async def batch(road: Road, *, counted: bool) -> None:
    for _ in range(BATCH):
        start = time.process_time_ns()
        sent = await road.look()
        spent = (time.process_time_ns() - start) / 1e6
        if counted:
            road.wall.append(sent.first)
            road.cpu.append(spent)


def told(
    roads: list[Road], resources: int, rounds: int, weights: dict[str, int], plain: int, elsewhere: list[str]
) -> str:
    """Both tables and the targets in Markdown."""
    lines = [
        f"A page over {resources} resources, {rounds} rounds of {BATCH} looks; ms.",
        "",
        "| FHIR answers | CPU median | CPU least | first byte median | first byte p95 | first byte least |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for road in roads:
        slow = quantiles(road.wall, n=20, method="inclusive")[18]
        cells = (median(road.cpu), min(road.cpu), median(road.wall), slow, min(road.wall))
        lines.append(f"| {road.name} | {' | '.join(f'{cell:.1f}' for cell in cells)} |")
    lines += ["", f"The page has {plain:,} bytes; sent are " + ", ".join(f"{n} {w:,}" for n, w in weights.items())]
    lines[-1] += "."
    return "\n".join([*lines, "", target_table(targets(roads, weights, elsewhere))])


def targets(roads: list[Road], weights: dict[str, int], elsewhere: list[str]) -> list[Target]:
    found = []
    for road in roads:
        first = median(road.wall)
        promise = f"SMART page: first byte, FHIR answers {road.name}"
        found.append(Target(promise, f"≤ {MOST_MS:.0f} ms", f"{first:.1f} ms", first <= MOST_MS))
    sent = sum(weights.values())
    found.append(
        Target("SMART page: bytes as sent, with its files", f"≤ {MOST_BYTES:,}", f"{sent:,}", sent <= MOST_BYTES)
    )
    found.append(Target("SMART page: requests to anybody else", "0", str(len(elsewhere)), not elsewhere))
    return found


def measured(rounds: int) -> str:
    """The tables in Markdown, measured beside a FHIR server that has the other CPU."""
    ours, theirs = two_cpus()
    with tempfile.TemporaryDirectory(prefix=".ledger-", dir=Path(__file__).parent) as name:
        folder = Path(name)
        ehr = Peer("ehr", uvicorn(sys.executable, "bench.ehr:app"), FHIR)
        with running(ehr, theirs, folder) as server:
            free = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {ours})
            try:
                return uvloop.run(measure(rounds, folder, server.url))
            finally:
                os.sched_setaffinity(0, free)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    print(measured(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
