"""Keeps on disk how far an export has come, so that whatever ends the process ends nothing else."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from cds.batch.durable import made, settle
from cds.bulk.failed import ExportFailed, NotThisExport
from cds.bulk.plan import Entry, Kept, digests_of

FILE = "export.json"
JOURNAL = "finished.ndjson"
LOG = "log.ndjson"
_DRAFT = f".{FILE}.part"
FORMAT = 1

State = Literal["running", "complete", "cancelled"]


class Record(Struct, kw_only=True):
    """`export.json`. `status_url` stands there until the server has been told that its files are not needed any more.

    `status_digest` (SHA-256) says afterwards which it was.
    `severities`: the issues of the export's own OperationOutcomes, by severity.
    """

    format: int = FORMAT
    state: State = "running"
    export_id: str
    base: str
    request: dict[str, Any]
    request_digest: str
    began: datetime
    ended: datetime | None = None
    status_url: str | None = None
    status_digest: str = ""
    separate_status: bool = False
    adopted: bool = False
    unanswered: bool = False
    """Whether an earlier start in this folder ended before the server's answer was on the disk."""
    transaction_time: str | None = None
    pages: int = 0
    files: list[Entry] = []
    severities: dict[str, int] = {}

    def status_known_as(self) -> str:
        """SHA-256 of the status URL, also when the server has nothing of it any more; empty when that is not known."""
        return digests_of(self.status_url)[0] if self.status_url is not None else self.status_digest


class _Finished(Struct, frozen=True):
    """`address`: which of the files that a manifest had in this place; empty in journals of earlier versions."""

    name: str
    kept: Kept
    address: str = ""


class Checkpoint:
    """The record of one folder. What must survive a power cut is on the disk when a method returns."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder, self.record = folder, record

    @classmethod
    def found(cls, folder: Path) -> "Checkpoint | None":
        """The record that stands in the folder, with every file that had been finished. None: there is no export.

        Raises NotThisExport for a folder with something else in it, or with a record that we cannot read.
        """
        path = folder / FILE
        if not path.exists():
            if any(one.name not in (LOG, _DRAFT) for one in folder.iterdir()):
                raise NotThisExport(f"{folder}: there are files, and no {FILE}: choose an empty folder")
            return None
        record = read_record(folder)
        names = {one.name: one for one in record.files}
        for done in _journal(folder / JOURNAL):
            if done.name in names and done.address in ("", names[done.name].address):
                names[done.name].kept = done.kept
        for one in record.files:
            if one.kept is not None and _size(folder / one.name) != one.kept.bytes:
                one.kept = None  # somebody took it away or changed it: it is fetched again
        return cls(folder, record)

    @property
    def unanswered(self) -> bool:
        """Whether a process ended between the export's start and its server's answer."""
        record = self.record
        return record.state == "running" and record.status_url is None and not record.files

    def remove(self) -> None:
        """Nothing has begun: the folder is as it was."""
        (self.folder / FILE).unlink()
        settle(self.folder)

    def save(self) -> None:
        """Replace export.json, whole."""
        write_durably(self.folder / FILE, msgspec.json.format(msgspec.json.encode(self.record), indent=1))

    def finished(self, entry: Entry, kept: Kept) -> None:
        """Remember one file, in a journal: writing the whole record each time would take longer than many a file."""
        entry.kept = kept
        path = self.folder / JOURNAL
        new = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, b"\n" + msgspec.json.encode(_Finished(entry.name, kept, entry.address)) + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if new:
            settle(self.folder)

    def end(self, state: State, when: datetime) -> None:
        """Every file is there, or will never be: the journal is part of the record from now on."""
        self.record.state, self.record.ended = state, when
        self.save()
        self.drop_journal()

    def drop_journal(self) -> None:
        """Also when an earlier process ended between the two steps of `end`."""
        (self.folder / JOURNAL).unlink(missing_ok=True)

    def forget_status(self) -> None:
        """The server has nothing of this export any more."""
        self.record.status_digest = self.record.status_known_as()
        self.record.status_url = None
        self.save()


def read_record(folder: Path) -> Record:
    """export.json of a folder. Raises NotThisExport when it cannot be read."""
    try:
        record = msgspec.json.decode((folder / FILE).read_bytes(), type=Record)
    except OSError as error:
        raise NotThisExport(f"{folder / FILE}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise NotThisExport(f"{folder / FILE}: this is no record of an export") from None
    if record.format != FORMAT:
        raise NotThisExport(f"{folder / FILE}: written by another version of Bedside")
    return record


def _journal(path: Path) -> Iterator[_Finished]:
    """Each line that is whole; the last one of a process that was killed may not be."""
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n"):
        try:
            yield msgspec.json.decode(line, type=_Finished)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def write_durably(path: Path, content: bytes) -> None:
    """All of it or nothing, also when the power goes."""
    draft = path.with_name(f".{path.name}.part")  # beside its place, since only there a rename is one step
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    settle(path.parent)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder and keep every other export out of it. Raises ExportFailed when one is at work there."""
    made(folder, mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ExportFailed(f"{folder}: another export is at work in this folder") from None
        yield
    finally:
        os.close(descriptor)
