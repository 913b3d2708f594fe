"""The two stages of a run as one process does them: a range is scanned, a shard is scored, and each is kept on disk."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from msgspec import Struct, json

from cds.batch.deletions import deleted_references
from cds.batch.durable import not_written
from cds.batch.kept import Reject, framed
from cds.batch.ownership import Merged, links
from cds.batch.plan import Plan
from cds.batch.prefilter import BLOCK
from cds.batch.scan import Scanned, Scanner
from cds.batch.scorers import Recipe
from cds.batch.sections import Sections, joined, write_sections
from cds.batch.shards import EARLIER, Blocks, Counts, Scored, Shard, foreign_shards
from cds.batch.sources import RANGE_BYTES, lines_of
from cds.errors import RequestError, RunInterrupted

CHARTS = "charts"
"""The folder in which a run leaves what the next one needs of it."""
REPLACED = "replaced.json"
BLOCKS, NAMES = "blocks", "names"


class RangeTold(Struct):
    """The header of a scanned range."""

    lines: int
    kept: int
    rejects: list[Reject]
    replaced: list[tuple[str, str]]
    kinds: set[str]


class ShardTold(Struct):
    """The header of a scored shard."""

    patients: int
    counts: Counts
    rejects: list[Reject]


class Work:
    """The folder in which an unfinished run keeps what it has done."""

    def __init__(self, out: Path) -> None:
        self.folder = out / ".work"
        self.plan = self.folder / "plan.json"

    def range(self, number: int) -> Path:
        return self.folder / "ranges" / f"{number:06d}"

    def digest(self, source: int) -> Path:
        return self.folder / "digests" / f"{source:06d}"

    def scored(self, shard: int) -> Path:
        return self.folder / "scored" / f"{shard:04d}"

    @property
    def charts(self) -> Path:
        return self.folder / CHARTS

    def make(self) -> None:
        """Raises RunInterrupted when the folder cannot be written."""
        try:
            for name in ("ranges", "digests", "scored", CHARTS):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_written(self.folder, error) from None

    def remove(self) -> None:
        """What is left when a run has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)


def chart_file(charts: Path, shard: int) -> Path:
    return charts / f"{shard:04d}"


class Stages:
    """One process's part in a run; what is costly to make is made once."""

    def __init__(self, plan: Plan, recipe: Recipe) -> None:
        self.plan = plan
        self._recipe = recipe
        self._ranges = plan.ranges

    @cached_property
    def scorers(self) -> Any:
        return self._recipe()

    @cached_property
    def _scanner(self) -> Scanner:
        return Scanner(
            self.scorers,
            self.plan.engine,
            self.plan.shards,
            changes=self.plan.prior is not None,
            bases=self.plan.export.bases,
        )

    @cached_property
    def _deleted(self) -> frozenset[str]:
        return deleted_references(self.plan.export.deleted)

    def scan(self, number: int) -> Scanned:
        """Read one range."""
        part = self._ranges[number]
        source = self.plan.export.files[part.source]
        size = RANGE_BYTES if self.plan.engine == "rg" else BLOCK
        return self._scanner.scan(number, lines_of(source, part, size), source.declared)

    def score(self, number: int, blocks: Blocks, together: Merged, names: Iterable[bytes] = ()) -> Scored:
        """Score one shard from the blocks that hold its patients. `names`: of all ranges, as they were `Scanned`."""
        shard = Shard(number, self.plan.shards, together)
        for where in (number, *sorted(foreign_shards(together, self.plan.shards).get(number, ()))):
            for kept, written in self._earlier(where):
                shard.add([(EARLIER, kept)])
                shard.add_written(written)
        shard.add(blocks)
        for some in names:
            shard.see(some)
        return shard.scored(self.scorers, self.plan.at, self._deleted)

    def _earlier(self, shard: int) -> Iterator[tuple[bytes, bytes]]:
        if self.plan.prior is not None:
            try:
                file = Sections(chart_file(Path(self.plan.prior) / CHARTS, shard), str)
                kept, written = file.read("kept"), file.read("written")
            except RunInterrupted:
                kept, written, whole = b"", b"", False
            else:
                whole = file.header == _chart_digest(kept, written)
            if not whole:
                raise RequestError(
                    f"--prior {self.plan.prior}: its {CHARTS} are damaged: score a whole export anew, without --prior"
                )
            yield kept, written

    def replaced_before(self) -> list[tuple[str, str]]:
        """Which records had been replaced when the run before ended."""
        if self.plan.prior is None:
            return []
        return json.decode((Path(self.plan.prior) / CHARTS / REPLACED).read_bytes(), type=list[tuple[str, str]])


class LocalStages(Stages):
    """The stages with their results in a run's folder."""

    def __init__(self, plan: Plan, recipe: Recipe, work: Work) -> None:
        super().__init__(plan, recipe)
        self._work = work
        self._scanned: dict[int, Sections[RangeTold]] = {}

    def anew(self) -> Callable[[], "LocalStages"]:
        """How another process makes the same."""
        return partial(LocalStages, self.plan, self._recipe, self._work)

    def scan_to_disk(self, number: int) -> None:
        found = self.scan(number)
        told = RangeTold(found.lines, found.kept, found.rejects, found.replaced, found.kinds)
        blocks = joined(BLOCKS, found.shards, self.plan.shards)
        write_sections(self._work.range(number), told, {**blocks, NAMES: found.names})

    def digest_to_disk(self, source: int) -> None:
        write_sections(self._work.digest(source), self.plan.export.files[source].digest(), {})

    def score_to_disk(self, number: int, together: Merged) -> None:
        there = (number, *sorted(foreign_shards(together, self.plan.shards).get(number, ())))
        names = (self.scanned(part.number).read(NAMES) for part in self._ranges)
        found = self.score(number, self._blocks(there), together, names)
        write_chart(chart_file(self._work.charts, number), b"".join(found.kept), b"".join(found.written))
        write_sections(self._work.scored(number), *scored_sections(found))

    def scanned(self, number: int) -> Sections[RangeTold]:
        """A range that was scanned."""
        if number not in self._scanned:
            self._scanned[number] = Sections(self._work.range(number), RangeTold)
        return self._scanned[number]

    def _blocks(self, shards: tuple[int, ...]) -> Iterator[tuple[int, bytes]]:
        for part in self._ranges:
            for shard in shards:
                if block := self.scanned(part.number).piece(BLOCKS, shard):
                    yield part.number, block

    def replaced(self) -> list[tuple[str, str]]:
        """Which records were replaced, by this export and those before."""
        now = {pair for part in self._ranges for pair in self.scanned(part.number).header.replaced}
        return links(now, self.replaced_before(), (self.scanned(part.number).read(NAMES) for part in self._ranges))


def write_chart(path: Path, kept: bytes, written: bytes) -> None:
    """What the next run needs of this shard."""
    write_sections(path, _chart_digest(kept, written), {"kept": kept, "written": written})


def _chart_digest(kept: bytes, written: bytes) -> str:
    return sha256(sha256(kept).digest() + sha256(written).digest()).hexdigest()


def scored_sections(found: Scored) -> tuple[ShardTold, Mapping[str, bytes]]:
    """A scored shard as header and sections."""
    return ShardTold(found.patients, found.counts, found.rejects), {
        "assessments": b"".join(line + b"\n" for line in found.assessments),
        "retracted": b"".join(line + b"\n" for line in found.retracted),
        "rows": b"".join(framed(b"", 0, batch) for batch in found.packed),
    }
