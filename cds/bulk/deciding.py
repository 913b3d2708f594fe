"""Decides what becomes of one result, given what the server keeps under its id or identifier (D34)."""

from datetime import datetime
from typing import Any, Literal

from cds.bulk.content import Json, digest, same, version_of
from cds.bulk.run_folder import RETRACTION, STANDING, Entry, identifiers
from cds.bulk.write_progress import Known

Step = Literal["create", "update", "retract", "unchanged", "nothing there", "changed there"]
WRITES: tuple[Step, ...] = ("create", "update", "retract")


def decide(
    entry: Entry, there: Json | None, known: Known | None, base: str, ended: str, *, overwrite: bool = False
) -> Step:
    """What to do with a result of a run that `ended` at this instant. `known`: what the progress file tells of it.

    What somebody else did there, stands; and so does what a later run of ours wrote.
    """
    if entry.retracts:
        return _retraction(entry, there, known, base, ended, overwrite=overwrite)
    if there is None:
        # It was there when we last looked: somebody removed it, and may have had a reason.
        return "changed there" if known and known.digest and not overwrite else "create"
    if same(entry.resource, there, base, but=("id",)):
        return "unchanged"
    if known and known.unheard(entry.digest) and _but_for_identifiers(entry, there, base):
        return "unchanged"
    if overwrite:
        return "update"
    if there.get("status") not in STANDING:
        return "changed there"
    if _as_we_left_it(there, known):
        # The very content that was sent is kept in other words: the server's, not somebody's.
        return "unchanged" if known and known.digest == entry.digest else "update"
    return "update" if _an_earlier_one(entry, there, known, base, ended) else "changed there"


def _but_for_identifiers(entry: Entry, there: Json, base: str) -> bool:
    """Whether it says what was sent, under our identifier and others: a server may give each result one of its own.

    Of the version that a write led to nothing was heard, so anything else that differs may be a person's.
    """
    return same(entry.resource, there, base, but=("id", "identifier")) and entry.value in identifiers(there)


def _retraction(
    entry: Entry, there: Json | None, known: Known | None, base: str, ended: str, *, overwrite: bool
) -> Step:
    if there is None:
        return "nothing there"
    if there.get("status") == RETRACTION:
        return "unchanged"
    untouched = there.get("status") in STANDING and (
        same(entry.resource, there, base, but=("id", "status"))
        or _as_we_left_it(there, known)
        or _an_earlier_one(entry, there, known, base, ended)
    )
    return "retract" if untouched or overwrite else "changed there"


def _as_we_left_it(there: Json, known: Known | None) -> bool:
    """By the version that our last write led to; by its content, where that is not known."""
    if known is None:
        return False
    if known.version is not None and known.version == version_of(there):
        return True
    content = digest(there)
    # Sent, and then a kill: its version was never heard of. Or a server that keeps no versions.
    return content == known.sent or (known.version is None and content == known.digest)


def _an_earlier_one(entry: Entry, there: Json, known: Known | None, base: str, ended: str) -> bool:
    """Whether it is a result of ours with other numbers, as far as it tells by itself; progress would tell better.

    It is final, about the same person, of no later instant, and nobody wrote it after this run ended: a result of a
    later run is not taken back by an older one.
    """
    if known is not None and known.digest is not None:
        return False
    values = identifiers(there)
    if not values or entry.value in values or there.get("status") != "final":
        return False
    if not same({"subject": entry.resource["subject"]}, there, base):
        return False
    instant, written = entry.resource.get("occurrenceDateTime"), _member(there.get("meta"), "lastUpdated")
    return _not_after(there.get("occurrenceDateTime"), instant) and (written is None or _not_after(written, ended))


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _not_after(first: Any, second: Any) -> bool:
    """Of two instants; what is none is not known to be earlier."""
    try:
        return datetime.fromisoformat(first) <= datetime.fromisoformat(second)
    except (TypeError, ValueError):
        return False
