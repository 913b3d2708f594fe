"""Run as a program by test_kill: a run over an export is killed at every step of its way, resumed, and compared."""

import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from cds.batch.finding import find_export
from cds.batch.local import score_export
from cds.batch.plan import Plan, planned
from cds.batch.scorers import Scorers
from tests.batch.runs import AT, KFRE, Json, creatinine, patient, uacr, whole, write

SHARDS = 3
STEPS = frozenset({"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir", "shutil.rmtree"})
"""Audit events of Python for everything that a run does to the names of files; a run writes only between two."""
MOST_KILLS = 4


def exports(folder: Path) -> tuple[Path, Path]:
    """A first export and what changed since: new results, a corrected and a deleted one, a replaced record, rejects."""
    first, since = folder / "first", folder / "since"
    people = [line for number in range(12) for line in whole(f"p{number}", 1.5 + number / 10)]
    write(first / "Patient.000.ndjson", [one for one in people if one["resourceType"] == "Patient"])
    write(first / "Observation.000.ndjson", [one for one in people if one["resourceType"] != "Patient"])
    write(since / "Observation.000.ndjson", [creatinine(f"n{n}", f"Patient/p{n}", 3.0) for n in range(4)])
    stranger: list[Json | str] = [uacr("lost", "Patient/nobody"), '{"resourceType":"Observation","code":"2160-0"', ""]
    corrected = creatinine("p5-c1", "Patient/p5", 2.5)
    write(since / "Observation.001.ndjson", [corrected, *stranger])
    new = [patient("q", link=[{"other": {"reference": "Patient/p7"}, "type": "replaces"}])]
    write(since / "Patient.000.ndjson", [*new, patient("r")])
    (since / "Observation.002.ndjson.gz").write_bytes(
        gzip.compress(write(folder / "packed", whole("s")).read_bytes(), mtime=0)
    )
    gone = {"resourceType": "Bundle", "entry": [{"request": {"method": "DELETE", "url": "Observation/p9-c1"}}]}
    write(since / "deleted" / "Bundle.000.ndjson", [gone])
    return first, since


def forked(work: Callable[[], object]) -> int:
    """Forks instead of starting anew: the imports would cost more than the lives."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def ended(pid: int) -> int:
    """How a child ended: its exit code, or the negative signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Runs:
    """One plan, scored again and again into folders of its own."""

    def __init__(self, plan: Plan, scorers: Scorers) -> None:
        self._plan, self._scorers = plan, scorers

    def score(self, out: Path) -> dict[str, Any]:
        return score_export(self._plan, lambda: self._scorers, out, resume=True)

    def watched(self, out: Path, report: Path) -> None:
        """Score, and write down how many steps it took and how long."""
        steps = _count_steps(out, None)
        began = time.perf_counter()
        self.score(out)
        report.write_text(json.dumps([len(steps), time.perf_counter() - began]))

    def killed_at(self, out: Path, step: int) -> None:
        """Score until just before the given step."""
        _count_steps(out, step)
        self.score(out)


def _count_steps(out: Path, last: int | None) -> list[None]:
    steps: list[None] = []

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in STEPS and str(arguments[0]).startswith(str(out)):
            steps.append(None)
            if len(steps) == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)
    return steps


def left(out: Path, *but: str) -> dict[str, str]:
    """Digests of all that lies in a run's folder, of run.json without its timings, and without the members named."""
    return dict(_left(out, {"seconds", "finished", *but}))


def _left(out: Path, but: Collection[str]) -> Iterator[tuple[str, str]]:
    for path in sorted(out.rglob("*")):
        data = path.read_bytes() if path.is_file() else b"a folder"
        if path.name == "run.json":
            data = json.dumps(json.loads(data) | dict.fromkeys(but)).encode()
        yield str(path.relative_to(out)), hashlib.sha256(data).hexdigest()


def campaign(folder: Path, cycles: int, seed: int) -> int:
    """Cycles of kills and resumes. Prints a line for each kill; returns 1 at the first difference, and tells it."""
    chance = random.Random(seed)
    first, since = exports(folder)
    scorers = KFRE()
    before = planned(scorers, find_export([str(first)]), AT, engine="aho", shards=SHARDS)
    Runs(before, scorers).score(folder / "before")  # here, so that every child finds all loaded and begins at once
    export = find_export([str(since)])
    runs = Runs(planned(scorers, export, AT, engine="aho", shards=SHARDS, prior=str(folder / "before")), scorers)
    assert ended(forked(lambda: runs.watched(folder / "undisturbed", folder / "watched.json"))) == 0
    steps, seconds = json.loads((folder / "watched.json").read_text())
    expected = left(folder / "undisturbed")
    for cycle in range(cycles):
        out = folder / "killed"
        for life in range(chance.randint(1, MOST_KILLS)):
            at = (cycle * 7919) % steps + 1 if life == 0 else chance.randint(1, steps)  # each step has its turn
            how, code = _life(runs, out, at, chance.random() * seconds if life % 2 else None)
            if code not in (0, -signal.SIGKILL):
                return _told(f"cycle {cycle}: {how} ended with {code}")
            print("killed" if code else "ended", how, flush=True)
        if ended(forked(lambda: runs.score(out))) != 0:  # noqa: B023 - the child uses it at once
            return _told(f"cycle {cycle}: it could not be resumed")
        found = left(out)
        if found != expected:
            names = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
            return _told(f"cycle {cycle}: {', '.join(names)} differ from an undisturbed run")
        shutil.rmtree(out)
    return 0


def _life(runs: Runs, out: Path, step: int, seconds: float | None) -> tuple[str, int]:
    """One life, to be ended before a step or after some seconds."""
    if seconds is None:
        return "before a step", ended(forked(lambda: runs.killed_at(out, step)))
    pid = forked(lambda: runs.score(out))
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return "after a while", ended(pid)


def _told(what: str) -> int:
    print(what, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(campaign(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
