"""What `bedside export` recorded of a folder's files: which there are, as of when, and what was asked for."""

import posixpath
from collections.abc import Iterable
from pathlib import Path

from msgspec import MsgspecError, Struct, convert, field, json, structs

from cds.batch.asked import Asked, Request
from cds.batch.places import is_there, reached
from cds.errors import ExportUnreadable

RECORD = "export.json"
"""What `bedside export` leaves beside its files."""
NOT_DATA = frozenset({"log.ndjson", "finished.ndjson", "rejects.ndjson"})
"""What an exporter, or a run, leaves that is no data."""


class _OnDisk(Struct):
    bytes: int
    sha256: str


class _File(Struct):
    """A file as export.json tells of it."""

    name: str
    type: str
    kind: str = "output"
    kept: _OnDisk | None = None


class ExportRecord(Struct):
    """export.json, as far as a run reads it."""

    state: str = "complete"
    files: list[_File] = field(default_factory=list)
    base: str | None = None
    severities: dict[str, int] = field(default_factory=dict)
    transaction_time: str | None = None
    request: Request = Request()
    adopted: bool = False

    @property
    def as_of(self) -> str | None:
        return self.request.end(self.transaction_time)

    def asked(self) -> Asked | None:
        """None where nobody recorded it."""
        found = self.request.asked()
        return structs.replace(found, as_of=self.as_of, surely=not self.adopted) if found else None


def recorded(place: str) -> ExportRecord | None:
    """What a folder's export says of itself; None where nothing does. Raises ExportUnreadable when it has not ended."""
    path = posixpath.join(place, RECORD)
    if not is_there(path):
        return None
    system, path_there = reached(path)
    try:
        said = json.decode(system.cat_file(path_there))
        if not isinstance(said, dict) or "resourceType" in said or not {"state", "files"} <= said.keys():
            return None  # somebody else's file of that name
        record = convert(said, ExportRecord)
    except (MsgspecError, UnicodeDecodeError, OSError):
        raise ExportUnreadable(f"{RECORD} cannot be read: export again") from None
    if record.state != "complete":
        raise ExportUnreadable("this export is not complete: run the same `bedside export` again to finish it")
    return record


def asked_in(places: Iterable[str]) -> tuple[Asked | None, ...]:
    """What each place was asked for; None for a file, and for a folder in which nobody recorded it."""
    found = (recorded(place) if Path(place).is_dir() else None for place in places)
    return tuple(record.asked() if record else None for record in found)
