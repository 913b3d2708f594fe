"""A file of named sections behind a header, written whole: how the stages of a run hand over to each other."""

from collections.abc import Mapping
from pathlib import Path
from struct import Struct as Layout
from typing import Any, BinaryIO, Generic, TypeVar

from msgspec import MsgspecError, Struct, json

from cds.batch.durable import write_durably
from cds.errors import RunInterrupted

H = TypeVar("H")
_MAGIC = b"bedside1"
_ENTRY = Layout("<QQ")


class Contents(Struct, frozen=True):
    """Where each section lies: offset behind the header, and length."""

    header: Any
    sections: Mapping[str, tuple[int, int]]


def write_sections(path: Path, header: Any, sections: Mapping[str, bytes]) -> None:
    """Raises RunInterrupted when the disk does not take it."""
    write_durably(path, whole(header, sections), named=False)


def whole(header: Any, sections: Mapping[str, bytes]) -> list[bytes]:
    """The file's bytes, in parts."""
    places, at = {}, 0
    for name, data in sections.items():
        places[name] = (at, len(data))
        at += len(data)
    head = json.encode(Contents(header, places))
    return [_MAGIC, len(head).to_bytes(8, "big"), head, *sections.values()]


class Sections(Generic[H]):
    """Such a file, to be read; `header` is of the type given."""

    def __init__(self, path: Path, kind: type[H]) -> None:
        """Raises RunInterrupted when the file is not what it should be: somebody else wrote there."""
        self._path = path
        try:
            with path.open("rb") as file:
                contents = _contents(file)
                self._start = file.tell()
            self.header = json.decode(json.encode(contents.header), type=kind)
        except (OSError, MsgspecError, ValueError):
            raise RunInterrupted(f"{path} cannot be read: remove the folder's .work and begin the run anew") from None
        self._places = contents.sections

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def read(self, name: str) -> bytes:
        """A section; empty when there is none of that name."""
        offset, length = self._places.get(name, (0, 0))
        if not length:
            return b""
        with self._path.open("rb") as file:
            file.seek(self._start + offset)
            return self._whole(file.read(length), length)

    def _whole(self, data: bytes, length: int) -> bytes:
        if len(data) != length:
            raise RunInterrupted(f"{self._path} is cut off: remove the folder's .work and begin the run anew")
        return data

    def piece(self, name: str, number: int) -> bytes:
        """One of the pieces that were `joined` into a section: of many, none is known but while it is read."""
        (index, _), (offset, _) = self._places[f"{name} index"], self._places[name]
        with self._path.open("rb", buffering=0) as file:
            file.seek(self._start + index + number * _ENTRY.size)
            start, length = _ENTRY.unpack(self._whole(file.read(_ENTRY.size), _ENTRY.size))
            if not length:
                return b""
            file.seek(self._start + offset + start)
            return self._whole(file.read(length), length)


def joined(name: str, pieces: Mapping[int, bytes], count: int) -> Mapping[str, bytes]:
    """Pieces numbered from 0 to `count` as one section, and the section that says where each lies."""
    places, at = bytearray(), 0
    for number in range(count):
        length = len(pieces.get(number, b""))
        places += _ENTRY.pack(at, length)
        at += length
    return {f"{name} index": bytes(places), name: b"".join(pieces[number] for number in sorted(pieces))}


def _contents(file: BinaryIO) -> Contents:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("not a file of sections")
    return json.decode(file.read(int.from_bytes(file.read(8), "big")), type=Contents)
