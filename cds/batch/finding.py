"""Finds the files of an export in folders and by name, and holds them against what the exporter recorded of them."""

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import fsspec
from msgspec import MsgspecError, Struct, field, json, structs

from cds.batch.sources import MIXED, Export, Source
from cds.errors import ExportUnreadable, RequestError

RECORD = "export.json"
"""What `bedside export` leaves beside its files."""
_NOT_DATA = frozenset({"log.ndjson", "finished.ndjson", "rejects.ndjson"})
"""What an exporter, or a run, leaves that is no data."""
_OF_AN_EXPORT = frozenset({"deleted", "error"})
_PLAIN, _PACKED = (".ndjson", ".jsonl"), (".ndjson.gz", ".jsonl.gz")
_SEVERE = ("error", "fatal")


def find_export(places: Sequence[str], *, changes: bool = False) -> Export:
    """The NDJSON files of folders and files, in the order of their names, each once.

    `changes`: the export tells what has changed since an earlier one, which may be nothing. Raises RequestError when
    there are no files, and ExportUnreadable when a folder's export is not complete, or not as it was recorded.
    """
    parts = [_part(place) for place in places]
    files = {file.place: file for part in parts for file in part.files}
    deleted = {file.place: file for part in parts for file in part.deleted}
    if not any(file.length for file in files.values()) and not changes:
        raise RequestError(f"no NDJSON files with anything in them in {', '.join(map(_name, places))}")
    errors = Counter[str]()
    for part in parts:
        errors.update(part.errors)
    return Export(
        tuple(_told_apart(files.values())),
        tuple(deleted.values()),
        tuple(name for part in parts for name in part.ignored),
        tuple(dict.fromkeys(base for part in parts for base in part.bases)),
        dict(errors),
        next((part.as_of for part in parts if part.as_of), None),
    )


def _part(place: str) -> Export:
    if is_folder(place):
        return _folder(place)
    if is_ndjson(place):
        return Export((_source(place),))
    raise RequestError(f"{_name(place)}: with --out, files are .ndjson or .ndjson.gz; without it, Bundles too")


def is_folder(place: str) -> bool:
    """Raises RequestError when there is nothing."""
    if not _afar(place):
        if not Path(place).exists():
            raise RequestError(f"{place}: there is no such file or folder")
        return Path(place).is_dir()
    system, path = _system(place)
    if not system.exists(path):
        raise RequestError(f"{_name(place)}: there is no such file or folder")
    return bool(system.isdir(path))


def is_ndjson(place: str) -> bool:
    """By its name."""
    return _plain(place).endswith(_PLAIN + _PACKED)


def _afar(place: str) -> bool:
    return "://" in place


def _plain(place: str) -> str:
    return place.partition("?")[0] if _afar(place) else place


def _name(place: str) -> str:
    """The last part of a path or URL: a URL's query may hold a signature."""
    return posixpath.basename(_plain(place).rstrip("/")) or _plain(place)


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
    kind: str = "output"
    kept: _OnDisk | None = None


class _Record(Struct):
    state: str = "complete"
    files: list[_File] = field(default_factory=list)
    base: str | None = None
    severities: dict[str, int] = field(default_factory=dict)
    transaction_time: str | None = None


def _folder(place: str) -> Export:
    record = _record(place)
    listed = {_name(path): path for path in _listed(place)}
    inside = posixpath.join(place, "deleted")
    deleted = {f"deleted/{_name(path)}": path for path in _listed(inside)} if _is_there(inside) else {}
    data = {name: path for name, path in listed.items() if _is_data(name)}
    left = [name for name in listed if not _is_data(name) and _is_told(name, record)]
    gone = {name: path for name, path in deleted.items() if is_ndjson(name)}
    found = [_as_recorded(_source(path), name, place, record) for name, path in data.items()]
    if record is not None:
        _hold(record, {file.name: file for file in found} | {name: _source(path) for name, path in gone.items()})
    return Export(
        tuple(found),
        tuple(_source(path) for path in gone.values()),
        (*left, *_folders(place)),
        (record.base.rstrip("/"),) if record and record.base else (),
        {name: count for name, count in record.severities.items() if name in _SEVERE} if record else {},
        record.transaction_time if record else None,
    )


def _is_data(name: str) -> bool:
    return is_ndjson(name) and name not in _NOT_DATA and not name.startswith(".")


def _is_told(name: str, record: _Record | None) -> bool:
    """Whether somebody may think that a file that is not read was."""
    hidden = name.startswith(".") and not is_ndjson(name)
    return not hidden and not (record and name in (_NOT_DATA | {RECORD}))


def _as_recorded(source: Source, name: str, place: str, record: _Record | None) -> Source:
    """With the type and the digest that its exporter recorded, as long as nobody has touched the file since."""
    told = next((file for file in record.files if file.name == name), None) if record else None
    if told is None:
        return source
    digest = told.kept.sha256 if told.kept and _untouched(source, place) else None
    return structs.replace(source, declared=None if told.type == MIXED else told.type, sha256=digest)


def _untouched(source: Source, folder: str) -> bool:
    """Afar, nobody can say."""
    return source.local and int(source.stamp) <= (Path(folder) / RECORD).stat().st_mtime_ns


def _hold(record: _Record, there: dict[str, Source]) -> None:
    """Raises ExportUnreadable when a file of the export is not there, or has another length."""
    for file in record.files:
        if file.kind == "error":
            continue
        source = there.pop(file.name, None)
        if source is None:
            raise ExportUnreadable(f"{file.name}: {RECORD} names it and it is not there: export again")
        if file.kept is not None and file.kept.bytes != source.length:
            raise ExportUnreadable(f"{file.name}: it is not as long as when it was fetched: export again")
    if there:
        raise ExportUnreadable(f"{next(iter(there))}: {RECORD} does not name it: keep it in a folder of its own")


def _record(place: str) -> _Record | None:
    path = posixpath.join(place, RECORD)
    if not _is_there(path):
        return None
    system, path_there = _system(path)
    try:
        record = json.decode(system.cat_file(path_there), type=_Record)
    except (MsgspecError, OSError):
        raise ExportUnreadable(f"{RECORD} cannot be read: export again") from None
    if record.state != "complete":
        raise ExportUnreadable("this export is not complete: run the same `bedside export` again to finish it")
    return record


def _is_there(place: str) -> bool:
    if not _afar(place):
        return Path(place).exists()
    system, path = _system(place)
    return bool(system.exists(path))


def _listed(place: str) -> Iterator[str]:
    """The files of a folder, not of its subfolders, in the order of their names; links are followed."""
    if not _afar(place):
        for path in sorted(Path(place).iterdir()):
            if path.is_file():
                yield str(path)
            elif not path.is_dir() and is_ndjson(path.name):
                raise ExportUnreadable(f"{path.name}: this link leads to no file")
        return
    system, path_there = _system(place)
    protocol = f"{place.partition('://')[0]}://"
    for entry in sorted(system.ls(path_there, detail=True), key=lambda entry: str(entry["name"])):
        if entry["type"] == "file":
            yield protocol + str(entry["name"]).removeprefix(protocol)


def _folders(place: str) -> Iterator[str]:
    """Names of subfolders with data, which nobody looks into."""
    if not _afar(place):
        for path in sorted(Path(place).iterdir()):
            if path.is_dir() and path.name not in _OF_AN_EXPORT and any(is_ndjson(one.name) for one in path.iterdir()):
                yield f"{path.name}/"


def _source(place: str) -> Source:
    packed = _plain(place).endswith(_PACKED)
    if not _afar(place):
        path = Path(place).resolve()
        found = path.stat()
        return Source(Path(place).name, str(path), found.st_size, str(found.st_mtime_ns), packed)
    system, path_there = _system(place)
    try:
        told = system.info(path_there)
    except OSError as error:
        raise RequestError(f"{_name(place)}: it cannot be reached ({type(error).__name__})") from None
    stamps = (str(told[key]) for key in ("ETag", "etag", "LastModified", "last_modified", "mtime") if key in told)
    if told.get("size") is None:
        raise RequestError(f"{_name(place)}: the server does not say how long it is; copy it here first")
    return Source(_name(place), place, int(told["size"]), next(stamps, ""), packed)


def _told_apart(found: Iterable[Source]) -> Iterator[Source]:
    """Two files of one name, from two folders, are told by their folders."""
    files = list(found)
    count = Counter(file.name for file in files)
    for file in files:
        folder = posixpath.basename(posixpath.dirname(_plain(file.place)))
        yield structs.replace(file, name=f"{folder}/{file.name}") if count[file.name] > 1 else file
