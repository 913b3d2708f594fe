"""Brings a run's shards together into the files that a person opens, and says what became of everybody."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec import Struct, json

from cds.batch.durable import Hashed, being_written, clear_drafts, settle, write_durably
from cds.batch.kept import Reject, unframed
from cds.batch.plan import Plan
from cds.batch.sections import Sections
from cds.batch.sources import Range
from cds.batch.stages import CHARTS, REPLACED, RangeTold, ShardTold, Work

ASSESSMENTS, RETRACTED, SCORES, REJECTS = (
    "RiskAssessment.ndjson", "retracted.ndjson", "scores.parquet", "rejects.ndjson",
)  # fmt: skip
RUN = "run.json"
OUTPUTS = (ASSESSMENTS, RETRACTED, SCORES, REJECTS, RUN)


class Output(Struct, frozen=True):
    """A file of the run: bytes and SHA-256."""

    bytes: int
    sha256: str


class Finish:
    """The end of one run, in its folder; may be done again after a kill, with the same result."""

    def __init__(self, plan: Plan, out: Path) -> None:
        self._plan, self._out, self._work = plan, out, Work(out)

    def outputs(self, ranges: list[RangeTold]) -> Mapping[str, Output]:
        """Write every output but run.json."""
        clear_drafts(self._out, *OUTPUTS)  # those of a run that was killed here take as much room again
        told = {
            ASSESSMENTS: self._lines(ASSESSMENTS, self._sections("assessments")),
            RETRACTED: self._lines(RETRACTED, self._sections("retracted")),
            SCORES: self._scores(),
            REJECTS: self._lines(REJECTS, self._rejects(ranges)),
        }
        settle(self._out)
        return told

    def _shards(self) -> Iterator[Sections[ShardTold]]:
        return (Sections(self._work.scored(number), ShardTold) for number in range(self._plan.shards))

    def _sections(self, name: str) -> Iterator[bytes]:
        return (shard.read(name) for shard in self._shards())

    def _lines(self, name: str, parts: Iterable[bytes]) -> Output:
        with being_written(self._out / name) as file:
            hashed = Hashed(file)
            for part in parts:
                hashed.write(part)
        return Output(hashed.length, hashed.digest)

    def _scores(self) -> Output:
        from cds.batch.columns import parquet, table  # pyarrow: no other command waits for it

        with being_written(self._out / SCORES) as file:
            hashed = Hashed(file)
            with parquet(hashed) as writer:
                for section in self._sections("rows"):
                    if batches := [batch for _, _, batch in unframed(section)]:
                        writer.write_table(table(batches))
        return Output(hashed.length, hashed.digest)

    def _rejects(self, ranges: list[RangeTold]) -> Iterator[bytes]:
        """Of the scan first, then of the shards: (file, line, reason), lines counted from 1 in their file."""
        before = list(_lines_before(self._plan.ranges, ranges))
        for part in ranges:
            yield from (self._reject(one, before) for one in part.rejects)
        for shard in self._shards():
            yield from (self._reject(one, before) for one in shard.header.rejects)

    def _reject(self, one: Reject, before: list[int]) -> bytes:
        source = self._plan.export.files[self._plan.ranges[one.range].source]
        told = {"file": source.name, "line": before[one.range] + one.line, "reason": one.reason}
        return json.encode(told) + b"\n"

    def report(self, ranges: list[RangeTold], outputs: Mapping[str, Output], digests: list[str]) -> dict[str, Any]:
        """What run.json says, but for timings: counts that add up, versions, and digests of inputs and outputs."""
        plan, shards = self._plan, [shard.header for shard in self._shards()]
        lines = [0] * len(plan.export.files)
        for part, told in zip(plan.ranges, ranges, strict=True):
            lines[part.source] += told.lines
        inputs = [
            {"file": file.name, "bytes": file.length, "lines": count, "sha256": digest}
            for file, count, digest in zip(plan.export.files, lines, digests, strict=True)
        ]
        in_scan, in_shards = (sum(len(told.rejects) for told in part) for part in (ranges, shards))
        return {
            "bedside": plan.bedside,
            "pyarrow": version("pyarrow"),
            "at": _instant(plan.at),
            "models": [json.decode(json.encode(model)) for model in plan.models],
            "codes": plan.vocabulary,
            "reads": plan.reads,
            "code": plan.code,
            "export": {
                "transaction_time": plan.export.as_of,
                "errors": plan.export.errors,
                "narrowed": list(dict.fromkeys(one for part in plan.export.asked if part for one in part.narrowed)),
                "not_found": self._not_found(ranges),
            },
            "inputs": inputs,
            "ignored": list(plan.export.ignored),
            "lines": {"in": sum(lines), "kept": sum(told.kept for told in ranges), "rejected": in_scan + in_shards},
            "patients": sum(shard.patients for shard in shards),
            "outcomes": _added([shard.counts for shard in shards]),
            "shards": plan.shards,
            "prior": plan.prior,
            "outputs": {name: {"bytes": one.bytes, "sha256": one.sha256} for name, one in outputs.items()},
        }

    def _not_found(self, ranges: list[RangeTold]) -> list[str]:
        """Types that the models read and of which there was nothing they read; of changes, that says nothing."""
        found = {kind for told in ranges for kind in told.kinds}
        return [] if self._plan.prior is not None else [kind for kind in self._plan.types if kind not in found]

    def close(self, report: dict[str, Any], replaced: list[tuple[str, str]]) -> None:
        """Move the charts into their place, write run.json last, and clear away what was in between."""
        clear_drafts(self._out, *OUTPUTS)
        if not (self._out / CHARTS).exists():
            clear_drafts(self._work.charts)
            write_durably(self._work.charts / REPLACED, [json.encode(replaced)])
            settle(self._work.charts)
            self._work.charts.rename(self._out / CHARTS)
            settle(self._out)
        write_durably(self._out / RUN, [json.format(json.encode(report), indent=2), b"\n"])
        self._work.remove()


def _lines_before(parts: tuple[Range, ...], ranges: list[RangeTold]) -> Iterator[int]:
    """For each range, how many lines of its file stand before it."""
    count, source = 0, -1
    for part, told in zip(parts, ranges, strict=True):
        if part.source != source:
            count, source = 0, part.source
        yield count
        count += told.lines


def _added(counts: list[dict[str, dict[str, dict[str, int]]]]) -> dict[str, Any]:
    """The counts of all shards: by model the scored, and the others by reason, in the order of the reasons."""
    total: dict[str, dict[str, dict[str, int]]] = {}
    for shard in counts:
        for model, outcomes in shard.items():
            for outcome, reasons in outcomes.items():
                sums = total.setdefault(model, {}).setdefault(outcome, {})
                for reason, number in reasons.items():
                    sums[reason] = sums.get(reason, 0) + number
    return {
        model: {
            "scored": outcomes.get("risk", {}).get("", 0),
            "not_scored": dict(sorted(outcomes.get("not-scored", {}).items())),
            "rejected": dict(sorted(outcomes.get("rejected", {}).items())),
        }
        for model, outcomes in sorted(total.items())
    }


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
