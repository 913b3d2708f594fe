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


def write_durably(path: Path, parts: Iterable[bytes], *, named: bool = True) -> None:
    """Write a file whole: beside its place, to the disk, then moved there. Raises RunInterrupted when it cannot be.

    Without `named` a power cut may forget the file's name: then what it holds is made anew.
    """
    with being_written(path, named=named) as file:
        for part in parts:
            file.write(part)


@contextmanager
def being_written(path: Path, *, named: bool = True) -> Iterator[BinaryIO]:
    """A file that appears at `path` when all is on disk, and not at all when anything fails on the way."""
    # Of a process's own number, so that a worker that outlives its run by a moment cannot spoil the next one's.
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        if named:
            settle(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise not_written(path.parent, error) from None
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def not_written(folder: Path, error: OSError) -> RunInterrupted:
    """What to tell of a folder that does not take what is written."""
    return RunInterrupted(
        f"{folder} cannot be written ({error.strerror}): make room or mend it, then go on with --resume"
    )


def clear_drafts(folder: Path, *names: str) -> None:
    """Remove what a kill left of files that were being written here; of those named, or of all."""
    for draft in folder.iterdir():
        hidden, _, number = draft.name.rpartition(".")
        if hidden.startswith(".") and number.isdigit() and (not names or hidden[1:] in names):
            draft.unlink(missing_ok=True)


def made(folder: Path, mode: int = 0o777) -> None:
    """Make a folder and those above it, with their names on the disk: what is written into it is not lost with it."""
    absent = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=mode)
    for one in absent:
        settle(one.parent)


def settle(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
