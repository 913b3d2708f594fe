"""Scores an export on Spark: the same stages inside mapInArrow, over ranges of bytes, with the same outputs."""

import os
import pickle
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from importlib.util import find_spec
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
from msgspec import json

from cds.batch.finish import Finish
from cds.batch.java import java_found
from cds.batch.local import Progress, Watch, alone, begin, ended
from cds.batch.ownership import Merged, merged
from cds.batch.plan import Plan, planned
from cds.batch.prefilter import Engine
from cds.batch.scorers import Recipe
from cds.batch.sections import write_sections
from cds.batch.shards import foreign_shards
from cds.batch.sources import find_export
from cds.batch.stages import RangeTold, ShardTold, Stages, Work, chart_file, scored_sections
from cds.errors import SiteError

Batches = Iterator[pa.RecordBatch]
_BLOCKS = "shard int, range int, told binary, block binary"
_SCORED = "shard int, told binary, assessments binary, retracted binary, rows binary, kept binary, written binary"
_ROWS_A_BATCH = "64"
"""A row holds a block of a shard, some ten to some hundred thousand bytes."""
_TOLD = -1
"""In place of a shard: the row that tells of a range."""
_NAMES = -2
"""In place of a shard: the row that names what has changed."""
_TASKS_A_CORE = 4


def score(
    spark: Any,
    path: str | Sequence[str],
    models: Recipe,
    at: datetime,
    *,
    out: str | Path,
    prefilter: Engine = "aho",
) -> dict[str, Any]:
    """Score an export with a running session, for a notebook; returns what run.json says.

    `path`: folders or files as every executor sees them. `models`: `cds.site.recipe(["kfre-4"], region=…)`. `out`: a
    folder on the driver. Bedside must be installed on the executors.
    """
    places = [path] if isinstance(path, str) else list(path)
    plan = planned(models(), find_export(places), at, engine=prefilter)
    return score_on_spark(plan, models, Path(out), session=spark)


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
    """As `score_export`; without a session one is started on this machine. Spark itself does again what fails."""
    work = Work(out)
    with alone(out), _session(session, workers) as spark:
        if (done := ended(plan, out, work, resume)) is not None:
            return done
        plan = begin(plan, work, resume)
        return _run(spark, plan, recipe, out, work, progress, watch or Watch())


def _run(
    spark: Any, plan: Plan, recipe: Recipe, out: Path, work: Work, progress: Progress, watch: Watch
) -> dict[str, Any]:
    total = plan.export.length
    progress("reading", 0, total)
    tasks = max(spark.sparkContext.defaultParallelism, 1) * _TASKS_A_CORE
    scanned = _over(spark, len(plan.ranges), tasks).mapInArrow(_Scan(plan, recipe), _BLOCKS)
    scanned = scanned.persist(_disk_only())
    told = _told(scanned, len(plan.ranges))
    digests = _digests(spark, plan, recipe, tasks)
    progress("reading", total, total)
    watch.end("reading")
    replaced = sorted({pair for one in told for pair in one.replaced} | set(Stages(plan, recipe).replaced_before()))
    together = merged(replaced)
    _score(spark, scanned, plan, recipe, work, together, tasks, progress)
    scanned.unpersist()
    watch.end("scoring")
    finish = Finish(plan, out)
    outputs = finish.outputs(told)
    report = finish.report(told, outputs, digests)
    watch.end("writing")
    report |= {"engine": "spark", "workers": tasks // _TASKS_A_CORE, "prefilter": plan.engine, **watch.told()}
    finish.close(report, replaced)
    return report


def _over(spark: Any, count: int, tasks: int) -> Any:
    """The numbers from 0 to `count`, spread over the tasks."""
    return spark.range(0, count, 1, min(count, tasks))


def _told(scanned: Any, count: int) -> list[RangeTold]:
    rows = scanned.where(f"shard = {_TOLD}").select("range", "told").collect()
    by_number = {row["range"]: json.decode(bytes(row["told"]), type=RangeTold) for row in rows}
    return [by_number[number] for number in range(count)]


def _digests(spark: Any, plan: Plan, recipe: Recipe, tasks: int) -> list[str]:
    found = _over(spark, len(plan.export.files), tasks).mapInArrow(_Digest(plan, recipe), "number int, digest string")
    return [row["digest"] for row in sorted(found.collect(), key=itemgetter("number"))]


def _score(
    spark: Any, scanned: Any, plan: Plan, recipe: Recipe, work: Work, together: Merged, tasks: int, progress: Progress
) -> None:
    """Shuffle the blocks by shard, score each shard whole, and keep the results in the run's folder."""
    every = _over(spark, plan.shards, tasks).selectExpr(
        "cast(id as int) as shard", f"{_TOLD} as range", "cast(null as binary) as told", "cast('' as binary) as block"
    )
    blocks = scanned.where("shard >= 0").union(every)  # a shard without a block may have patients of the run before
    elsewhere = _also_in(foreign_shards(together, plan.shards))
    if elsewhere:
        blocks = blocks.mapInArrow(_Copy(elsewhere), _BLOCKS)
    by_shard = blocks.repartition(min(plan.shards, tasks), "shard").sortWithinPartitions("shard", "range")
    names = [bytes(row["block"]) for row in scanned.where(f"shard = {_NAMES}").select("block").collect()]
    scored = by_shard.mapInArrow(_Score(plan, recipe, together, names), _SCORED).persist(_disk_only())
    scored.count()  # all at once; the iterator after it fetches one partition at a time
    for done, row in enumerate(scored.toLocalIterator(), start=1):
        _to_disk(work, row)
        progress("scoring", done, plan.shards)
    scored.unpersist()


def _to_disk(work: Work, row: Any) -> None:
    write_sections(chart_file(work.charts, row["shard"]), {}, {name: bytes(row[name]) for name in ("kept", "written")})
    sections = {name: bytes(row[name]) for name in ("assessments", "retracted", "rows")}
    write_sections(work.scored(row["shard"]), json.decode(bytes(row["told"]), type=ShardTold), sections)


def _also_in(foreign: Mapping[int, Iterable[int]]) -> dict[int, list[int]]:
    """For a shard, the others that want its blocks too."""
    found: dict[int, list[int]] = {}
    for here, others in foreign.items():
        for there in others:
            found.setdefault(there, []).append(here)
    return found


class _Task:
    """A function of Arrow batches that finds the stages of its run in the Python process that it is sent to."""

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        self._plan, self._recipe = json.encode(plan), pickle.dumps(recipe)

    @property
    def stages(self) -> Stages:
        return _stages(self._plan, self._recipe)


@lru_cache(maxsize=1)
def _stages(plan: bytes, recipe: bytes) -> Stages:
    return Stages(json.decode(plan, type=Plan), pickle.loads(recipe))  # noqa: S301 - as Spark brought it with this very task


class _Scan(_Task):
    def __call__(self, batches: Batches) -> Batches:
        for number in _numbers(batches):
            found = self.stages.scan(number)
            told = RangeTold(found.lines, found.kept, found.rejects, found.replaced)
            yield _blocks([(_TOLD, number, json.encode(told), b""), (_NAMES, number, None, found.names)])
            for shard, block in found.shards.items():
                yield _blocks([(shard, number, None, block)])


class _Digest(_Task):
    def __call__(self, batches: Batches) -> Batches:
        for number in _numbers(batches):
            digest = self.stages.plan.export.files[number].digest()
            yield pa.RecordBatch.from_pydict({"number": pa.array([number], pa.int32()), "digest": [digest]})


class _Copy:
    """Blocks of a shard, and again under each shard that stands for one of its patients."""

    def __init__(self, also_in: Mapping[int, Sequence[int]]) -> None:
        self._also_in = also_in

    def __call__(self, batches: Batches) -> Batches:
        for batch in batches:
            for row in batch.to_pylist():
                for shard in (row["shard"], *self._also_in.get(row["shard"], ())):
                    yield _blocks([(shard, row["range"], row["told"], row["block"])])


class _Score(_Task):
    def __init__(self, plan: Plan, recipe: Recipe, together: Merged, names: Sequence[bytes]) -> None:
        super().__init__(plan, recipe)
        self._together, self._names = together, names

    def __call__(self, batches: Batches) -> Batches:
        rows = ((row["shard"], row["range"], row["block"]) for batch in batches for row in batch.to_pylist())
        for shard, group in groupby(rows, key=itemgetter(0)):
            blocks = ((number, block) for _, number, block in group if block)
            found = self.stages.score(shard, blocks, self._together, self._names)
            told, sections = scored_sections(found)
            one = {"shard": pa.array([shard], pa.int32()), "told": [json.encode(told)]}
            one |= {name: [data] for name, data in sections.items()}
            yield pa.RecordBatch.from_pydict(
                one | {"kept": [b"".join(found.kept)], "written": [b"".join(found.written)]}
            )


def _numbers(batches: Batches) -> Iterator[int]:
    for batch in batches:
        yield from batch.column(0).to_pylist()


_BLOCK_SCHEMA = pa.schema([("shard", pa.int32()), ("range", pa.int32()), ("told", pa.binary()), ("block", pa.binary())])


def _blocks(rows: list[tuple[int, int, bytes | None, bytes]]) -> pa.RecordBatch:
    columns = zip(zip(*rows, strict=True), _BLOCK_SCHEMA, strict=True)
    return pa.RecordBatch.from_arrays([pa.array(column, kind.type) for column, kind in columns], schema=_BLOCK_SCHEMA)


def _disk_only() -> Any:
    from pyspark import StorageLevel

    return StorageLevel.DISK_ONLY


@contextmanager
def _session(given: Any, workers: int | None) -> Iterator[Any]:
    """The session that was given, with batches as small as ours must be; or one of our own on this machine."""
    if given is not None:
        key = "spark.sql.execution.arrow.maxRecordsPerBatch"
        before = given.conf.get(key)
        given.conf.set(key, _ROWS_A_BATCH)
        try:
            yield given
        finally:
            given.conf.set(key, before)
        return
    if find_spec("pyspark") is None:
        raise SiteError("--engine spark needs PySpark: pip install 'bedside[spark]'")
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{workers or '*'}]").appName("bedside")
    for name, value in _SETTINGS.items():
        builder = builder.config(name, value)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # Spark would start another one, by the name python3
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    with java_found():
        spark = builder.getOrCreate()
        try:
            yield spark
        finally:
            spark.stop()


_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.execution.arrow.maxRecordsPerBatch": _ROWS_A_BATCH,
    "spark.sql.session.timeZone": "UTC",
    "spark.log.level": "ERROR",
}
