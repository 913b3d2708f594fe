"""A file while it is fetched: written under another name, counted and hashed on the way, and never half there."""

import asyncio
import hashlib
import os
from pathlib import Path

from cds.batch.durable import settle
from cds.bulk.plan import Kept

_BLANK = b" \t\r\n\xef\xbb\xbf"
"""White space and the byte order mark that some servers begin a file with."""


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
        self._open = False
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
        if ended:
            first, *others = ended
            self._lines += (self._open or bool(first.strip(_BLANK))) + sum(bool(one.strip(_BLANK)) for one in others)
            self._open = False
        self._open = self._open or bool(rest.strip(_BLANK))

    @property
    def ends_whole(self) -> bool:
        """Whether the last thing in it may be the end of a resource, or there is nothing in it."""
        return self._last in (b"", b"}")

    def found(self) -> Kept:
        return Kept(self.size, self._lines + self._open, self._hash.hexdigest())

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
