"""Keeps a run and those before it in order on one server: what one of them lacks there, no later one brings."""

from collections.abc import Iterator
from pathlib import Path

from cds.bulk.run_folder import Record, RunFolder, open_run, read_record
from cds.bulk.write_progress import AtWork, Noted, WriteProgress
from cds.errors import RunUnusable, UnsafeToWrite

_OR = "or go on without what only it holds: --despite-prior"


def refuse_gap(run: Record, progress: WriteProgress, base: str) -> None:
    """Raises UnsafeToWrite when the run before this one was not written to this server to its end.

    A result of it that did not change since stands in no later file. Once a run was begun there, that is settled.
    """
    if run.prior is None or progress.begun == run.digest or progress.of_an_earlier_version:
        return
    before = _before(run)
    if before is None:
        raise UnsafeToWrite(
            f"the run before this one, {run.prior}, is not there any more: nobody can see whether it was written to "
            f"this server. Put it back there (a link will do), {_OR}"
        )
    there = WriteProgress(before.folder, base)
    if there.ended != before.digest:
        how = "not to its end" if there.begun == before.digest else "not at all"
        how = "not to its end as far as is known" if there.of_an_earlier_version else how
        raise UnsafeToWrite(
            f"the run before this one, {run.prior}, was written to this server {how}, and this one holds only what "
            f"changed since: nothing was written. Write that one first, {_OR}"
        )


def leave_word(run: Record, base: str, *, despite_prior: bool = False) -> None:
    """Lets the runs before this one know that it is written here, so that they bring back nothing that it retracts.

    The oldest first: a kill in between leaves none of them out the next time. Raises RunUnusable where one cannot be
    told, but `despite_prior`.
    """
    for before, after in reversed(list(_untold(run, base))):
        try:
            with WriteProgress(before.folder, base) as progress:
                progress.note(Noted("followed", digest=after.digest, file=str(after.folder)))
                progress.keep()
        except AtWork:
            raise
        except RunUnusable as fault:
            if not despite_prior:
                raise RunUnusable(f"{fault.message}, {_OR}") from None


def retracted_later(run: Record, progress: WriteProgress, base: str) -> frozenset[str]:
    """The ids that the runs after this one retract, as far as any of them was begun here.

    Raises UnsafeToWrite when that cannot be seen.
    """
    found: set[str] = set()
    seen, left = {str(run.folder)}, list(progress.followers)
    while left:
        folder, digest = left.pop()
        if folder not in seen:
            found |= _retracted(Path(folder), digest)
            left += WriteProgress(Path(folder), base).followers
        seen.add(folder)
    return frozenset(found)


def _retracted(folder: Path, digest: str) -> set[str]:
    try:
        later = open_run(folder)
        if later.record.digest == digest:
            return _ids(later)
    except RunUnusable:
        pass
    raise UnsafeToWrite(
        f"a later run, {folder}, was written to this server, and is not there as it was: what it retracts must not be "
        "written again, and cannot be seen. Put it back there (a link will do)"
    )


def _ids(run: RunFolder) -> set[str]:
    return {entry.id for entry in run.entries() if entry.retracts}


def _untold(run: Record, base: str) -> Iterator[tuple[Record, Record]]:
    """The runs before, each with the one after it, back to the first that knows of it: from there on all know."""
    seen = {run.folder}
    while (before := _before(run)) is not None and before.folder not in seen:
        if (str(run.folder), run.digest) in _followers(before.folder, base):
            return
        yield before, run
        seen.add(before.folder)
        run = before


def _followers(folder: Path, base: str) -> set[tuple[str, str]]:
    try:
        return WriteProgress(folder, base).followers
    except RunUnusable:
        return set()  # whoever leaves word there meets the same, and says so


def _before(run: Record) -> Record | None:
    """None where there is none any more; a run that ended later has taken its folder."""
    try:
        found = read_record(run.prior) if run.prior is not None else None
    except RunUnusable:
        return None
    another = found is not None and found.digest != run.digest and found.ended <= run.ended
    return found if another else None
