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
import sys, threading
from datetime import UTC, datetime
from multiprocessing import active_children
from pathlib import Path
from cds.batch.crew import crew
from cds.batch.finding import find_export
from cds.batch.plan import planned
from cds.batch.stages import LocalStages, Work
from cds.site.recipe import recipe

export, out, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
for _ in range(threads):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
kfre = recipe(["kfre-4"], region="north-america")
plan, work = planned(kfre(), find_export([export]), datetime.now(UTC), engine="aho"), Work(out)
work.make()
with crew(LocalStages(plan, kfre, work), 2) as hands:
    done = sorted(hands.run("scan_to_disk", range(len(plan.ranges))))
    print(done == list(range(len(plan.ranges))), *sorted({type(child).__name__ for child in active_children()}))
"""
DEADLINE = 30.0


@pytest.fixture
def export(tmp_path: Path) -> Path:
    for number in range(60):
        people = (runs.whole(f"p{number}-{other}", 1.5 + number / 50) for other in range(20))
        runs.write(tmp_path / "export" / f"All.{number:03d}.ndjson", [line for person in people for line in person])
    return tmp_path / "export"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how many threads a process has")
@pytest.mark.parametrize(("threads", "kind"), [(0, "ForkProcess"), (1, "SpawnProcess")])
def test_workers_are_forked_unless_another_thread_may_hold_a_lock(
    export: Path, tmp_path: Path, threads: int, kind: str
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(export), str(tmp_path / "out"), str(threads)]
    ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"True {kind}\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no worker is forked")
@pytest.mark.proves("R59", "a killed run can be gone on with at once, though its workers are not gone yet")
def test_r59_workers_that_outlive_their_run_do_not_hold_its_folder(export: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    how = ["--region", "north-america", "--at", runs.AT.isoformat(), "--workers", "2"]
    began = subprocess.Popen(
        [*COMMAND, "score", str(export), "--out", str(out), *how], env=environment(), cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        _wait(lambda: (out / ".work" / "ranges").exists() and len(_children(began.pid)) == 2 and _scanned(out) >= 10)
        workers = _children(began.pid)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)  # so that they are there, whatever happens to their run
        began.kill()
        began.wait()
        assert len(workers) == 2, "as many as were asked for, and the run had not ended"
        with (out / ".lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.killpg(began.pid, signal.SIGKILL)
    score_export(runs.plan(export), runs.KFRE, out, resume=True)
    runs.run(export, out=tmp_path / "undisturbed")
    assert left(out, "workers") == left(tmp_path / "undisturbed", "workers")


def _children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def _scanned(out: Path) -> int:
    return len(list((out / ".work" / "ranges").glob("[0-9]*")))


def _wait(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.001)
