"""Remembers in the run's own folder what was sent to one server and what came of it, across any kill."""

import fcntl
import os
from contextlib import suppress
from hashlib import sha256
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec
from msgspec import Struct, structs

from cds.batch.durable import settle
from cds.bulk.provenance import Activity
from cds.errors import RunUnusable

Did = Literal["sent", "there", "told", "not ours", "failed", "begun", "ended", "followed"]
"""The first five of one result; the others of the run: it is written here, it was to its end, and a later one is."""


class Known(Struct, frozen=True, gc=False):
    """What is known of one result: the content that the server was last seen to keep, and what was sent and told."""

    digest: str | None = None
    version: str | None = None
    server_id: str | None = None
    sent: str | None = None
    activity: Activity | None = None
    told: str | None = None
    """The digest for which a Provenance is there."""

    def owes(self, content: str) -> bool:
        """Whether this content was sent by us, and nothing tells yet that it was."""
        return self.sent == content and self.told != content

    def unheard(self, content: str) -> bool:
        """Whether this content was sent by us, and nobody knows what came of it."""
        return self.sent == content and self.digest != content


class Noted(Struct, frozen=True, omit_defaults=True):
    """One line of the file. No patient stands in it; results do, by their ids.

    Of a run, `digest` is that of its run.json, and `file` the folder of the one that follows.
    """

    did: Did
    id: str = ""
    digest: str = ""
    version: str | None = None
    server_id: str | None = None
    activity: Activity | None = None
    file: str = ""
    line: int = 0
    status: int | None = None


class AtWork(RunUnusable):
    """Another `bedside write` holds the file."""


class WriteProgress:
    """The file `write-….jsonl` of a run's folder and a server. What the server keeps is always asked of the server.

    As a context manager it holds the file alone, and writes; otherwise it only reads. Raises RunUnusable.
    """

    def __init__(self, folder: Path, base: str) -> None:
        self.path = folder / f"write-{sha256(base.encode()).hexdigest()[:16]}.jsonl"
        self._forget()
        self._file: FileIO | None = None
        self._waiting: list[Noted] = []
        if self.path.exists():
            try:
                self._read(self.path.read_bytes())
            except OSError as error:
                raise self._unusable(error) from None

    def _forget(self) -> None:
        self._known: dict[str, Known] = {}
        self.begun: str | None = None
        """The digest of the run that was begun."""
        self.ended: str | None = None
        """The digest of the run of which nothing is left to be done."""
        self.followers: set[tuple[str, str]] = set()
        """Folder and digest of the runs that followed this one, and were begun here."""

    @property
    def of_an_earlier_version(self) -> bool:
        """Whether results were written by a version that noted nothing of the run itself."""
        return self.begun is None and bool(self._known)

    def __enter__(self) -> "WriteProgress":
        try:
            file = FileIO(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+")
        except OSError as error:
            raise self._unusable(error) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise AtWork(f"{self.path}: another `bedside write` is at work on this folder") from None
        try:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)  # the line in which a kill fell
            os.fsync(file.fileno())
            # Its name too, and each time: whoever made it may have been killed. Without it no Provenance would be owed.
            settle(self.path.parent)
        except OSError as error:
            file.close()
            raise self._unusable(error) from None
        self._forget()
        self._read(content)
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with suppress(OSError):  # what `keep` was told to bring to the disk is there, or it raised
                self._file.close()
            self._file = None

    def of(self, id_: str) -> Known | None:
        return self._known.get(id_)

    def note(self, noted: Noted) -> None:
        """Take it to heart; it is on the disk after `keep`."""
        self._apply(noted)
        self._waiting.append(noted)

    def keep(self) -> None:
        """Bring all that was noted to the disk; it waits for the next time where the disk takes it not. RunUnusable."""
        if self._file is not None and self._waiting:
            self._append(self._file, b"".join(msgspec.json.encode(noted) + b"\n" for noted in self._waiting))
        self._waiting.clear()

    def _append(self, file: FileIO, lines: bytes) -> None:
        """All of it or nothing."""
        before, left = os.fstat(file.fileno()).st_size, memoryview(lines)
        try:
            while left:
                left = left[file.write(left) or 0 :]
            os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                file.truncate(before)
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> RunUnusable:
        return RunUnusable(f"{self.path}: {error.strerror}; the run's folder must be writable, with room for progress")

    def _read(self, content: bytes) -> None:
        for line in content.split(b"\n")[:-1]:
            try:
                self._apply(msgspec.json.decode(line, type=Noted))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue  # what cannot be read is not known, and is asked of the server as everything is

    def _apply(self, noted: Noted) -> None:
        if noted.did == "begun":
            self.begun = noted.digest
        elif noted.did == "ended":
            self.ended = noted.digest
        elif noted.did == "followed":
            self.followers.add((noted.file, noted.digest))
        else:
            self._apply_to_one(noted)

    def _apply_to_one(self, noted: Noted) -> None:
        known = self._known.get(noted.id) or Known()
        if noted.did in ("sent", "failed"):
            self.ended = None  # until the run comes to its end again
        if noted.did == "sent":
            known = structs.replace(known, sent=noted.digest, activity=noted.activity)
        elif noted.did == "there":
            known = structs.replace(known, digest=noted.digest, version=noted.version, server_id=noted.server_id)
        elif noted.did == "told":
            known = structs.replace(known, told=noted.digest)
        elif noted.did == "not ours":
            known = structs.replace(known, sent=None, activity=None)
        else:
            return
        self._known[noted.id] = known
