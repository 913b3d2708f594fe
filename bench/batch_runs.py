"""Who takes part in the benchmark of the batch, as commands, and what one run of a command spends."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.load import tool
from bench.population import Export

SPENT = Path(__file__).with_name("spent.py")
ONE, BOTH = "0", "0,1"
OURS, TWO = "bedside", "bedside with two workers"
FILTERS = {f"bedside --prefilter {name}": name for name in ("rg", "aho", "none")}
LOCAL = (OURS, TWO, *FILTERS)
SPARK = "bedside on Spark local[2]"
CAT, WC, RG, RG_LINES = "cat", "wc -l", "rg -F -c", "rg -F with its lines"
MSGSPEC, DUCKDB, FHIR, KFRE = "msgspec", "duckdb", "fhir.resources", "kfre"
PROGRAMS, PYTHON = (CAT, WC, RG, RG_LINES), (MSGSPEC, DUCKDB, FHIR, KFRE)
PEERS = PROGRAMS + PYTHON
SAMPLED = (FHIR, KFRE)
"""These tell what they did and how long it took, without their start; the others read the whole export."""

GOOD = dict.fromkeys((*LOCAL, SPARK), (0, 3))
"""Exit code 3 says that some resources were nobody's, which published data has."""


@dataclass(frozen=True)
class Job:
    """One export to be read, as of a day, and the folder in which results and the list of codes may be left."""

    export: Export
    at: str
    scratch: Path

    @property
    def out(self) -> Path:
        return self.scratch / "out"

    @property
    def codes(self) -> Path:
        """One literal code a line, for `rg -f`."""
        return self.scratch / "codes.txt"


@dataclass(frozen=True)
class Spent:
    """One run: seconds of the clock and of CPU, the largest RSS of any process and PSS of the tree in bytes.

    `told` is what the command printed as JSON, or for Bedside what stands in its run.json.
    """

    wall: float
    cpu: float
    rss: int
    pss: int
    told: dict[str, Any] = field(default_factory=dict)


def command(name: str, job: Job) -> list[str]:
    """How one of them is started."""
    files = [str(file) for file in job.export.files()]
    rg = [str(Path(sys.executable).with_name("rg")), "--no-config", "--threads", "1", "-F", "-f", str(job.codes)]
    plain = {
        CAT: [tool("cat"), *files],
        WC: [tool("wc"), "-l", *files],
        RG: [*rg, "--count", *files],
        RG_LINES: [*rg, "--no-filename", *files],
    }
    return plain.get(name) or (peer(name, job) if name in PYTHON else ours(name, job))


def peer(name: str, job: Job) -> list[str]:
    """A peer in Python."""
    return [sys.executable, "-m", "bench.batch_peers", name, str(job.export.folder), job.at, str(job.scratch)]


def ours(name: str, job: Job) -> list[str]:
    """The command as a site gives it."""
    workers = {TWO: "2", SPARK: "2"}.get(name, "1")
    flags = ["--workers", workers, "--engine", "spark" if name == SPARK else "local"]
    flags += ["--prefilter", FILTERS[name]] if name in FILTERS else []
    asked = ["--region", "north-america", "--at", job.at]
    return [*bedside(), "score", str(job.export.folder), "--out", str(job.out), *flags, *asked]


def bedside() -> list[str]:
    return [str(Path(sys.executable).with_name("bedside"))]


def run(name: str, job: Job, *, look: bool = False) -> Spent:
    """Run one of them once on its CPUs; `look` samples the memory of the tree, which disturbs its speed."""
    shutil.rmtree(job.out, ignore_errors=True)
    return spend(command(name, job), BOTH if name in (TWO, SPARK) else ONE, job, look=look, name=name)


def spend(asked: list[str], cpus: str, job: Job, *, look: bool = False, name: str = "") -> Spent:
    """What one command spends; any exit code that is not one of its good ones ends the benchmark."""
    output = Path("/dev/null") if name in PROGRAMS else job.scratch / "told.json"
    launcher = [sys.executable, "-S", "-E", str(SPENT), cpus, "look" if look else "-", str(output)]
    done = subprocess.run([*launcher, *asked], capture_output=True, text=True, check=False)
    found = json.loads(done.stdout) if done.returncode == 0 else {}
    if found.pop("code", None) not in GOOD.get(name, (0,)):
        raise SystemExit(f"{name or asked[0]} failed: {' '.join(asked[:6])} …\n{done.stderr[-3000:]}")
    return Spent(**found, told=told(name, job, output))


def told(name: str, job: Job, output: Path) -> dict[str, Any]:
    """What a peer printed, or what Bedside noted of its run; nothing for the programs that print lines."""
    source = output if name in PYTHON else job.out / "run.json"
    return dict(json.loads(source.read_text(encoding="utf-8"))) if source.is_file() else {}


def prepare(job: Job) -> None:
    """Write down the model's codes, and read every file once so that all of them find it in memory."""
    job.scratch.mkdir(parents=True, exist_ok=True)
    job.codes.write_bytes(b"".join(code + b"\n" for code in codes()))
    run(CAT, job)


def codes() -> tuple[bytes, ...]:
    """The literal codes that the model reads, asked of a process of its own."""
    asked = [sys.executable, "-m", "bench.batch_peers", "codes", ".", ".", "."]
    listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return tuple(code.encode() for code in json.loads(listed)["codes"])
