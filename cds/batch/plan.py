"""What a run is to do, fixed before it begins: whoever takes it up after a kill does the same, to the byte."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from msgspec import MsgspecError, Struct, json, structs

from cds.batch.asked import later, refuse_gap, refuse_unasked
from cds.batch.durable import write_durably
from cds.batch.prefilter import Engine
from cds.batch.scorers import Scorers
from cds.batch.sources import Export, Range
from cds.errors import RequestError

SHARD_BYTES, SMALL_SHARD_BYTES = 32 << 20, 8 << 20
"""Of the export, for each shard: the most that a process holds at once is what comes of that much.

Where there are few, they are small: of an export with nothing in it but what is read, even those hold many patients.
"""
FEWEST_SHARDS, MANY_SHARDS, MOST_SHARDS = 8, 128, 4096


def shards_for(length: int) -> int:
    """Into how many shards the patients of an export of so many bytes are sorted."""
    many = max(min(length // SMALL_SHARD_BYTES, MANY_SHARDS), length // SHARD_BYTES)
    return min(max(many, FEWEST_SHARDS), MOST_SHARDS)


class Modelled(Struct, frozen=True):
    """A model as it was when the run began."""

    id: str
    version: str
    settings: Mapping[str, Any]


class Plan(Struct, frozen=True):
    """`at`: the instant as of which is scored; `prior`: the folder of the run before, whose charts are taken over."""

    bedside: str
    at: datetime
    models: tuple[Modelled, ...]
    vocabulary: str
    """A digest of the site's own codes and units."""
    reads: str
    """A digest of what is kept of an export."""
    code: str
    """A digest of the code that scores."""
    export: Export
    types: tuple[str, ...]
    """Types of resources that the models read."""
    shards: int
    engine: Engine
    prior: str | None = None
    prior_run: str | None = None
    """The digest of that run's run.json."""

    @property
    def ranges(self) -> tuple[Range, ...]:
        return self.export.ranges()


def planned(
    scorers: Scorers,
    export: Export,
    at: datetime,
    *,
    engine: Engine,
    shards: int | None = None,
    prior: str | None = None,
) -> Plan:
    """A plan for scoring an export; `shards` is the prior run's number where there is one.

    Raises RequestError when `at` has no time zone, or when the export was not asked for all that the models read.
    """
    refuse_unasked(export.asked, scorers.needs, scorers.vocabulary, changes=prior is not None)
    before = _end_of(prior) if prior is not None else None
    refuse_gap(export.asked, before, alone=prior is None)
    export = structs.replace(export, as_of=later(export.as_of, before) if export.as_of else None)
    return Plan(
        bedside=version("bedside"),
        at=with_zone(at).replace(microsecond=0),
        models=tuple(Modelled(m.id, m.version, m.recorded_settings) for m in scorers.models),
        vocabulary=scorers.fingerprint,
        reads=scorers.reads,
        code=scorers.code,
        export=export,
        types=tuple(dict.fromkeys(need.resource_type for need in scorers.needs)),
        shards=shards or shards_for(export.length),
        engine=engine,
        prior=prior,
        prior_run=sha256((Path(prior) / "run.json").read_bytes()).hexdigest() if prior else None,
    )


def _end_of(prior: str) -> str | None:
    """Up to when the data of the run before tell all."""
    told = json.decode((Path(prior) / "run.json").read_bytes(), type=_Told)
    return told.export.transaction_time


class _Exported(Struct, frozen=True):
    transaction_time: str | None = None


class _Told(Struct, frozen=True):
    export: _Exported = _Exported()


def with_zone(at: datetime) -> datetime:
    """Raises RequestError for an instant that is another one on each machine."""
    if at.tzinfo is None:
        raise RequestError("`at` needs a time zone: datetime(2026, 11, 22, tzinfo=UTC)")
    return at


def same_or_told(before: Plan, now: Plan) -> Plan:
    """The plan to go on with. Raises RequestError that says what has changed since the run began.

    The instant and the number of shards are those of the beginning; any prefilter finds the same.
    """
    changed: list[str] = []
    if before.bedside != now.bedside:
        changed.append(f"Bedside was {before.bedside} and is {now.bedside}")
    if before.models != now.models or before.vocabulary != now.vocabulary:
        changed.append("the models, their settings, or the site's codes and units have changed")
    elif before.code != now.code:
        changed.append("the code or the tables of Bedside, or of a model, have changed")
    if (before.prior, before.prior_run) != (now.prior, now.prior_run):
        changed.append("--prior names another run")
    changed += _changed_files(before.export, now.export)
    if changed:
        raise RequestError(f"this run cannot be resumed: {'; '.join(changed)}. Begin it anew in another folder")
    return before


def _changed_files(before: Export, now: Export) -> Sequence[str]:
    """Only of what is read: a note that somebody lays beside the files changes nothing."""
    if (before.files, before.deleted) == (now.files, now.deleted):
        return []
    then, there = ({file.place: file for file in (*e.files, *e.deleted)} for e in (before, now))
    differing = [file.name for place, file in then.items() if there.get(place) != file]
    return [f"{name} has changed" for name in differing] or ["there are more files"]


def save(plan: Plan, path: Path) -> None:
    write_durably(path, [json.encode(plan)])


def load(path: Path) -> Plan:
    """Raises RequestError when it cannot be read."""
    try:
        return json.decode(path.read_bytes(), type=Plan)
    except (OSError, MsgspecError):
        raise RequestError(f"{path} cannot be read: begin the run anew in another folder") from None
