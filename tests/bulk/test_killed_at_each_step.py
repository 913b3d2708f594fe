"""Killed before each step that an export takes on the disk, and run again: the same folder as after no kill."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bulk.roads import digests, events, fetched, record
from tests.bulk.server import BulkDouble, patients
from tests.cli.command import ROOT, environment

KILLED = "killed"
LIFE = """
import asyncio, os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from cds.bulk import BulkServer, ExportRequest, OpenAccess, Pace, export
out, base, left = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
def step(event, found):
    global left
    if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(found[0]).startswith(str(out)):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(step)
server, pace = BulkServer(base, OpenAccess(), seconds=5), Pace(lambda: datetime.now(UTC), cap=0.01)
asyncio.run(export(ExportRequest(types=("Patient", "Observation")), out, server=server, pace=pace, at_once=1))
print(left)
"""


def life(double: BulkDouble, out: Path, steps: int) -> str:
    """What one process said that was killed before its step number `steps` (from 0); KILLED when it came to that."""
    done = subprocess.run(
        [sys.executable, "-c", LIFE, str(out), double.base, str(steps)],
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (0, -9), done.stderr
    return done.stdout.strip() if done.returncode == 0 else KILLED


def filled(double: BulkDouble) -> BulkDouble:
    for number, name in enumerate(("Patient.1", "Patient.2")):
        double.add("output", name, patients(2, 2 * number))
    return double


@pytest.mark.proves("B21", "killed before each step on the disk: what the next run leaves is an undisturbed run's")
@pytest.mark.proves("B26", "killed before each step on the disk: the log tells the end exactly once")
def test_a_kill_at_any_step_leaves_nothing_behind(unsigned: BulkDouble, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    steps = 1000 - int(life(filled(unsigned), whole, 1000))
    assert steps > 20
    warned = 0
    expected, names = digests(whole), sorted(path.name for path in whole.iterdir())
    for step in range(steps):
        out = tmp_path / str(step)
        assert life(unsigned, out, step) == KILLED
        starts = len(unsigned.asked("/fhir/Patient/$export"))
        done = fetched(unsigned, out)
        assert digests(out) == expected
        assert sorted(path.name for path in out.iterdir()) == names
        told = [one["eventId"] for one in events(out)]
        assert told.count("export_complete") == 1
        assert told.count("kickoff") == 1  # of a start whose answer was lost nothing is known but the warning
        second = len(unsigned.asked("/fhir/Patient/$export")) - starts == 1 and (out / "log.ndjson").exists()
        warned += bool(done.warnings)
        assert not done.warnings or second
        assert record(out)["status_url"] is None
    assert warned > 0
