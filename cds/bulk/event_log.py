"""Writes what an export does in the Bulk Data log format: an event a line, and of no patient a word."""

import errno
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from cds.bulk.kickoff import ExportRequest
from cds.bulk.plan import Entry, Kept

_PROGRESS = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3})?)\s*%")
_TOLD_HEADERS = ("content-location", "content-type", "date", "retry-after", "preference-applied")


_LASTING = ("kickoff", "export_complete")
"""What no later run would say again."""


class _Named(Struct, frozen=True, rename="camel"):
    """The members of a line that say what happened to which export."""

    export_id: str
    event_id: str


class EventLog:
    """Appends to log.ndjson. URLs stand there without their queries, and files by our own names for them.

    The events and their members are those of the SMART bulk-data-client ("Bulk Data Export Log Items").
    """

    def __init__(self, path: Path, export_id: str, clock: Callable[[], datetime]) -> None:
        self._path, self._id, self._clock = path, export_id, clock

    def write(self, event: str, **detail: Any) -> None:
        """One line, in one write: who reads along sees whole events. Raises OSError when it does not fit the disk.

        It begins a line of its own, whatever a power cut left of the one before.
        """
        said = {"exportId": self._id, "timestamp": self._clock(), "eventId": event, "eventDetail": detail}
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            length = os.fstat(descriptor).st_size
            torn = length > 0 and os.pread(descriptor, 1, length - 1) != b"\n"
            line = (b"\n" if torn else b"") + msgspec.json.encode(said) + b"\n"
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if event in _LASTING:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def tells(self, event: str) -> bool:
        """Whether the log has such an event of this export; a line that a power cut tore tells nothing."""
        if not self._path.exists():
            return False
        with self._path.open("rb") as lines:
            return any(_is_event(line, event, self._id) for line in lines)

    def kickoff(self, base: str, request: ExportRequest, headers: Mapping[str, str], error: str | None = None) -> None:
        self.write(
            "kickoff", exportUrl=f"{base}/{request.path()}", errorCode=error, softwareName="Bedside",
            softwareVersion=_version(), requestParameters=request.told(),
            responseHeaders={name: bare(headers[name]) for name in _TOLD_HEADERS if name in headers},
        )  # fmt: skip

    def status_progress(self, words: str, wait: float) -> None:
        """Of the server's words only a percentage is kept."""
        found = _PROGRESS.search(words)
        self.write("status_progress", xProgress=f"{found[1]}%" if found else None, retryAfter=round(wait, 3))

    def status_error(self, status: int, codes: str) -> None:
        self.write("status_error", code=status, message=codes.strip(" ()") or None)

    def status_page_complete(self, time: str | None, files: Sequence[int]) -> None:
        """`files`: output, deleted, error."""
        output, deleted, error = files
        self.write("status_page_complete", transactionTime=time, outputFileCount=output, deletedFileCount=deleted,
                   errorFileCount=error)  # fmt: skip

    def status_complete(self, time: str | None) -> None:
        self.write("status_complete", transactionTime=time)

    def manifest_complete(self, time: str | None, files: Sequence[int], pages: int) -> None:
        """`files`: output, deleted, error, of all pages."""
        output, deleted, error = files
        self.write("manifest_complete", transactionTime=time, totalOutputFileCount=output,
                   totalDeletedFileCount=deleted, totalErrorFileCount=error, totalManifests=pages)  # fmt: skip

    def download_request(self, entry: Entry) -> None:
        self.write("download_request", fileUrl=entry.name, itemType=entry.kind, resourceType=entry.type)

    def download_complete(self, entry: Entry, kept: Kept) -> None:
        self.write("download_complete", fileUrl=entry.name, resourceCount=kept.lines, fileSize=kept.bytes)

    def download_error(self, entry: Entry, message: str, status: int | None = None) -> None:
        self.write("download_error", fileUrl=entry.name, code=status, message=message)

    def export_complete(self, files: int, resources: int, size: int, milliseconds: int) -> None:
        self.write("export_complete", files=files, resources=resources, bytes=size, attachments=0,
                   duration=milliseconds)  # fmt: skip


def _is_event(line: bytes, event: str, export_id: str) -> bool:
    if event.encode() not in line:
        return False
    try:
        found = msgspec.json.decode(line, type=_Named)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return (found.event_id, found.export_id) == (event, export_id)


def bare(text: str) -> str:
    """A URL without its query, in which a secret may stand; other texts as they are."""
    return text.partition("?")[0]


def _version() -> str:
    try:
        return version("bedside")
    except PackageNotFoundError:
        return "unknown"
