"""Runs the command as somebody in a shell would, with none of our variables set but those given."""

import atexit
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.cli.warm import Warm

ROOT = Path(__file__).resolve().parents[2]
EXPORT = ROOT / "fhir_fixtures" / "export"
PATIENTS = ROOT / "fhir_fixtures" / "patients"
AT = "2026-11-22T14:02:00Z"
COMMAND = [sys.executable, "-m", "cds.cli"]


def environment(**given: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("BEDSIDE_")}
    return {**own, **given, "PYTHONPATH": str(ROOT)}


def bedside(*arguments: str, read: str = "", **given: str) -> "subprocess.CompletedProcess[str]":
    """`read` is what stands on standard input."""
    if any(not name.startswith(("BEDSIDE_", "XDG_")) for name in given):
        return subprocess.run(
            [*COMMAND, *arguments], input=read, capture_output=True, text=True, timeout=60, cwd=ROOT,
            env=environment(**given), check=False,
        )  # fmt: skip
    return _warm().run(arguments, environment(**given), read)


@cache
def _warm() -> Warm:
    """One for this process of the tests, to its end."""
    warm = Warm(str(ROOT), environment())
    atexit.register(warm.close)
    return warm
