"""Unpacks gzip as it comes, in small pieces, and stops at what grows without measure."""

import zlib
from collections.abc import Iterator

PIECE = 256 * 1024
MOST_RATIO = 100
"""Real NDJSON packs 12 to 1."""
FREE_BYTES = 64 * 1024 * 1024
"""Below this many bytes nobody looks at the ratio: a few lines that repeat pack well too."""

MAGIC = b"\x1f\x8b"


class BadlyPacked(Exception):
    """It is no gzip, ends too early, or unpacks to more than anything real does."""


class Gunzip:
    """Feed it what was sent; several gzip members one after the other are one text."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self._in = self._out = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Pieces of at most PIECE bytes. Raises BadlyPacked."""
        self._in += len(chunk)
        while chunk:
            if self._member.eof:
                self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
            try:
                piece = self._member.decompress(chunk, PIECE)
            except zlib.error:
                raise BadlyPacked("it is not gzip") from None
            self._out += len(piece)
            if self._out > FREE_BYTES and self._out > MOST_RATIO * self._in:
                raise BadlyPacked(f"it unpacks to more than {MOST_RATIO} times its size")
            if piece:
                yield piece
            chunk = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def end(self) -> None:
        """Raises BadlyPacked when something is missing."""
        if not self._member.eof:
            raise BadlyPacked("it was cut off")
