"""Reads a range of an NDJSON file as blocks of whole lines, of plain and of packed files, from disk or from afar."""

import zlib
from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from cds.errors import ExportUnreadable

LONGEST_LINE = 10 * 1024 * 1024
PACKED_RATIO = 100
"""Real exports pack 10 to 20 times; what unpacks to more than this is a bomb."""
_ALWAYS_ALLOWED = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS
BOM = b"\xef\xbb\xbf"


class Reads(Protocol):
    """As much of a binary file as is needed here."""

    def readinto(self, place: memoryview, /) -> int: ...


class File(Reads, Protocol):
    """As `open(…, "rb")` and fsspec give them."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, /) -> int: ...

    def tell(self) -> int: ...


class Block(Struct, frozen=True):
    """Whole lines of a file: the first `length` bytes of `data`, until the next block is asked for.

    `overlong`: in its place stood a line of more than LONGEST_LINE bytes, of which nothing was kept.
    """

    data: bytes | bytearray
    length: int
    overlong: bool = False


def blocks(file: File, start: int, end: int, size: int) -> Iterator[Block]:
    """The lines that begin in [start, end), about `size` bytes at a time; the file's end ends the last line."""
    file.seek(max(start - 1, 0))
    if start and not _past_line_end(file, start - 1, end):
        return
    yield from _blocks(file, file.tell(), end, size)


def packed_blocks(file: File, size: int) -> Iterator[Block]:
    """The lines of a gzip file. Raises ExportUnreadable when it is cut off, is no gzip, or is a bomb."""
    yield from _blocks(_Unpacked(file), 0, None, size)


def _past_line_end(file: File, at: int, end: int) -> bool:
    """Move behind the first line end from `at` on; False when no line begins before `end`."""
    while at < end and (data := file.read(1 << 16)):
        if (found := data.find(b"\n")) >= 0:
            file.seek(at + found + 1)
            return at + found + 1 < end
        at += len(data)
    return False


def _blocks(file: Reads, at: int, end: int | None, size: int) -> Iterator[Block]:
    """Blocks from offset `at`, where the file stands, all in one buffer: a megabyte is not moved about for nothing.

    Its first `held` bytes are the beginning of a line to be completed.
    """
    buffer, held = bytearray(2 * size), 0
    read = file.readinto(memoryview(buffer)[:size])
    while read:
        filled = held + read
        if at == 0 and buffer.startswith(BOM):
            buffer[: len(BOM)] = b" " * len(BOM)  # white space before a resource, which JSON allows
        if end is not None and at + filled >= end:
            last = buffer.find(b"\n", max(end - 1 - at, 0), filled)
            if last >= 0:
                yield Block(buffer, last + 1)
                return
        whole = buffer.rfind(b"\n", 0, filled) + 1
        if whole:
            yield Block(buffer, whole)
        at, held = at + whole, filled - whole
        buffer[:held] = buffer[whole:filled]
        if held > LONGEST_LINE:
            yield Block(b"", 0, overlong=True)
            passed, read = _past_line(file, buffer, size)
            at, held = at + held + passed, 0
            if end is not None and at >= end:
                return
            if read:
                continue  # what stands behind the line's end is as though it had just been read
        if held + size > len(buffer):
            buffer += bytes(len(buffer))
        read = file.readinto(memoryview(buffer)[held : held + size])
    if held:
        yield Block(buffer, held)


def _past_line(file: Reads, buffer: bytearray, size: int) -> tuple[int, int]:
    """Read past the end of a line that is too long: bytes passed over, and bytes that now stand in the buffer."""
    passed = 0
    while read := file.readinto(memoryview(buffer)[:size]):
        if (found := buffer.find(b"\n", 0, read)) >= 0:
            buffer[: read - found - 1] = buffer[found + 1 : read]
            return passed + found + 1, read - found - 1
        passed += read
    return passed, 0


class _Unpacked:
    """A gzip file of one member or many, unpacked as it is read and never further than asked."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._unpack = zlib.decompressobj(_GZIP)
        self._packed = b""
        self._read = self._given = 0

    def read(self, size: int) -> bytes:
        while True:
            if not self._packed:
                self._packed = self._file.read(1 << 16)
                self._read += len(self._packed)
                if not self._packed:
                    return self._ended()
            data = self._some(size)
            if data:
                return data

    def readinto(self, place: memoryview, /) -> int:
        data = self.read(len(place))
        place[: len(data)] = data
        return len(data)

    def _some(self, size: int) -> bytes:
        if self._unpack.eof:
            if not self._packed.strip(b"\0"):  # padding behind the last member
                self._packed = b""
                return b""
            self._unpack = zlib.decompressobj(_GZIP)
        try:
            data = self._unpack.decompress(self._packed, size)
        except zlib.error:
            raise ExportUnreadable("it is no gzip file, or damaged: fetch it again") from None
        self._packed = self._unpack.unused_data if self._unpack.eof else self._unpack.unconsumed_tail
        self._given += len(data)
        if self._given > _ALWAYS_ALLOWED and self._given > PACKED_RATIO * self._read:
            raise ExportUnreadable(
                f"it unpacks to more than {PACKED_RATIO} times its size: unpack it yourself if it may"
            )
        return data

    def _ended(self) -> bytes:
        if not self._unpack.eof and self._read:
            raise ExportUnreadable("it is cut off: fetch it again")
        return b""
