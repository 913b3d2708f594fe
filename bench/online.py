"""How fast Bedside answers a CDS Hooks call, beside a bare echo and HealthChain on the same CPU in the same minutes."""

import argparse
import json
import os
import re
import tempfile
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.durable import commits, file_system
from bench.load import Round, load, tool
from bench.machine import machine
from bench.payloads import FIVE_YEAR_PERCENT, bodies, fresh
from bench.peers import HERE, Peer, Server, install_healthchain, peers, running
from bench.report import Key, Measured, report
from cds.ledger import upgrade

USUAL = "echo,bedside-ledger-off,bedside-durable"
HEALTHCHAIN = ",healthchain-dicts,healthchain-fhir"
RISK = re.compile(r"(\d+\.\d) ?% (?:with)?in 5 years")


def main() -> None:
    """Measure and print the tables."""
    print(told(arguments()))


def told(asked: argparse.Namespace) -> str:
    """Measure what was asked; the tables in Markdown."""
    for name in ("wrk", "taskset"):
        tool(name)
    with tempfile.TemporaryDirectory(prefix=".ledger-", dir=asked.disk) as folder:
        disk = file_system(Path(folder))
        measured = measure(asked, Path(folder))
    return f"{machine(disk, healthchain='healthchain' in asked.peers)}\n\n{report(measured)}"


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What was asked in these words, or on the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.online", description=__doc__)
    parser.add_argument(
        "--peers",
        default=USUAL,
        help="names, separated by commas; also: healthchain-dicts, healthchain-fhir, healthchain-frozen, echo-short "
        "(default: %(default)s)",
    )
    parser.add_argument("--sizes", default="60 KB,500 KB", help="default: %(default)s")
    parser.add_argument("--connections", default="1,8,64", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=int, default=3, help="of load for each server in each round (default: %(default)s)"
    )
    parser.add_argument(
        "--disk", type=Path, default=HERE, help="where the durable ledger is kept (default: beside this file)"
    )
    return parser.parse_args(words)


def measure(asked: argparse.Namespace, folder: Path) -> Measured:
    """Start every server on one CPU, check its answers, then load them in turn from another CPU, round after round."""
    server_cpu, load_cpu = two_cpus()
    files = written(bodies(), asked.sizes.split(","), folder)
    peers = chosen(asked.peers, folder)
    for ledger in filter(None, (peer.environment.get("BEDSIDE_LEDGER") for peer in peers)):
        upgrade(ledger)  # as a site does before it serves
    with ExitStack() as stack:
        servers = [stack.enter_context(running(peer, server_cpu, folder)) for peer in peers]
        check_all(servers, files)
        for server in servers:
            for file in files.values():
                load(server, file, 8, 1, load_cpu)  # warm: imports, caches and the allocator, not counted
        measured = rounds(servers, files, asked, load_cpu, folder)
        check_all(servers, files)
    return measured


def rounds(
    servers: list[Server], files: dict[str, Path], asked: argparse.Namespace, cpu: int, folder: Path
) -> Measured:
    """Every server in every round, side by side, so that a slow minute of the machine meets them all."""
    found: dict[Key, list[Round]] = defaultdict(list)
    durable: list[float] = []
    for number in range(asked.rounds):
        durable += commits(folder)
        for size, file in files.items():
            for connections in map(int, asked.connections.split(",")):
                for server in servers:
                    one = load(server, file, connections, asked.seconds, cpu)
                    found[server.name, size, connections].append(one)
                    where = f"round {number + 1}, {size}, {connections:2}: {server.name:20}"
                    print(f"{where} {one.rate:9.1f}/s {one.cpu:8.0f} µs CPU", flush=True)
    return Measured(found, durable)


def chosen(names: str, folder: Path) -> list[Peer]:
    """The peers that were asked for, in the order of `USUAL`; HealthChain is installed when it is among them."""
    known = {peer.name: peer for peer in peers(folder)}
    asked = names.split(",")
    if unknown := set(asked) - set(known):
        raise SystemExit(f"no such server: {', '.join(sorted(unknown))} (there are {', '.join(known)})")
    if any(name.startswith("healthchain") for name in asked):
        install_healthchain()
    return [known[name] for name in known if name in asked]


def written(calls: dict[str, bytes], sizes: Sequence[str], folder: Path) -> dict[str, Path]:
    """The requests as files, from which wrk reads them."""
    files = {size: folder / f"{size.replace(' ', '')}.json" for size in sizes}
    for size, file in files.items():
        file.write_bytes(calls[size])
    return files


def check_all(servers: Sequence[Server], files: dict[str, Path]) -> None:
    """Before and after the load: every server that answers with cards names the same risk."""
    for server in servers:
        for file in files.values():
            check(server, fresh(file.read_bytes()))


def check(server: Server, body: bytes) -> None:
    """One call to one server, and the five-year risk on its card."""
    request = urllib.request.Request(server.url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = response.read()
    if server.peer.answers:
        cards = json.loads(answer)["cards"]
        found = RISK.search(cards[0]["summary"]) if len(cards) == 1 else None
        if found is None or found.group(1) != FIVE_YEAR_PERCENT:
            raise SystemExit(f"{server.name} should answer {FIVE_YEAR_PERCENT} % in 5 years, answers {answer[:2000]!r}")
    elif server.name == "echo" and answer != body:
        raise SystemExit("the echo does not echo")


def two_cpus() -> tuple[int, int]:
    """One CPU for the server, another for the load, so that neither takes the other's time."""
    free = sorted(os.sched_getaffinity(0))
    if len(free) < 2:
        raise SystemExit("the benchmark needs two CPUs: one for the server and one for the load")
    return free[0], free[1]


if __name__ == "__main__":
    main()
