"""One round of load on one server: wrk's requests and latencies beside the CPU time that the server spent on them."""

import json
import os
import resource
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from bench.peers import TICKS, Server

SCRIPT = Path(__file__).with_name("post.lua")


@dataclass(frozen=True)
class Round:
    """What one server did in one round: requests a second, latencies in ms, CPU in µs a request, resident memory in MB.

    `busy` is the server's share of its CPU and `others` what foreign processes took of the machine, both from 0 to 1.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    rss: float
    busy: float
    others: float


def load(server: Server, body: Path, connections: int, seconds: int, cpu: int) -> Round:
    """Keep `connections` busy for `seconds` from one CPU; any answer that is not 2xx ends the benchmark."""
    wait_until_idle(server)
    start, spent, all_spent, load_spent = time.monotonic(), server.cpu_seconds(), machine_seconds(), children_seconds()
    counted = wrk(server.url, body, connections, seconds, cpu)
    elapsed, spent = time.monotonic() - start, server.cpu_seconds() - spent
    foreign = machine_seconds() - all_spent - spent - (children_seconds() - load_spent)
    if counted["not_2xx"] or counted["socket_errors"] or not counted["requests"]:
        raise SystemExit(f"{server.name} failed under load: {counted}\n{server.log.read_text()[-3000:]}")
    return Round(
        rate=counted["requests"] / (counted["microseconds"] / 1e6),
        p50=counted["p50"] / 1e3,
        p99=counted["p99"] / 1e3,
        cpu=spent * 1e6 / counted["requests"],
        rss=server.rss_bytes() / 1e6,
        busy=spent / elapsed,
        others=max(0.0, foreign / (elapsed * (os.cpu_count() or 1))),
    )


def wrk(url: str, body: Path, connections: int, seconds: int, cpu: int) -> dict[str, int]:
    """Run wrk on one CPU; the last line that it prints is the script's own summary."""
    command = ["taskset", "--cpu-list", str(cpu), tool("wrk"), "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{seconds}s", "--timeout", "120s", "--script", str(SCRIPT), url]
    environment = os.environ | {"BENCH_BODY": str(body), "BENCH_INSTANCE": str(uuid4())[:24]}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 150, check=True)
    summary: dict[str, int] = json.loads(run.stdout.strip().splitlines()[-1])
    return summary


def machine_seconds() -> float:
    """CPU time of everything on this machine: /proc/stat without idle, iowait and the guests, who are counted twice."""
    user, nice, system, _idle, _iowait, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + sum(rest[:3])) / TICKS


def children_seconds() -> float:
    """CPU time of the load generators that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def wait_until_idle(server: Server) -> None:
    """Let the server finish what an earlier round left unread, so that it is not charged to this one."""
    deadline = time.monotonic() + 120
    spent = server.cpu_seconds()
    while time.monotonic() < deadline:
        time.sleep(0.2)
        before, spent = spent, server.cpu_seconds()
        if spent - before <= 0.01:  # one tick of the kernel's clock
            return
    raise SystemExit(f"{server.name} is still busy two minutes after its last request")


def tool(name: str) -> str:
    """Where a program is, or a clear end."""
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed (Debian and Ubuntu: apt install {name})")
    return found
