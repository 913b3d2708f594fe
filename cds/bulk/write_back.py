"""Opens a run and a server to one another: checks both before the first result is written."""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, structs

from cds.bulk.capability import Abilities, read_abilities
from cds.bulk.looking import by_id
from cds.bulk.order import leave_word, refuse_gap, retracted_later
from cds.bulk.run_folder import RunFolder, open_run
from cds.bulk.tally import Tally
from cds.bulk.target import Access, Patience, Target
from cds.bulk.write_progress import Noted, WriteProgress
from cds.bulk.writing import BATCH, Writing
from cds.errors import DataUnavailable, UnsafeToWrite
from cds.fhir.http import Transport, open_http


class Wanted(Struct, frozen=True):
    """How a run is to be written."""

    dry_run: bool = False
    overwrite: bool = False
    check_patients: bool = True
    provenance: bool = True
    despite_prior: bool = False
    """Also when the run before was not written there to its end."""
    batch: int = BATCH
    patience: Patience = Patience()


async def write_back(
    folder: Path,
    base: str,
    access: Access,
    wanted: Wanted,
    report: Callable[[Tally], None] = lambda _: None,
    transport: Transport | None = None,
) -> Tally:
    """Write the run in `folder` to the FHIR server at `base`, and tell what became of each line.

    Raises RunUnusable for the folder, UnsafeToWrite when the server cannot be written to repeatably, does not hold
    these patients or lacks the run before, and DataUnavailable when it is not to be had; nothing was written then.
    """
    run = open_run(folder)
    async with open_http(transport) as http:
        target = Target(http, base, access, wanted.patience)
        progress = WriteProgress(folder, target.base)
        if not wanted.despite_prior:
            refuse_gap(run.record, progress, target.base)
        abilities = await _abilities(target)
        if not wanted.provenance:
            abilities = structs.replace(abilities, provenance=None)
        if wanted.check_patients:
            await _meet(run, target, abilities)
        if wanted.dry_run:
            return await _writing(run, target, abilities, progress, wanted, report).would()
        with progress:
            leave_word(
                run.record, target.base, despite_prior=wanted.despite_prior or progress.begun == run.record.digest
            )
            _begin(run, progress)
            return await _writing(run, target, abilities, progress, wanted, report).write()


def _begin(run: RunFolder, progress: WriteProgress) -> None:
    if progress.begun != run.record.digest:
        progress.note(Noted("begun", digest=run.record.digest))
        progress.keep()


def _writing(
    run: RunFolder,
    target: Target,
    abilities: Abilities,
    progress: WriteProgress,
    wanted: Wanted,
    report: Callable[[Tally], None],
) -> Writing:
    void = retracted_later(run.record, progress, target.base)
    overwrite, size = wanted.overwrite, wanted.batch
    return Writing(run, target, abilities, progress, overwrite=overwrite, void=void, size=size, report=report)


async def _abilities(target: Target) -> Abilities:
    answer = await target.ask("GET", "metadata")
    document = answer.json()
    if answer.status != 200 or document is None:
        raise DataUnavailable(f"the server's metadata cannot be read (it answered {answer.status}): is it a FHIR base?")
    return read_abilities(document)


async def _meet(run: RunFolder, target: Target, abilities: Abilities) -> None:
    """Whether a sample of the run's patients are on this server: their references are relative, and name no server."""
    sample = run.patients()
    found = await by_id(target, "Patient", sample, searchable="Patient" in abilities.found_by_id)
    if missing := len(sample) - len(found):
        raise UnsafeToWrite(
            f"{missing} of {len(sample)} sampled patients are not on this server: nothing was written. Write to the "
            "server that the run's data came from (--no-check-patients if patients cannot be read there)"
        )
