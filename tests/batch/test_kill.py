"""Killed at any moment and resumed, a run over an export ends with the bytes of one that nobody disturbed (R59)."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import active_children
from pathlib import Path

import pytest

from cds.batch.crew import crew
from cds.batch.stages import LocalStages, Work
from cds.errors import RunInterrupted
from tests.batch import runs
from tests.batch.killed import left
from tests.cli.command import COMMAND, ROOT, environment

PROGRAM = Path(__file__).parent / "killed.py"
DEADLINE = 30.0
"""Seconds within which processes must be seen to do what they are waited for."""


@pytest.mark.proof
@pytest.mark.timeout(3000)
@pytest.mark.proves("R59", "1,000 cycles of up to four kills: every output identical, 0 lost, 0 doubled, nothing left")
def test_r59_kills_at_every_step_change_no_byte(tmp_path: Path, campaign: Callable[[int], int]) -> None:
    command = [sys.executable, str(PROGRAM), str(tmp_path), str(campaign(1000)), "20261122"]
    ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, timeout=2900, check=False)
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    said = Counter(ran.stdout.decode().splitlines())
    assert said["killed before a step"] >= campaign(1000), "each cycle kills at the step that is its turn"
    assert said["killed after a while"] >= campaign(1000) // 25, "and many at any moment in between"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """So many files that two workers are busy with them for a while."""
    for number in range(60):
        runs.write(tmp_path / "export" / f"All.{number:03d}.ndjson", runs.whole(f"p{number}", 1.5 + number / 50))
    return tmp_path / "export"


@pytest.mark.proof
@pytest.mark.timeout(3000)
@pytest.mark.proves("R59", "a run of several processes, killed and resumed: no worker outlives it, no byte differs")
def test_r59_a_run_of_two_workers_dies_whole_and_resumes(
    export: Path, tmp_path: Path, campaign: Callable[[int], int]
) -> None:
    chance = random.Random(20261122)
    runs.run(export, out=tmp_path / "undisturbed")
    expected = left(tmp_path / "undisturbed", "workers")
    out = tmp_path / "out"
    for kill in range(campaign(40)):
        stage, most = (("ranges", 60), ("scored", 8))[kill % 2]
        _killed_when(export, out, stage, chance.randint(1, most - 2))
    ran = subprocess.run(_score(export, out), env=environment(), cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    assert left(out, "workers") == expected


def _score(export: Path, out: Path) -> list[str]:
    how = ["--region", "north-america", "--at", runs.AT.isoformat(), "--workers", "2", "--resume"]
    return [*COMMAND, "score", str(export), "--out", str(out), *how]


def _killed_when(export: Path, out: Path, stage: str, done: int) -> None:
    """Start the command in a process group of its own, kill only itself once so much is done, and see all go."""
    began = subprocess.Popen(
        _score(export, out), env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    folder = out / ".work" / stage
    _wait(lambda: began.poll() is not None or (folder.exists() and len(list(folder.glob("[0-9]*"))) >= done))
    began.kill()
    began.wait()
    try:
        _wait(lambda: _gone(began.pid))
    finally:
        if not _gone(began.pid):
            os.killpg(began.pid, signal.SIGKILL)


def _wait(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


def _gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_worker_that_is_killed_ends_the_run_and_what_was_done_is_kept(export: Path, tmp_path: Path) -> None:
    plan = runs.plan(export)
    work = Work(tmp_path / "out")
    work.make()
    with (
        crew(LocalStages(plan, runs.KFRE, work), 2) as hands,
        pytest.raises(RunInterrupted, match="a worker was killed"),
    ):
        for _ in _killing_one(hands.run("scan_to_disk", range(60))):
            pass
    assert any((work.folder / "ranges").iterdir())
    out = tmp_path / "out"
    work.remove()
    runs.run(export, out=out, workers=2)
    runs.run(export, out=tmp_path / "alone")
    assert left(out, "workers") == left(tmp_path / "alone", "workers")


def _killing_one(done: Iterator[int]) -> Iterator[int]:
    """What is done, with one of this process's own workers killed after the first."""
    for count, key in enumerate(done):
        if count == 0:
            os.kill(_workers()[0], signal.SIGKILL)
        yield key


def _workers() -> list[int]:
    return [child.pid for child in active_children() if child.pid is not None]
