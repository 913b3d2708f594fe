"""The servers of the benchmark: how each is started, one worker on one CPU, and what the kernel says it used."""

import base64
import os
import secrets
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
HEALTHCHAIN = HERE / ".venv-healthchain"
SITE = HERE / "site"
OUR_PATH = "/cds-services/kidney-failure-risk"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Peer:
    """A server to measure: its name, its command without the port, the path that takes the call, its environment."""

    name: str
    command: tuple[str, ...]
    path: str
    environment: dict[str, str] = field(default_factory=dict)
    answers: bool = True  # with a card; an echo does not


def peers(ledger: Path) -> tuple[Peer, ...]:
    """Every server of the benchmark; Bedside's durable ledger lies in the folder `ledger`."""
    ours, theirs = sys.executable, str(HEALTHCHAIN / "bin" / "python")
    healthchain = "/cds/cds-services/kidney-failure-risk"
    return (
        Peer("echo", uvicorn(ours, "bench.echo:app"), "/", answers=False),
        Peer("echo-short", uvicorn(ours, "bench.echo:short"), "/", answers=False),
        bedside("bedside-ledger-off", ledger_environment("off", ledger)),
        bedside("bedside-durable", ledger_environment("durable", ledger)),
        Peer("healthchain-dicts", uvicorn(theirs, "bench.healthchain_peer:dicts", "--factory"), healthchain),
        Peer("healthchain-frozen", uvicorn(theirs, "bench.healthchain_peer:frozen", "--factory"), healthchain),
        Peer("healthchain-fhir", uvicorn(theirs, "bench.healthchain_peer:fhir", "--factory"), healthchain),
    )


def bedside(name: str, environment: dict[str, str]) -> Peer:
    """Bedside as a site starts it."""
    command = (str(Path(sys.executable).with_name("bedside")), "serve", "--site", str(SITE))
    return Peer(name, command, OUR_PATH, environment)


def ledger_environment(ledger: str, folder: Path) -> dict[str, str]:
    """Ledger "off", by a switch that exists for this benchmark only, or "durable" in a folder; the key is new."""
    key = {"BEDSIDE_LEDGER_KEY": base64.urlsafe_b64encode(secrets.token_bytes(64)).decode()}
    url = {"BEDSIDE_LEDGER": f"sqlite:///{folder / f'{ledger}.sqlite'}"}
    return key | url | ({"BEDSIDE_BENCH_LEDGER": "off"} if ledger == "off" else {})


def uvicorn(python: str, app: str, *more: str) -> tuple[str, ...]:
    """The same server with the same flags for everyone."""
    flags = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
    return (python, "-m", "uvicorn", app, *more, *flags)


def install_healthchain() -> None:
    """Make HealthChain's own environment once; it pins versions that would not fit ours."""
    if not (HEALTHCHAIN / "installed").exists():
        print(f"Installing HealthChain into {HEALTHCHAIN.name} …", flush=True)
        venv.create(HEALTHCHAIN, clear=True, with_pip=True)
        packages = ("healthchain>=0.16,<1", "uvicorn", "uvloop", "httptools")
        subprocess.run([HEALTHCHAIN / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)
        (HEALTHCHAIN / "installed").touch()  # last, so that a broken installation is made again


@dataclass(frozen=True)
class Server:
    """A running peer."""

    peer: Peer
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def name(self) -> str:
        """The peer's name."""
        return self.peer.name

    @property
    def url(self) -> str:
        """Where it takes the call."""
        return f"http://127.0.0.1:{self.port}{self.peer.path}"

    def cpu_seconds(self) -> float:
        """User and system time of the server with all its threads and children."""
        return sum(process_ticks(pid) for pid in family(self.process.pid)) / TICKS

    def rss_bytes(self) -> int:
        """Resident memory of the server with its children."""
        return sum(process_rss(pid) for pid in family(self.process.pid))


@contextmanager
def running(peer: Peer, cpu: int, logs: Path) -> Iterator[Server]:
    """Start a peer on one CPU, wait until it listens, and stop it at the end."""
    if not Path(peer.command[0]).exists():
        raise SystemExit(f"{peer.name} cannot start: {peer.command[0]} is not there (choose others with --peers)")
    port, log = free_port(), logs / f"{peer.name}.log"
    command = ["taskset", "--cpu-list", str(cpu), *peer.command, "--port", str(port)]
    with log.open("wb") as output:
        environment = os.environ | peer.environment
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until_listening(peer, process, port, log)
        yield Server(peer, process, port, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_listening(peer: Peer, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Return once the port accepts; end with the server's own words when it died instead."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{peer.name} did not start:\n{log.read_text()[-3000:]}")


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    children = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += [int(child) for child in (task / "children").read_text().split()]
    return [pid, *(member for child in children for member in family(child))]


def process_ticks(pid: int) -> int:
    """The utime and stime of /proc/PID/stat, which follow the command's closing bracket as fields 14 and 15."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def process_rss(pid: int) -> int:
    """VmRSS of /proc/PID/status, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
