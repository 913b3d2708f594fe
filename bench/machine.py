"""Where and with what the figures were measured, for the line above the table."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.load import tool
from bench.peers import HEALTHCHAIN

OURS, THEIRS = ("uvicorn", "uvloop", "httptools"), ("healthchain", "fastapi", "pydantic", "fhir.resources", "uvicorn")


def machine(file_system: str, *, healthchain: bool) -> str:
    """Date, CPU, kernel, disk and versions in one paragraph."""
    parts = [
        place(),
        f"ledger on {file_system}",
        ", ".join(f"{name} {version(name)}" for name in OURS),
        *([theirs()] if healthchain else []),
        wrk_version(),
    ]
    return "; ".join(parts) + "."


def place() -> str:
    """Date, CPU, kernel and Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    parts = [
        f"Measured {datetime.now(UTC).date()} on {cpu_model()}, {os.cpu_count()} CPUs, {memory:.0f} GB",
        f"Linux {platform.release()}",
        f"{platform.python_implementation()} {platform.python_version()}",
    ]
    return "; ".join(parts)


def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def theirs() -> str:
    """The versions in HealthChain's environment."""
    code = f"import importlib.metadata as m; print(', '.join(f'{{n}} {{m.version(n)}}' for n in {THEIRS!r}))"
    run = subprocess.run([HEALTHCHAIN / "bin" / "python", "-c", code], capture_output=True, text=True, check=True)
    return f"HealthChain's own: {run.stdout.strip()}"


def wrk_version() -> str:
    """The name and version from wrk's first line; it exits 1 when asked for them."""
    run = subprocess.run([tool("wrk"), "--version"], capture_output=True, text=True, check=False)
    return " ".join((run.stdout or run.stderr).split()[:2])
