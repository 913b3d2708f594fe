"""What an export consists of: its files, on disk or wherever fsspec reaches, and the ranges in which they are read."""

from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Protocol, cast

import fsspec
from msgspec import Struct

from cds.batch.asked import Asked
from cds.batch.lines import Block, File, blocks, packed_blocks
from cds.errors import ExportUnreadable

RANGE_BYTES = 32 << 20
_UNPACKED = 12
"""How much longer a packed export is when it is unpacked, about: only the number of shards hangs on it."""
MIXED = "ByPatient"
"""The type of a file that holds several, as an export organized by patient does."""


class Opened(File, Protocol):
    """A file that is closed again."""

    def close(self) -> None: ...


class Source(Struct, frozen=True):
    """One file. `place`: path or URL; `stamp` changes when the file does; `declared`: its type by the manifest."""

    name: str
    place: str
    length: int
    stamp: str
    packed: bool = False
    declared: str | None = None
    sha256: str | None = None

    @property
    def local(self) -> bool:
        return "://" not in self.place

    def open(self) -> Opened:
        """Raises ExportUnreadable."""
        try:
            if self.local:
                return Path(self.place).open("rb", buffering=0)
            return cast("Opened", fsspec.open(self.place, "rb").open())
        except OSError as error:
            raise ExportUnreadable(f"{self.name}: {error.strerror or 'it cannot be opened'}") from None

    def digest(self) -> str:
        """SHA-256 of the file as it lies there: the one its exporter recorded, or computed."""
        if self.sha256 is not None:
            return self.sha256
        found = sha256()
        with closing(self.open()) as file:
            while data := file.read(1 << 20):
                found.update(data)
        return found.hexdigest()


class Range(Struct, frozen=True):
    """The lines of a source that begin in [start, end)."""

    number: int
    source: int
    start: int
    end: int


class Export(Struct, frozen=True):
    """The files of an export, and those that tell what was deleted. `ignored`: names of what is not read."""

    files: tuple[Source, ...]
    deleted: tuple[Source, ...] = ()
    ignored: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    """FHIR base URLs from which it was fetched: an absolute reference to one of them is a relative one."""
    errors: dict[str, int] = {}
    """Issues of severity error or fatal that the server reported of its own export, by severity."""
    as_of: str | None = None
    """Up to when it tells all: the server's transactionTime, or an earlier `_until`."""
    asked: tuple[Asked | None, ...] = (None,)
    """What each place was asked for; None where nobody recorded it."""

    @property
    def length(self) -> int:
        return sum(file.length * (_UNPACKED if file.packed else 1) for file in self.files)

    def ranges(self) -> tuple[Range, ...]:
        """What is read at a time; a packed file is read as one."""
        found: list[tuple[int, int, int]] = []
        for index, file in enumerate(self.files):
            size = max(file.length, 1) if file.packed else RANGE_BYTES
            found += [(index, start, min(start + size, file.length)) for start in range(0, file.length, size)]
        return tuple(Range(number, *one) for number, one in enumerate(found))


def lines_of(source: Source, part: Range, size: int) -> Iterator[Block]:
    """The blocks of a range. Raises ExportUnreadable, which names the file."""
    try:
        with closing(source.open()) as file:
            yield from packed_blocks(file, size) if source.packed else blocks(file, part.start, part.end, size)
    except ExportUnreadable as error:
        raise ExportUnreadable(f"{source.name}: {error.message}") from None
    except OSError as error:
        raise ExportUnreadable(f"{source.name}: it cannot be read ({error.strerror or type(error).__name__})") from None
