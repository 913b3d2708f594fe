"""Scores an export on Spark: the same stages inside mapInArrow, over ranges of bytes, with the same outputs."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

from msgspec import json

from cds.batch.finding import find_export
from cds.batch.finish import Finish
from cds.batch.local import Progress, Watch, alone, begin, ended, run_before
from cds.batch.ownership import Merged, links, merged
from cds.batch.plan import Plan, planned
from cds.batch.prefilter import Engine
from cds.batch.scorers import Recipe
from cds.batch.sections import write_sections
from cds.batch.shards import foreign_shards
from cds.batch.spark_session import cores, held, running
from cds.batch.spark_tasks import BLOCKS, DIGESTS, FAILED, NAMES, SCORED, TOLD, Copy, Digest, Failure, Scan, Score
from cds.batch.stages import RangeTold, ShardTold, Stages, Work, chart_file, write_chart
from cds.errors import RunInterrupted, SiteError

_TASKS_A_CORE, _TASK_BYTES = 4, 256 << 20
"""How finely a run is cut: a task costs a tenth of a second before it reads anything, and its results must fit the
driver. A cluster that grows with its load shows few cores at first, so that a large export has more tasks than these.
"""


def score(
    spark: Any,
    path: str | Path | Sequence[str | Path],
    models: Recipe,
    at: datetime,
    *,
    out: str | Path,
    prior: str | Path | None = None,
    resume: bool = False,
    prefilter: Engine = "aho",
) -> dict[str, Any]:
    """Score an export with a running session, for a notebook; returns what run.json says.

    `path`: folders or files, as every executor sees them. `models`: `cds.site.recipe(["kfre-4"], region=…)`. `at`: the
    instant as of which is scored, with its time zone. `out`: a folder on the driver's disk. `prior`: the `out` of the
    run before, where the executors see it. The executors need the same Bedside. Raises RequestError, SiteError,
    ExportUnreadable, RunInterrupted; what Spark itself runs into is raised as Spark tells it.
    """
    places = [str(one) for one in ([path] if isinstance(path, str | Path) else path)]
    earlier = None if prior is None else Path(prior).resolve()
    before = run_before(earlier, at)
    plan = planned(
        models(), find_export(places, changes=earlier is not None), at, engine=prefilter,
        shards=before["shards"] if before else None, prior=None if earlier is None else str(earlier),
    )  # fmt: skip
    return score_on_spark(plan, models, Path(out), session=spark, resume=resume)


def score_on_spark(
    plan: Plan,
    recipe: Recipe,
    out: Path,
    *,
    workers: int | None = None,
    resume: bool = False,
    session: Any = None,
    progress: Progress = lambda *_: None,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """As `score_export`; without a session one is started on this machine.

    Spark itself does again what a lost executor had done. A run that is resumed follows its plan from the beginning.
    """
    work = Work(out)
    with alone(out):
        if (done := ended(plan, out, work, resume)) is not None:
            return done
        plan = begin(plan, work, resume)
        with running(session, workers) as spark, in_our_words():
            return _Run(spark, plan, recipe, work, progress).finished(Finish(plan, out), watch or Watch())


@contextmanager
def in_our_words() -> Iterator[None]:
    """Of what PySpark tells with all of a worker's trace, what we know the cause of."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        if re.search("OutOfMemoryError|TaskResultLost", str(error)):
            raise SiteError("Spark ran out of memory: give the driver more (spark.driver.memory)") from None
        if lacking := re.search(
            r"ModuleNotFoundError: No module named '(cds|pyarrow|msgspec|ahocorasick_rs)", str(error)
        ):
            raise SiteError(f"the executors have no {lacking[1]}: install Bedside on them too") from None
        if told := re.search(r"cds\.errors\.RunInterrupted: (.+)", str(error)):
            raise RunInterrupted(told[1]) from None
        raise


class _Run:
    """One run on one session."""

    def __init__(self, spark: Any, plan: Plan, recipe: Recipe, work: Work, progress: Progress) -> None:
        self._spark, self._plan, self._recipe, self._work = spark, plan, recipe, work
        self._progress = progress
        self._cores = cores(spark)
        self._tasks = max(self._cores * _TASKS_A_CORE, -(-plan.export.length // _TASK_BYTES))

    def finished(self, finish: Finish, watch: Watch) -> dict[str, Any]:
        plan, total = self._plan, self._plan.export.length
        self._progress("reading", 0, total)
        with held(self._numbers(len(plan.ranges)).mapInArrow(Scan(plan, self._recipe), BLOCKS)) as scanned:
            told = self._told(scanned)
            digests = self._digests()
            self._progress("reading", total, total)
            watch.end("reading")
            before = Stages(plan, self._recipe).replaced_before()
            names = self._names(scanned)
            replaced = links({pair for one in told for pair in one.replaced}, before, names)
            self._score(scanned, merged(replaced), names)
        watch.end("scoring")
        outputs = finish.outputs(told)
        report = finish.report(told, outputs, digests)
        watch.end("writing")
        report |= {"engine": "spark", "workers": self._cores, "prefilter": plan.engine, **watch.told()}
        finish.close(report, replaced)
        return report

    def _numbers(self, count: int) -> Any:
        """From 0 to `count`, spread over the tasks."""
        return self._spark.range(0, count, 1, min(count, self._tasks))

    def _told(self, scanned: Any) -> list[RangeTold]:
        rows = scanned.where("shard < 0").select("shard", "range", "told").collect()
        by_number = {row["range"]: bytes(row["told"]) for row in rows if row["shard"] == TOLD}
        _raise_first({row["range"]: row["told"] for row in rows if row["shard"] == FAILED})
        return [json.decode(by_number[number], type=RangeTold) for number in range(len(self._plan.ranges))]

    def _names(self, scanned: Any) -> list[bytes]:
        return [bytes(row["block"]) for row in scanned.where(f"shard = {NAMES}").select("block").collect()]

    def _digests(self) -> list[str]:
        numbers = self._numbers(len(self._plan.export.files))
        rows = numbers.mapInArrow(Digest(self._plan, self._recipe), DIGESTS).collect()
        _raise_first({row["number"]: row["failed"] for row in rows if row["failed"] is not None})
        return [row["digest"] for row in sorted(rows, key=itemgetter("number"))]

    def _score(self, scanned: Any, together: Merged, names: Sequence[bytes]) -> None:
        """Shuffle the blocks by shard, score each shard whole, and keep the results in the run's folder."""
        shards = self._plan.shards
        every = self._numbers(shards).selectExpr(
            "cast(id as int) as shard",
            f"{TOLD} as range",
            "cast(null as binary) as told",
            "cast('' as binary) as block",
        )
        blocks = scanned.where("shard >= 0").union(every)  # a shard without a block may have patients of the run before
        if elsewhere := _also_in(foreign_shards(together, shards)):
            blocks = blocks.mapInArrow(Copy(elsewhere), BLOCKS)
        by_shard = blocks.repartition(min(shards, self._tasks), "shard").sortWithinPartitions("shard", "range")
        task = Score(self._plan, self._recipe, together, names)
        with held(by_shard.mapInArrow(task, SCORED)) as scored:
            # This scores all at once; the iterator after it fetches one partition at a time.
            failed = scored.where("failed is not null").select("shard", "failed").collect()
            _raise_first({row["shard"]: row["failed"] for row in failed})
            for done, row in enumerate(scored.toLocalIterator(), start=1):
                _to_disk(self._work, row)
                self._progress("scoring", done, shards)


def _raise_first(failed: Mapping[int, bytes]) -> None:
    """Raise what was told of the first range, file or shard that failed; in whatever order they did."""
    if failed:
        raise json.decode(bytes(failed[min(failed)]), type=Failure).error()


def _to_disk(work: Work, row: Any) -> None:
    write_chart(chart_file(work.charts, row["shard"]), bytes(row["kept"]), bytes(row["written"]))
    sections = {name: bytes(row[name]) for name in ("assessments", "retracted", "rows")}
    write_sections(work.scored(row["shard"]), json.decode(bytes(row["told"]), type=ShardTold), sections)


def _also_in(foreign: Mapping[int, Iterable[int]]) -> dict[int, list[int]]:
    """For a shard, the others that want its blocks too."""
    found: dict[int, list[int]] = {}
    for here, others in foreign.items():
        for there in others:
            found.setdefault(there, []).append(here)
    return found
