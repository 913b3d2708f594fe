"""Writes the Provenance of results that were written, each once."""

from collections.abc import Sequence
from typing import NamedTuple

from cds.bulk.capability import Abilities
from cds.bulk.content import Json
from cds.bulk.looking import by_id
from cds.bulk.provenance import Activity, provenance
from cds.bulk.run_folder import Entry, RunFolder
from cds.bulk.sending import Write, insist
from cds.bulk.tally import Tally
from cds.bulk.target import Target
from cds.bulk.write_progress import Noted, WriteProgress

_KIND = "Provenance"


class Made(NamedTuple):
    """A result that the server keeps under `server_id` since we wrote it."""

    entry: Entry
    server_id: str
    activity: Activity


async def tell(
    made: Sequence[Made], run: RunFolder, target: Target, abilities: Abilities, progress: WriteProgress, tally: Tally
) -> None:
    """After the results, not with them: a server may refuse a Provenance of what it does not keep yet.

    Raises DataUnavailable; the next run tells what this one then owes.
    """
    if abilities.provenance is None:
        tally.provenance["not taken"] += len(made)
        return
    told = [(one, provenance(one.entry, one.server_id, one.activity, run.version, run.recorded)) for one in made]
    if abilities.provenance == "put" and told:
        ids = [str(resource["id"]) for _, resource in told]
        there = await by_id(target, _KIND, ids, searchable=_KIND in abilities.found_by_id)
        for one in (one for one, resource in told if resource["id"] in there):
            tally.provenance["unchanged"] += 1
            _note(one, progress)
        told = [(one, resource) for one, resource in told if resource["id"] not in there]
    writes = [_write(resource, abilities) for _, resource in told]
    for (one, _), outcome in zip(told, await insist(target, writes, bundles=abilities.bundles), strict=True):
        tally.provenance["written" if outcome.ok else "failed"] += 1
        if outcome.ok:
            _note(one, progress)
    progress.keep()


def _note(one: Made, progress: WriteProgress) -> None:
    progress.note(Noted("told", one.entry.id, digest=one.entry.digest))


def _write(resource: Json, abilities: Abilities) -> Write:
    if abilities.provenance == "put":
        return Write("PUT", f"{_KIND}/{resource['id']}", resource)
    target, recorded = resource["target"][0]["reference"], resource["recorded"].replace("+", "%2B")
    without_id = {name: value for name, value in resource.items() if name != "id"}
    return Write("POST", _KIND, without_id, unless=f"target={target}&recorded={recorded}")
