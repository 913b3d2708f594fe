"""A run's workers: forked where that is safe, and never in the way of the run that goes on."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cds.batch.local import score_export
from tests.batch import runs
from tests.batch.killed import left
from tests.cli.command import COMMAND, ROOT, environment

PROGRAM = """
import os, signal, sys, threading
from datetime import UTC, datetime
from multiprocessing import active_children
from pathlib import Path
from cds.batch.crew import crew
from cds.batch.finding import find_export
from cds.batch.plan import planned
from cds.batch.stages import LocalStages, Work
from cds.errors import RunInterrupted
from cds.site.recipe import recipe

export, out, trouble = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
fork, forked = os.fork, []

def scarce():
    if len(forked) == 2:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    forked.append(None)
    return fork()

if trouble == "thread":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
if trouble == "scarce":
    os.fork = scarce
kfre = recipe(["kfre-4"], region="north-america")
plan, work = planned(kfre(), find_export([export]), datetime.now(UTC), engine="aho"), Work(out)
work.make()
try:
    with crew(LocalStages(plan, kfre, work), 3 if trouble == "scarce" else 2) as hands:
        done = []
        for number in hands.run("scan_to_disk", range(len(plan.ranges))):
            done.append(number)
            if trouble == "killed" and len(done) == 1:
                os.kill(active_children()[0].pid, signal.SIGKILL)
        print(sorted(done) == list(range(len(plan.ranges))), *{type(child).__name__ for child in active_children()})
except RunInterrupted as error:
    print(error.message, len(active_children()))
"""
DEADLINE = 30.0


@pytest.fixture
def export(tmp_path: Path) -> Path:
    for number in range(60):
        people = (runs.whole(f"p{number}-{other}", 1.5 + number / 50) for other in range(20))
        runs.write(tmp_path / "export" / f"All.{number:03d}.ndjson", [line for person in people for line in person])
    return tmp_path / "export"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how many threads a process has")
@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        ("none", "True ForkProcess"),
        ("thread", "True SpawnProcess"),
        ("killed", "a worker was killed (out of memory?): go on with --resume, and fewer --workers 0"),
        (
            "scarce",
            "3 workers cannot be started ([Errno 11] Resource temporarily unavailable): take fewer --workers 0",
        ),
    ],
)
def test_workers_are_forked_unless_another_thread_may_hold_a_lock(
    export: Path, tmp_path: Path, trouble: str, told: str
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(export), str(tmp_path / "out"), trouble]
    ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{told}\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no worker is forked")
@pytest.mark.proves("R59", "a killed run can be gone on with at once, though a worker of it cannot go yet")
@pytest.mark.parametrize("stopped", [0, 1])
def test_r59_a_worker_that_outlives_its_run_holds_nothing(export: Path, tmp_path: Path, stopped: int) -> None:
    out = tmp_path / "out"
    how = ["--region", "north-america", "--at", runs.AT.isoformat(), "--workers", "2"]
    began = subprocess.Popen(
        [*COMMAND, "score", str(export), "--out", str(out), *how], env=environment(), cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        _wait(lambda: len(workers := _children(began.pid)) == 2 and not any(_holds(one, "/.lock") for one in workers))
        workers = _children(began.pid)
        os.kill(workers[stopped], signal.SIGSTOP)  # as one that waits for a disk which does not answer
        began.kill()
        began.wait()
        _wait(lambda: not _runs(workers[1 - stopped]))
        with (out / ".lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.killpg(began.pid, signal.SIGKILL)
    score_export(runs.plan(export), runs.KFRE, out, resume=True)
    runs.run(export, out=tmp_path / "undisturbed")
    assert left(out, "workers") == left(tmp_path / "undisturbed", "workers")


def _children(process: int) -> list[int]:
    """Process ids, those that began first first."""
    return sorted(
        int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if _of(stat)[1:2] == [str(process)]
    )


def _of(stat: Path) -> list[str]:
    """State, parent and what follows; nothing of a process that is gone."""
    try:
        return stat.read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _runs(process: int) -> bool:
    return _of(Path(f"/proc/{process}/stat"))[:1] not in ([], ["Z"])


def _holds(process: int, ending: str) -> bool:
    try:
        return any(str(number.readlink()).endswith(ending) for number in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return True


def _wait(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.001)
