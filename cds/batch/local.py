"""Scores an export on one machine: ranges, shards and the end, each taken up where a kill left it."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from msgspec import MsgspecError, json

from cds.batch.crew import Crew, crew
from cds.batch.durable import made
from cds.batch.finish import OUTPUTS, RUN, Finish
from cds.batch.ownership import merged
from cds.batch.plan import Plan, load, same_or_told, save, with_zone
from cds.batch.scorers import Recipe
from cds.batch.sections import Sections
from cds.batch.stages import CHARTS, LocalStages, RangeTold, Work
from cds.errors import RequestError, RunInterrupted

Stage = Literal["reading", "scoring", "writing"]
Progress = Callable[[Stage, int, int], None]
"""Stage, and how much is done of how much: bytes of the export, or shards."""


class Watch:
    """How long each stage took, and when the run ended; no score hangs on either."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time) -> None:
        self._clock, self._now, self._began, self._spent = clock, now, clock(), dict[str, float]()

    def end(self, stage: Stage) -> None:
        now = self._clock()
        self._spent[stage] = round(now - self._began, 3)
        self._began = now

    def told(self) -> dict[str, Any]:
        ended = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="seconds")
        return {"seconds": self._spent, "finished": ended.replace("+00:00", "Z")}


def score_export(
    plan: Plan,
    recipe: Recipe,
    out: Path,
    *,
    workers: int = 1,
    resume: bool = False,
    progress: Progress = lambda *_: None,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Score every patient of the plan's export into the folder `out`, and return what its run.json says.

    Raises RequestError when `out` holds another run, or this one unfinished and `resume` is not set; ExportUnreadable,
    and RunInterrupted: then what was done is kept.
    """
    with alone(out) as lock:
        work = Work(out)
        if (done := ended(plan, out, work, resume)) is not None:
            return done
        plan = begin(plan, work, resume)
        run, watch = _Run(plan, work, progress), watch or Watch()
        with crew(LocalStages(plan, recipe, work), workers, lock) as hands:
            run.read(hands)
            watch.end("reading")
            replaced = run.score(hands)
            watch.end("scoring")
        return run.write(Finish(plan, out), replaced, watch, workers)


def begin(plan: Plan, work: Work, resume: bool) -> Plan:
    """The plan to follow: the one that was begun here, or this one, which is then kept."""
    if work.plan.exists():
        if not resume:
            raise RequestError(f"{work.folder.parent} holds an unfinished run: --resume goes on with it")
        work.make()  # of a run that is resumed at its very end, a part has moved to its place
        return same_or_told(load(work.plan), plan)
    if there := [name for name in (*OUTPUTS, CHARTS) if (work.folder.parent / name).exists()]:
        raise RequestError(f"{work.folder.parent} holds {', '.join(there)} of another run: choose another folder")
    if plan.prior is not None:
        _refuse_other(plan, Path(plan.prior))
    work.make()
    save(plan, work.plan)
    return plan


def _refuse_other(plan: Plan, prior: Path) -> None:
    """Raises RequestError when the run before did not keep what this one reads, or is no run that has ended."""
    before = finished(prior)
    if before is None:
        raise RequestError(f"--prior {prior}: there is no finished run")
    if before.get("reads") != plan.reads:
        raise RequestError(
            f"--prior {prior} kept other data than these models read: score a whole export anew, without --prior"
        )


def finished(out: Path) -> dict[str, Any] | None:
    """The run.json of a finished run. Raises RequestError when it is none."""
    try:
        found: dict[str, Any] = json.decode((out / RUN).read_bytes(), type=dict)
    except FileNotFoundError:
        return None
    except (OSError, MsgspecError):
        found = {}
    if missing := {"at", "models", "inputs", "outputs", "outcomes", "lines", "patients", "shards"} - found.keys():
        raise RequestError(f"{out / RUN} is no run's record (no {min(missing)}): choose another folder")
    return found


def run_before(prior: Path | None, at: datetime) -> dict[str, Any] | None:
    """What the run before says of itself. Raises RequestError when it has not ended, or is of a later instant."""
    if prior is None:
        return None
    report = finished(prior)
    if report is None:
        raise RequestError(f"--prior {prior}: there is no finished run")
    if datetime.fromisoformat(report["at"]) > with_zone(at):
        raise RequestError(f"--prior {prior} is as of {report['at']}, which is later than this run")
    return report


def ended(plan: Plan, out: Path, work: Work, resume: bool) -> dict[str, Any] | None:
    """The run.json of this very run, when it ended before it was told so.

    Raises RequestError when another run has ended in the folder, or this one and `resume` is not set.
    """
    done = finished(out)
    if done is None:
        return None
    work.remove()  # what a kill after the run's last step left
    if not resume:
        raise RequestError(f"{out} holds a finished run: choose another folder")
    inputs = [(file["file"], file["sha256"]) for file in done["inputs"]]
    models = json.decode(json.encode(plan.models), type=list)
    same = done["models"] == models and (done.get("codes"), done.get("prior")) == (plan.vocabulary, plan.prior)
    if not same or inputs != [(file.name, file.digest()) for file in plan.export.files]:
        raise RequestError(f"{out} holds the finished run of other files or models: choose another folder")
    return done


class _Run:
    """The three stages of a run, each from where a kill left it."""

    def __init__(self, plan: Plan, work: Work, progress: Progress) -> None:
        self._plan, self._work, self._progress = plan, work, progress

    def read(self, hands: Crew) -> None:
        """Raises RequestError when there is nothing to read."""
        plan, work = self._plan, self._work
        total = sum(part.end - part.start for part in plan.ranges)
        to_read = [part for part in plan.ranges if not work.range(part.number).exists()]
        done = total - sum(part.end - part.start for part in to_read)
        self._progress("reading", done, total)
        for number in hands.run("scan_to_disk", [part.number for part in to_read]):
            done += plan.ranges[number].end - plan.ranges[number].start
            self._progress("reading", done, total)
        if plan.prior is None and not any(told.lines for told in self._told()):
            raise RequestError("there is no line in any of these files")
        sources = range(len(plan.export.files))
        list(hands.run("digest_to_disk", [n for n in sources if not work.digest(n).exists()]))

    def score(self, hands: Crew) -> list[tuple[str, str]]:
        """Returns which records were replaced."""
        shards = self._plan.shards
        replaced = hands.stages.replaced()
        to_score = [n for n in range(shards) if not self._work.scored(n).exists()]
        done = shards - len(to_score)
        self._progress("scoring", done, shards)
        for count, _ in enumerate(hands.run("score_to_disk", to_score, merged(replaced)), done + 1):
            self._progress("scoring", count, shards)
        return replaced

    def write(self, finish: Finish, replaced: list[tuple[str, str]], watch: Watch, workers: int) -> dict[str, Any]:
        """Returns what run.json says."""
        plan, told = self._plan, list(self._told())
        self._progress("writing", 0, 1)
        outputs = finish.outputs(told)
        digests = [Sections(self._work.digest(n), str).header for n in range(len(plan.export.files))]
        report = finish.report(told, outputs, digests)
        watch.end("writing")
        report |= {"engine": "local", "workers": workers, "prefilter": plan.engine, **watch.told()}
        finish.close(report, replaced)
        self._progress("writing", 1, 1)
        return report

    def _told(self) -> Iterator[RangeTold]:
        return (Sections(self._work.range(part.number), RangeTold).header for part in self._plan.ranges)


@contextmanager
def alone(out: Path) -> Iterator[int]:
    """Two runs in one folder would each undo the other's files. Gives the number of the open lock."""
    try:
        made(out)
        lock = (out / ".lock").open("wb")
    except OSError as error:
        raise RunInterrupted(f"{out} cannot be written: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RequestError(f"another run is working in {out}") from None
        except OSError:
            raise RequestError(f"{out} lies where no file can be locked: choose a folder on a local disk") from None
        yield lock.fileno()
