"""The JavaScript peers of the tests, installed once into .cache and run with node."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

SOURCES = ROOT / "tests" / "ehr" / "peers"
FOLDER = ROOT / ".cache" / "peers"
INSTALLED = "installed.json"
"""The lock of what is installed, written last: an installation that was cut off is made anew."""
SECONDS = 300


def peers() -> Path:
    """The folder with the peers' scripts and packages; packages are installed when the lock is not the one there."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed here")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers may come at once
        if _different("package-lock.json", INSTALLED):
            install()
        for script in SOURCES.glob("*.mjs"):
            if _different(script.name, script.name):
                shutil.copy(script, FOLDER)
    return FOLDER


def _different(ours: str, theirs: str) -> bool:
    there = FOLDER / theirs
    return not there.exists() or there.read_bytes() != (SOURCES / ours).read_bytes()


def install() -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCES / name, FOLDER)
    # No package's own script runs here: what the tests use is plain JavaScript.
    command = ["npm", "ci", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    shutil.copy(SOURCES / "package-lock.json", FOLDER / INSTALLED)


def node(script: str, given: str, seconds: float = 60) -> str:
    """What a peer's script prints for what it is given on its input."""
    folder = peers()
    run = subprocess.run(
        ["node", script], cwd=folder, input=given, capture_output=True, text=True, timeout=seconds, check=False,
        env={"PATH": os.environ.get("PATH", ""), "HOME": str(folder)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


if __name__ == "__main__":
    peers()
