"""Writes the Provenance of results that were written, each once."""

from collections.abc import Sequence
from typing import NamedTuple

from cds.bulk.capability import Abilities
from cds.bulk.content import Json
from cds.bulk.looking import by_id
from cds.bulk.provenance import Activity, provenance
from cds.bulk.run_folder import Entry, RunFolder
from cds.bulk.sending import Write, send
from cds.bulk.tally import Tally
from cds.bulk.target import Target
from cds.bulk.write_progress import Noted, WriteProgress

_KIND = "Provenance"


class Made(NamedTuple):
    """A result that the server keeps under `server_id` since we wrote it."""

    entry: Entry
    server_id: str
    activity: Activity


_Told = tuple[Made, Json]


async def tell(
    made: Sequence[Made], run: RunFolder, target: Target, abilities: Abilities, progress: WriteProgress, tally: Tally
) -> None:
    """After the results, not with them: a server may refuse a Provenance of what it does not keep yet.

    Raises DataUnavailable; the next run tells what this one then owes.
    """
    if abilities.provenance is None:
        tally.provenance["not taken"] += len(made)
        return
    left = [(one, provenance(one.entry, one.server_id, one.activity, run.version, run.recorded)) for one in made]
    sent: set[str] = set()
    for attempt in range(target.patience.tries):
        if not left:
            break
        if attempt:
            await target.rest(attempt - 1)
        due = await _due(left, sent, target, abilities, progress, tally)
        sent |= {resource["id"] for _, resource in due}
        left = []
        outcomes = await send(target, [_write(one, abilities) for _, one in due], bundles=abilities.bundles)
        for told, outcome in zip(due, outcomes, strict=True):
            if outcome.passing:
                left.append(told)
                continue
            tally.provenance["written" if outcome.ok else "failed"] += 1
            if outcome.ok:
                _note(told[0], progress)
    tally.provenance["failed"] += len(left)
    progress.keep()


async def _due(
    told: list[_Told], sent: set[str], target: Target, abilities: Abilities, progress: WriteProgress, tally: Tally
) -> list[_Told]:
    """Those that are not there yet; the others are counted. A conditional create looks for itself."""
    if abilities.provenance != "put":
        return told
    ids = [str(resource["id"]) for _, resource in told]
    there = await by_id(target, _KIND, ids, searchable=_KIND in abilities.found_by_id)
    for one, resource in told:
        if resource["id"] in there:
            tally.provenance["written" if resource["id"] in sent else "unchanged"] += 1
            _note(one, progress)
    return [(one, resource) for one, resource in told if resource["id"] not in there]


def _note(one: Made, progress: WriteProgress) -> None:
    progress.note(Noted("told", one.entry.id, digest=one.entry.digest))


def _write(resource: Json, abilities: Abilities) -> Write:
    if abilities.provenance == "put":
        return Write("PUT", f"{_KIND}/{resource['id']}", resource)
    target, recorded = resource["target"][0]["reference"], resource["recorded"].replace("+", "%2B")
    without_id = {name: value for name, value in resource.items() if name != "id"}
    return Write("POST", _KIND, without_id, unless=f"target={target}&recorded={recorded}")
