"""Reads a spool back, event by event, and judges what a process that is gone left in its own."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import structlog
from msgspec import Struct, msgpack

from cds.errors import SiteError
from cds.ledger.events import Event
from cds.ledger.records import AnswerRecord, FeedbackRecord
from cds.ledger.seal import Keyring
from cds.ledger.spool_file import DAMAGED, LIVE, REFUSED, SALVAGED, START, Damaged, Frame, SpoolFile

log = structlog.get_logger("bedside")


class Spooled(Struct, frozen=True, array_like=True, omit_defaults=True):
    """One event: an answer, the reports of one POST, which stand or fall together, or what else must be told."""

    answer: AnswerRecord | None = None
    feedback: tuple[FeedbackRecord, ...] = ()
    event: Event | None = None


_decode = msgpack.Decoder(Spooled).decode


def packed(event: Spooled) -> bytes:
    """As it stands, sealed, in the spool."""
    return msgpack.encode(event)


class Reading:
    """A file that is being brought home, and how far that has come."""

    def __init__(self, file: SpoolFile) -> None:
        self.file = file
        self.left = 0  # events that are still to be recorded
        self.at, self.number = START, 0
        self._salvaged: list[Frame] | None = None

    def take(self, count: int, keyring: Keyring) -> list[Frame]:
        """The next events, at most `count`. Raises Damaged."""
        if self._salvaged is not None:
            return self._salvaged[self.number : self.number + count]
        # No further than what counts: behind it the other thread may be writing.
        return list(islice(self.file.walk(self.at, self.number, keyring), min(count, self.left)))

    def passed(self, frames: Sequence[Frame]) -> None:
        self.left -= len(frames)
        self.at = frames[-1].end
        self.number += len(frames)

    def look_through(self, keyring: Keyring) -> None:
        """Counts what a dead process left. SiteError if it is damaged; LedgerSealed if its key is not on the ring."""
        if self.file.path.suffix == DAMAGED:
            self._salvaged = list(self.file.salvage(keyring))
            self.left = len(self._salvaged)
            return
        end = START
        try:
            self.file.check_head()
            for frame in self.file.walk(START, 0, keyring):
                self.left, end = self.left + 1, frame.end
        except Damaged as damage:
            raise SiteError(
                f"{self.file.path}: the spool is damaged at byte {damage.at}, behind {self.left} whole events. Nothing "
                f"of it was recorded or changed. Rename it to {self.file.path.stem}{DAMAGED} and start again: what is "
                "whole is recorded then, and the file is kept"
            ) from None
        if end < self.file.size:
            dropped = self.file.size - end
            log.warning("the torn end of a spool was never acknowledged", file=self.file.path.name, bytes=dropped)
            self.file.cut(end, self.left)

    def let_go(self) -> None:
        """Everything in it is recorded; a damaged file is kept all the same."""
        if self._salvaged is None:
            self.file.remove()
        else:
            self.file.keep_as(SALVAGED)


class Batch(NamedTuple):
    """What is to be recorded next, in order. `last`: at this moment nothing stands behind it."""

    reading: Reading
    frames: list[Frame]
    last: bool

    @property
    def events(self) -> list[Spooled]:
        return [_decode(frame.plain) for frame in self.frames]


def leftovers(folder: Path, own: Path) -> Iterator[Reading]:
    """The files of processes that are gone, oldest first; each is ours as soon as it is given out."""
    found = [path for path in folder.iterdir() if path.suffix in {LIVE, DAMAGED} and path != own]
    for path in sorted(found, key=_age):
        if file := SpoolFile.adopt(path):
            yield Reading(file)


def set_aside(folder: Path) -> list[str]:
    """The names of the files of which a database that is there took nothing: what they hold stands in no ledger."""
    try:
        return sorted(path.name for path in folder.iterdir() if path.suffix == REFUSED)
    except OSError:
        return []


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
