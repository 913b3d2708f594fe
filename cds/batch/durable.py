"""Files that are there whole or not at all, whenever the power goes."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from cds.errors import RunInterrupted


class Hashed:
    """A file that is being written, with its length and SHA-256 so far."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash, self.length = file, sha256(), 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.length += len(data)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def write_durably(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file whole: beside its place, to the disk, then moved there. Raises RunInterrupted when it cannot be."""
    with being_written(path) as file:
        for part in parts:
            file.write(part)


@contextmanager
def being_written(path: Path) -> Iterator[BinaryIO]:
    """A file that appears at `path` when all is on disk, and not at all when anything fails on the way."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        settle(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise RunInterrupted(
            f"{path.parent} cannot be written ({error.strerror}): make room or mend it, then go on with --resume"
        ) from None
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def settle(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
