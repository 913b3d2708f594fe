"""Where files lie, on disk or wherever fsspec reaches: by name, by kind, and what is in a folder."""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import fsspec

from cds.errors import ExportUnreadable, RequestError

PACKED = (".ndjson.gz", ".jsonl.gz")
_PLAIN = (".ndjson", ".jsonl")


def is_folder(place: str) -> bool:
    """Raises RequestError when there is nothing."""
    if not afar(place):
        if not Path(place).exists():
            raise RequestError(f"{place}: there is no such file or folder")
        return Path(place).is_dir()
    system, path = reached(place)
    if not system.exists(path):
        raise RequestError(f"{name_of(place)}: there is no such file or folder")
    return bool(system.isdir(path))


def is_ndjson(place: str) -> bool:
    """By its name."""
    return plain(place).endswith(_PLAIN + PACKED)


def afar(place: str) -> bool:
    return "://" in place


def plain(place: str) -> str:
    return place.partition("?")[0] if afar(place) else place


def name_of(place: str) -> str:
    """The last part of a path or URL: a URL's query may hold a signature."""
    return posixpath.basename(plain(place).rstrip("/")) or plain(place)


def reached(place: str) -> tuple[Any, str]:
    try:
        return cast("tuple[Any, str]", fsspec.core.url_to_fs(place))
    except ImportError as error:
        raise RequestError(f"{place.partition('://')[0]}://: {error}") from None
    except (ValueError, OSError) as error:
        raise RequestError(f"{name_of(place)}: it cannot be reached ({type(error).__name__})") from None


def is_there(place: str) -> bool:
    if not afar(place):
        return Path(place).exists()
    system, path = reached(place)
    return bool(system.exists(path))


def listed(place: str) -> Iterator[str]:
    """The files of a folder, not of its subfolders, in the order of their names; links are followed."""
    if not afar(place):
        for path in sorted(Path(place).iterdir()):
            if path.is_file():
                yield str(path)
            elif not path.is_dir() and is_ndjson(path.name):
                raise ExportUnreadable(f"{path.name}: this link leads to no file")
        return
    system, path_there = reached(place)
    protocol = f"{place.partition('://')[0]}://"
    for entry in sorted(system.ls(path_there, detail=True), key=lambda entry: str(entry["name"])):
        if entry["type"] == "file":
            yield protocol + str(entry["name"]).removeprefix(protocol)
