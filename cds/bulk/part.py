"""A file while it is fetched: written under another name, counted and hashed on the way, and never half there."""

import asyncio
import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from cds.batch.durable import settle
from cds.bulk.plan import Kept

_BLANK = b" \t\r\n\xef\xbb\xbf"
"""White space and the byte order mark that some servers begin a file with."""
MOST_HELD = 64 * 1024 * 1024
"""Of a longer line, which no resource is, only the beginning and the last byte are looked at."""


class _Named(Struct):
    resourceType: str  # noqa: N815 - FHIR's name


class Part:
    """`path`.part until it is whole. `size`: the bytes so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(exist_ok=True, mode=0o700)
        self._draft = path.with_name(f"{path.name}.part")
        self._file = os.fdopen(os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self.restart()

    def restart(self) -> None:
        """Forget what was written."""
        self._file.seek(0)
        self._file.truncate()
        self._hash, self.size, self._lines = hashlib.sha256(), 0, 0
        self.headers = 0
        self._open, self._line = bytearray(), b""
        self._last = b""

    def write(self, piece: bytes) -> None:
        """Append. Raises OSError when the disk is full."""
        self._file.write(piece)
        self._hash.update(piece)
        self.size += len(piece)
        self._count(piece)
        self._last = piece.rstrip(_BLANK)[-1:] or self._last

    def _count(self, piece: bytes) -> None:
        """Lines that are not blank; the last one may go on in the next piece."""
        *ended, rest = piece.split(b"\n")
        for line in ended:
            whole = self._taken(line)
            self._open = bytearray()
            if whole:
                self._lines += 1
                self.headers += _is_header(whole)
                self._line = whole
        self._open += rest[: max(0, MOST_HELD - len(self._open))]

    def _taken(self, rest: bytes) -> bytes:
        """The line under way with its end."""
        if not self._open:
            return rest.strip(_BLANK)
        self._open += rest[: max(0, MOST_HELD - len(self._open))]
        return bytes(self._open.strip(_BLANK))

    @property
    def ends_whole(self) -> bool:
        """Whether the last line in it is JSON's whole object, or there is nothing in it."""
        line = bytes(self._open.strip(_BLANK)) or self._line
        return not line or (self._last == b"}" and (len(line) >= MOST_HELD - 1 or _is_object(line)))

    def found(self) -> Kept:
        return Kept(self.size, self._lines + bool(self._open.strip(_BLANK)), self._hash.hexdigest())

    async def settle(self) -> Kept:
        """Bring it to the disk under its own name."""
        self._file.flush()
        await asyncio.to_thread(os.fsync, self._file.fileno())
        self._file.close()
        self._draft.replace(self.path)
        settle(self.path.parent)
        return self.found()

    def drop(self) -> None:
        """Take away what is not whole; after `settle` there is nothing to take away."""
        if not self._file.closed:
            self._file.close()
            self._draft.unlink(missing_ok=True)


def _is_object(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    except RecursionError:
        return True  # its reader tells of what is nested too deeply
    return line[:1] == b"{"


def _is_header(line: bytes) -> bool:
    """Whether it is the Parameters that stand before each patient's block (organizeOutputBy=Patient)."""
    if b'"Parameters"' not in line:
        return False
    try:
        return msgspec.json.decode(line, type=_Named).resourceType == "Parameters"
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
