"""What runs on Spark's executors: the stages of a run as functions of Arrow batches."""

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
from msgspec import Struct, json

from cds.batch.ownership import Merged
from cds.batch.plan import Plan
from cds.batch.scorers import Recipe
from cds.batch.stages import RangeTold, Stages, scored_sections
from cds.errors import BedsideError, ExportUnreadable, ModelFailed, RequestError, RunInterrupted, SiteError

Batches = Iterator[pa.RecordBatch]
Row = tuple[int, int, bytes | None, bytes]
"""A row of BLOCKS."""
BLOCKS = "shard int, range int, told binary, block binary"
DIGESTS = "number int, digest string, failed binary"
SCORED = (
    "shard int, told binary, assessments binary, retracted binary, rows binary, kept binary, written binary,"
    " failed binary"
)
TOLD, FAILED, NAMES = -1, -2, -3
"""In place of a shard: the row that tells of a range, or why it could not be read, or what of it may have changed."""

_BATCH_BYTES = 4 << 20
_KINDS: Mapping[str, type[BedsideError]] = {
    kind.__name__: kind for kind in (ExportUnreadable, RequestError, SiteError, RunInterrupted)
}


class Failure(Struct, frozen=True):
    """An error of ours as it travels to the driver: in a row, since Spark would try four times and print each trace."""

    kind: str
    message: str

    def error(self) -> BedsideError:
        return _KINDS.get(self.kind, RunInterrupted)(self.message)


def _failure(error: Exception) -> bytes:
    """Raises RunInterrupted for what is none of ours: Spark tries again, and a cause's own text may hold a value."""
    if not isinstance(error, BedsideError):
        where = ModelFailed("", cause=error).where
        raise RunInterrupted(f"a task of this run broke, which is a defect: {where}") from None
    return json.encode(Failure(type(error).__name__, error.message))


class _Task:
    """A function of Arrow batches that finds the stages of its run in the Python process that it is sent to."""

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        self._plan, self._recipe = json.encode(plan), pickle.dumps(recipe)

    @property
    def stages(self) -> Stages:
        return _stages(self._plan, self._recipe)


@lru_cache(maxsize=1)
def _stages(plan: bytes, recipe: bytes) -> Stages:
    followed = json.decode(plan, type=Plan)
    if (here := version("bedside")) != followed.bedside:
        raise SiteError(f"the executors have Bedside {here}, the driver {followed.bedside}: install one on both")
    if followed.prior is not None and not Path(followed.prior).is_dir():
        raise RequestError(f"the executors cannot see the run before, {followed.prior}: copy it to where they can")
    return Stages(followed, pickle.loads(recipe))  # noqa: S301 - as Spark brought it with this very task


class Scan(_Task):
    """From numbers of ranges to blocks, and a row that tells of each range."""

    def __call__(self, batches: Batches) -> Batches:
        for number in _numbers(batches):
            try:
                yield from self._scanned(number)
            except Exception as error:  # noqa: BLE001 - see _failure
                yield from _packed([(FAILED, number, _failure(error), b"")])

    def _scanned(self, number: int) -> Batches:
        found = self.stages.scan(number)
        told = RangeTold(found.lines, found.kept, found.rejects, found.replaced, found.kinds)
        first: list[Row] = [(TOLD, number, json.encode(told), b"")]
        if found.names:
            first.append((NAMES, number, None, found.names))
        yield from _packed([*first, *((shard, number, None, block) for shard, block in found.shards.items())])


class Digest(_Task):
    """From numbers of files to their SHA-256."""

    def __call__(self, batches: Batches) -> Batches:
        for number in _numbers(batches):
            digest, failed = "", None
            try:
                digest = self.stages.plan.export.files[number].digest()
            except Exception as error:  # noqa: BLE001 - see _failure
                failed = _failure(error)
            columns = [pa.array([number], pa.int32()), pa.array([digest]), pa.array([failed], pa.binary())]
            yield pa.RecordBatch.from_arrays(columns, names=["number", "digest", "failed"])


class Copy:
    """Blocks of a shard, and again under each shard that stands for one of its patients."""

    def __init__(self, also_in: Mapping[int, Sequence[int]]) -> None:
        self._also_in = also_in

    def __call__(self, batches: Batches) -> Batches:
        yield from _packed(
            (shard, row["range"], row["told"], row["block"])
            for batch in batches
            for row in batch.to_pylist()
            for shard in (row["shard"], *self._also_in.get(row["shard"], ()))
        )


class Score(_Task):
    """From blocks in the order of their shards to each shard's results."""

    def __init__(self, plan: Plan, recipe: Recipe, together: Merged, names: Sequence[bytes]) -> None:
        super().__init__(plan, recipe)
        self._together, self._names = together, names

    def __call__(self, batches: Batches) -> Batches:
        rows = ((row["shard"], row["range"], row["block"]) for batch in batches for row in batch.to_pylist())
        for shard, group in groupby(rows, key=itemgetter(0)):
            try:
                found = self._scored(shard, ((number, block) for _, number, block in group if block))
            except Exception as error:  # noqa: BLE001 - see _failure
                found = {"failed": _failure(error)}
            columns = {name: found.get(name) for name in _SCORED_SCHEMA.names} | {"shard": shard}
            yield pa.RecordBatch.from_pylist([columns], schema=_SCORED_SCHEMA)

    def _scored(self, shard: int, blocks: Iterable[tuple[int, bytes]]) -> dict[str, Any]:
        found = self.stages.score(shard, blocks, self._together, self._names)
        told, sections = scored_sections(found)
        charts = {"kept": b"".join(found.kept), "written": b"".join(found.written)}
        return {"told": json.encode(told), **sections, **charts}


def _numbers(batches: Batches) -> Iterator[int]:
    for batch in batches:
        yield from batch.column(0).to_pylist()


def _schema(columns: str) -> pa.Schema:
    """Spark's spelling of a schema as Arrow's."""
    kinds = {"int": pa.int32(), "binary": pa.binary(), "string": pa.string()}
    return pa.schema([(name, kinds[kind]) for name, kind in (column.split() for column in columns.split(","))])


_BLOCK_SCHEMA, _SCORED_SCHEMA = _schema(BLOCKS), _schema(SCORED)


def _packed(rows: Iterable[Row]) -> Batches:
    """Rows as batches of a few megabytes: of a large export, most blocks are a few hundred bytes."""
    held, size = list[Row](), 0
    for row in rows:
        held.append(row)
        size += len(row[3])
        if size >= _BATCH_BYTES:
            yield _batch(held)
            held, size = [], 0
    if held:
        yield _batch(held)


def _batch(rows: list[Row]) -> pa.RecordBatch:
    columns = zip(zip(*rows, strict=True), _BLOCK_SCHEMA, strict=True)
    return pa.RecordBatch.from_arrays([pa.array(column, kind.type) for column, kind in columns], schema=_BLOCK_SCHEMA)
