"""One append-only file of sealed and numbered frames: what it counts is on the disk, and damage is never read over."""

import contextlib
import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from cds.errors import LedgerSealed
from cds.ledger.on_disk import sync_folder, write_at
from cds.ledger.seal import Keyring

LIVE = ".spool"
DAMAGED = ".damaged"  # a person has seen the damage and asks for what is whole
SALVAGED = ".salvaged"  # what was whole has been recorded; the file itself is kept
REFUSED = ".refused"  # what a database that is there does not take

_WHAT = b"bedside spool 1\n"
START = len(_WHAT) + 16 + 4  # bytes: what it is, which one it is, CRC of both
_MARK = b"\xb5Bd\n"
_FRAME = struct.Struct(">4sIIII")  # mark, number, length, CRC of what follows, CRC of these four
_PIECE = 1 << 16


class Damaged(Exception):
    """A frame that was on the disk is no longer what was written. `at` is the byte where it starts."""

    def __init__(self, at: int) -> None:
        super().__init__(f"damaged at byte {at}")
        self.at = at


class Frame(NamedTuple):
    """One value, opened; the next frame starts at `end`."""

    number: int
    plain: bytes
    end: int


class SpoolFile:
    """Locked as long as it is open, by us alone: of two processes never more than one has it."""

    def __init__(self, path: Path, descriptor: int, identity: bytes) -> None:
        self.path = path
        self.size = START  # bytes that count
        self.number = 0  # of the next frame
        self._descriptor = descriptor
        self._identity = identity
        self._torn = self._distrusted = False

    @classmethod
    def create(cls, folder: Path, suffix: str = LIVE) -> Self:
        """A new file of ours. OSError if the folder does not let us."""
        while True:
            identity = os.urandom(16)
            path = folder / f"{os.getpid()}-{identity.hex()}{suffix}"
            if (file := cls.begin(path, identity)) is not None:
                return file

    @classmethod
    def begin(cls, path: Path, identity: bytes) -> Self | None:
        """A new file under this name; None if somebody took it for a leftover, and will remove it. OSError: none."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_nlink:
                    write_at(descriptor, _head(identity), 0)
                    os.fsync(descriptor)
                    for above in (path.parent, path.parent.parent):
                        sync_folder(above)
                    return cls(path, descriptor, identity)
        except OSError:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        os.close(descriptor)
        return None

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """The file of a process that is gone; None if it lives, or if somebody else was first."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        there = os.fstat(descriptor)
        if not there.st_nlink:
            os.close(descriptor)
            return None
        head = os.pread(descriptor, START, 0)
        found = cls(path, descriptor, head[16:32] if head == _head(head[16:32]) else _identity_in(path))
        found.size = max(there.st_size, START)
        return found

    def check_head(self) -> None:
        """Raises Damaged."""
        head = os.pread(self._descriptor, START, 0)
        # A head that is not whole is no damage: its maker was killed before anything can have been acknowledged.
        if len(head) == START and head != _head(head[16:32]) and not self.only_zeros(0):
            raise Damaged(0)

    def append(self, values: Sequence[bytes], keyring: Keyring) -> None:
        """On the disk when it returns. OSError: none of them counts."""
        if self._distrusted:
            raise OSError(errno.EIO, "an earlier fsync failed")
        if self._torn:
            os.ftruncate(self._descriptor, self.size)
            self._torn = False
        data = b"".join(self._framed(number, value, keyring) for number, value in enumerate(values, self.number))
        try:
            write_at(self._descriptor, data, self.size)
        except OSError:
            self._cut()
            raise
        try:
            os.fdatasync(self._descriptor)
        except OSError:
            self._cut()
            self._distrusted = True  # asked a second time, the kernel may say yes of pages that it has dropped
            raise
        self.size += len(data)
        self.number += len(values)

    def walk(self, start: int, number: int, keyring: Keyring) -> Iterator[Frame]:
        """The whole frames from `start`, whose number is `number`. Ends before a torn one; raises Damaged."""
        while (frame := self._frame_at(start, keyring)) is not None:
            if frame.number != number:
                raise Damaged(start)
            yield frame
            start, number = frame.end, number + 1

    def salvage(self, keyring: Keyring) -> Iterator[Frame]:
        """Every whole frame of a damaged file, wherever it stands. LedgerSealed: its key is not on the ring."""
        at = 0
        while (at := self._find_mark(at)) >= 0:
            try:
                frame = self._frame_at(at, keyring)
            except Damaged:
                frame = None
            if frame is not None:
                yield frame
            at = frame.end if frame is not None else at + 1

    def cut(self, size: int, number: int) -> None:
        """Forgets what stands behind `size`, where frame `number` would start."""
        os.ftruncate(self._descriptor, max(size, 0))
        self.size, self.number, self._torn, self._distrusted = size, number, False, False

    def empty(self) -> None:
        """Everything in it is recorded elsewhere. After a power cut it may come back, and is met as known."""
        self.cut(START, 0)

    def keep_as(self, suffix: str) -> None:
        """Lets go of it, and leaves it under another name."""
        self.path.rename(self.path.with_suffix(suffix))
        self.close()

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1  # its number may soon be another file's
        os.close(descriptor)

    def only_zeros(self, at: int) -> bool:
        """Whether a power cut left room and no content."""
        while piece := os.pread(self._descriptor, _PIECE, at):
            if piece.strip(b"\0"):
                return False
            at += len(piece)
        return True

    def _framed(self, number: int, value: bytes, keyring: Keyring) -> bytes:
        sealed = keyring.seal(value, self._bound(number))
        front = _FRAME.pack(_MARK, number, len(sealed), zlib.crc32(sealed), 0)[:-4]
        return front + zlib.crc32(front).to_bytes(4) + sealed

    def _frame_at(self, at: int, keyring: Keyring) -> Frame | None:
        front = os.pread(self._descriptor, _FRAME.size, at)
        if len(front) < _FRAME.size:
            return None
        mark, number, length, check, own = _FRAME.unpack(front)
        if mark != _MARK or zlib.crc32(front[:-4]) != own:
            if self.only_zeros(at):
                return None
            raise Damaged(at)
        sealed = os.pread(self._descriptor, length, at + _FRAME.size)
        if len(sealed) < length:
            return None
        if zlib.crc32(sealed) != check:
            raise Damaged(at)
        return Frame(number, self._opened(sealed, number, at, keyring), at + _FRAME.size + length)

    def _opened(self, sealed: bytes, number: int, at: int, keyring: Keyring) -> bytes:
        try:
            return keyring.open(sealed, self._bound(number))
        except LedgerSealed:
            if keyring.knows(sealed):
                raise Damaged(at) from None
            raise

    def _find_mark(self, at: int) -> int:
        while len(piece := os.pread(self._descriptor, _PIECE, at)) >= len(_MARK):
            found = piece.find(_MARK)
            if found >= 0:
                return at + found
            at += len(piece) - len(_MARK) + 1
        return -1

    def _bound(self, number: int) -> bytes:
        # A frame that was moved, or follows one that was taken out, does not open.
        return b"spool\0" + self._identity + number.to_bytes(4)

    def _cut(self) -> None:
        try:
            os.ftruncate(self._descriptor, self.size)
        except OSError:
            self._torn = True


def _head(identity: bytes) -> bytes:
    front = _WHAT + identity
    return front + zlib.crc32(front).to_bytes(4)


def _identity_in(path: Path) -> bytes:
    try:
        return bytes.fromhex(path.stem.rpartition("-")[2])
    except ValueError:
        return b""
