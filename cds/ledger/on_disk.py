"""What a spool asks of a disk: that bytes stand in their place, and names in their folder."""

import contextlib
import os
from pathlib import Path


def write_at(descriptor: int, data: bytes, at: int) -> None:
    """All of it, or OSError."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, at)
        at, rest = at + written, rest[written:]


def sync_folder(folder: Path) -> None:
    """Brings a folder's names to the disk. OSError if it cannot be opened."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot, and need not
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
