"""Finds the files of an export in folders and by name, and holds them against what the exporter recorded of them."""

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import structs

from cds.batch.asked import as_of
from cds.batch.places import PACKED, afar, is_folder, is_ndjson, is_there, listed, name_of, plain, reached
from cds.batch.recorded import NOT_DATA, RECORD, ExportRecord, recorded
from cds.batch.sources import MIXED, Export, Source
from cds.errors import ExportUnreadable, RequestError

_OF_AN_EXPORT = frozenset({"deleted", "error"})
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
        raise RequestError(f"no NDJSON files with anything in them in {', '.join(map(name_of, places))}")
    errors = Counter[str]()
    for part in parts:
        errors.update(part.errors)
    return Export(
        tuple(_told_apart(files.values())),
        tuple(deleted.values()),
        tuple(name for part in parts for name in part.ignored),
        tuple(dict.fromkeys(base for part in parts for base in part.bases)),
        dict(errors),
        as_of([one for part in parts for one in part.asked]) or _one_end(parts),
        tuple(one for part in parts for one in part.asked),
    )


def _one_end(parts: Sequence[Export]) -> str | None:
    """Where nobody knows what one was asked for: the end that all of them have."""
    ends = {part.as_of for part in parts}
    return ends.pop() if len(ends) == 1 else None


def _part(place: str) -> Export:
    if is_folder(place):
        return _folder(place)
    if is_ndjson(place):
        return Export((_source(place),))
    raise RequestError(f"{name_of(place)}: with --out, files are .ndjson or .ndjson.gz; without it, Bundles too")


def _folder(place: str) -> Export:
    record = recorded(place)
    files = {name_of(path): path for path in listed(place)}
    inside = posixpath.join(place, "deleted")
    deleted = {f"deleted/{name_of(path)}": path for path in listed(inside)} if is_there(inside) else {}
    data = {name: path for name, path in files.items() if _is_data(name)}
    left = [name for name in files if not _is_data(name) and _is_told(name, record)]
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
        record.as_of if record else None,
        (record.asked() if record else None,),
    )


def _is_data(name: str) -> bool:
    return is_ndjson(name) and name not in NOT_DATA and not name.startswith(".")


def _is_told(name: str, record: ExportRecord | None) -> bool:
    """Whether somebody may think that a file that is not read was."""
    hidden = name.startswith(".") and not is_ndjson(name)
    return not hidden and not (record and name in (NOT_DATA | {RECORD}))


def _as_recorded(source: Source, name: str, place: str, record: ExportRecord | None) -> Source:
    """With the type and the digest that its exporter recorded, as long as nobody has touched the file since."""
    told = next((file for file in record.files if file.name == name), None) if record else None
    if told is None:
        return source
    digest = told.kept.sha256 if told.kept and _untouched(source, place) else None
    return structs.replace(source, declared=None if told.type == MIXED else told.type, sha256=digest)


def _untouched(source: Source, folder: str) -> bool:
    """Afar, nobody can say."""
    return source.local and int(source.stamp) <= (Path(folder) / RECORD).stat().st_mtime_ns


def _hold(record: ExportRecord, there: dict[str, Source]) -> None:
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


def _folders(place: str) -> Iterator[str]:
    """Names of subfolders with data, which nobody looks into."""
    if not afar(place):
        for path in sorted(Path(place).iterdir()):
            if path.is_dir() and path.name not in _OF_AN_EXPORT and any(is_ndjson(one.name) for one in path.iterdir()):
                yield f"{path.name}/"


def _source(place: str) -> Source:
    packed = plain(place).endswith(PACKED)
    if not afar(place):
        path = Path(place).resolve()
        found = path.stat()
        return Source(Path(place).name, str(path), found.st_size, str(found.st_mtime_ns), packed)
    system, path_there = reached(place)
    try:
        told = system.info(path_there)
    except OSError as error:
        raise RequestError(f"{name_of(place)}: it cannot be reached ({type(error).__name__})") from None
    stamps = (str(told[key]) for key in ("ETag", "etag", "LastModified", "last_modified", "mtime") if key in told)
    if told.get("size") is None:
        raise RequestError(f"{name_of(place)}: the server does not say how long it is; copy it here first")
    return Source(name_of(place), place, int(told["size"]), next(stamps, ""), packed)


def _told_apart(found: Iterable[Source]) -> Iterator[Source]:
    """Two files of one name, from two folders, are told by their folders."""
    files = list(found)
    count = Counter(file.name for file in files)
    for file in files:
        folder = posixpath.basename(posixpath.dirname(plain(file.place)))
        yield structs.replace(file, name=f"{folder}/{file.name}") if count[file.name] > 1 else file
