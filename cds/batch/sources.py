"""What an export consists of: its files, on disk or wherever fsspec reaches, and the ranges in which they are read."""

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, cast

import fsspec
from msgspec import MsgspecError, Struct, field, json, structs

from cds.batch.lines import Block, File, blocks, packed_blocks
from cds.errors import ExportUnreadable, RequestError

RANGE_BYTES = 32 << 20
RECORD = "export.json"
"""What `bedside export` leaves beside its files."""
_UNPACKED = 12
"""How much longer a packed export is when it is unpacked, about: only the number of shards hangs on it."""
MIXED = "ByPatient"
"""The type of a file that holds several, as an export organized by patient does."""
_NOT_DATA = frozenset({"log.ndjson", "finished.ndjson", "rejects.ndjson"})
"""What an exporter, or a run, leaves that is no data."""
_PLAIN, _PACKED = (".ndjson", ".jsonl"), (".ndjson.gz", ".jsonl.gz")


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


def find_export(places: Sequence[str]) -> Export:
    """The NDJSON files of folders and files, in the order of their names.

    Raises RequestError when there are none, and ExportUnreadable when a folder's export is not complete.
    """
    found: list[Source] = []
    deleted: list[Source] = []
    ignored: list[str] = []
    for place in places:
        if is_folder(place):
            inside = _folder(place)
            found, deleted, ignored = found + inside[0], deleted + inside[1], ignored + inside[2]
        elif is_ndjson(place):
            found.append(_source(place))
        else:
            raise RequestError(f"{_name(place)}: with --out, files are .ndjson or .ndjson.gz; without it, Bundles too")
    if not any(file.length for file in found):
        raise RequestError(f"no NDJSON files with anything in them in {', '.join(map(_name, places))}")
    return Export(tuple(_told_apart(found)), tuple(deleted), tuple(ignored))


def is_folder(place: str) -> bool:
    """Raises RequestError when there is nothing."""
    system, path = _system(place)
    if not system.exists(path):
        raise RequestError(f"{place if '://' not in place else _name(place)}: there is no such file or folder")
    return bool(system.isdir(path))


def _system(place: str) -> tuple[Any, str]:
    try:
        return cast("tuple[Any, str]", fsspec.core.url_to_fs(place))
    except ImportError as error:
        raise RequestError(f"{place.partition('://')[0]}://: {error}") from None
    except (ValueError, OSError) as error:
        raise RequestError(f"{_name(place)}: it cannot be reached ({type(error).__name__})") from None


class _OnDisk(Struct):
    bytes: int
    sha256: str


class _File(Struct):
    """A file as export.json tells of it."""

    name: str
    type: str
    kept: _OnDisk | None = None


class _Record(Struct):
    state: str = "complete"
    files: list[_File] = field(default_factory=list)


def _folder(place: str) -> tuple[list[Source], list[Source], list[str]]:
    record = _record(place)
    known = {file.name: file for file in record.files}
    found, ignored = [], []
    for path in _listed(place):
        name = _name(path)
        if name in _NOT_DATA or name.startswith(".") or name == RECORD:
            continue
        if is_ndjson(name):
            source = _source(path)
            told = known.get(name)
            if told is not None:
                same = told.kept is not None and told.kept.bytes == source.length and _older(source, place)
                digest = told.kept.sha256 if told.kept and same else None
                declared = None if told.type == MIXED else told.type
                source = structs.replace(source, declared=declared, sha256=digest)
            found.append(source)
        else:
            ignored.append(name)
    inside = posixpath.join(place, "deleted")
    system, path = _system(inside)
    deleted = [_source(p) for p in _listed(inside) if is_ndjson(p)] if system.isdir(path) else []
    return found, deleted, ignored


def _older(source: Source, folder: str) -> bool:
    """Whether nobody has touched a file since the export was recorded as complete; afar, nobody can say."""
    return source.local and int(source.stamp) <= (Path(folder) / RECORD).stat().st_mtime_ns


def _record(place: str) -> _Record:
    system, path = _system(posixpath.join(place, RECORD))
    if not system.exists(path):
        return _Record()
    try:
        record = json.decode(system.cat_file(path), type=_Record)
    except (MsgspecError, OSError):
        raise ExportUnreadable(f"{RECORD} cannot be read: export again") from None
    if record.state != "complete":
        raise ExportUnreadable("this export is not complete: run the same `bedside export` again to finish it")
    return record


def _listed(place: str) -> Iterator[str]:
    """The files of a folder, not of its subfolders, in the order of their names."""
    system, path = _system(place)
    protocol = f"{place.partition('://')[0]}://" if "://" in place else ""
    for entry in sorted(system.ls(path, detail=True), key=lambda entry: str(entry["name"])):
        if entry["type"] == "file":
            yield protocol + str(entry["name"]).removeprefix(protocol)


def _source(place: str) -> Source:
    packed = place.endswith(_PACKED)
    if "://" not in place:
        path = Path(place).absolute()
        found = path.stat()
        return Source(path.name, str(path), found.st_size, str(found.st_mtime_ns), packed)
    system, path_there = _system(place)
    try:
        told = system.info(path_there)
    except OSError as error:
        raise RequestError(f"{_name(place)}: it cannot be reached ({type(error).__name__})") from None
    stamp = next(
        (str(told[key]) for key in ("ETag", "etag", "LastModified", "last_modified", "mtime") if key in told), ""
    )
    if told.get("size") is None:
        raise RequestError(f"{_name(place)}: the server does not say how long it is; copy it here first")
    return Source(_name(place), place, int(told["size"]), stamp, packed)


def is_ndjson(place: str) -> bool:
    """By its name."""
    return place.partition("?")[0].endswith(_PLAIN + _PACKED)


def _name(place: str) -> str:
    """The last part of a path or URL: a URL's query may hold a signature."""
    return posixpath.basename(place.partition("?")[0].rstrip("/")) or place.partition("?")[0]


def _told_apart(found: Iterable[Source]) -> Iterator[Source]:
    """Two files of one name, from two folders, are told by their folders."""
    files = list(found)
    count = Counter(file.name for file in files)
    for file in files:
        folder = posixpath.basename(posixpath.dirname(file.place.partition("?")[0]))
        yield structs.replace(file, name=f"{folder}/{file.name}") if count[file.name] > 1 else file
