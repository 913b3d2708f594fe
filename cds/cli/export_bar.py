"""Shows how far an export is, on standard error: the server's own percentage, then files and bytes."""

import re
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cds.bulk import Told
from cds.cli.common import err

_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%")
_PART = re.compile(r"([0-9]{1,12})\s*(?:of|/)\s*([0-9]{1,12})")


class Bar:
    """A progress bar with an estimate of the time left; nothing at all when `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(), TimeRemainingColumn(), console=err, disable=quiet,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._preparing = True

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, told: Told) -> None:
        """Wait and download are two bars: the speed of one says nothing about the other."""
        if self._task is None or told.preparing != self._preparing:
            self._preparing = told.preparing
            if self._task is not None:
                self._progress.update(self._task, description="The server has prepared it", total=100, completed=100)
            self._task = self._progress.add_task("", total=None)
        if told.preparing:
            done = percent(told.words)
            words = f"The server prepares the export: {_shown(told.words)}"
            self._progress.update(
                self._task, description=words, total=None if done is None else 100, completed=done or 0
            )
        else:
            words = f"{told.files} of {told.of} files, {told.bytes / 1e6:.1f} MB"
            self._progress.update(self._task, description=words, total=told.of, completed=told.files)


def watched() -> bool:
    """Whether somebody sits before standard error. Rich would call a pipe a terminal, too, where FORCE_COLOR is set."""
    return err.file.isatty()


def _shown(words: str) -> str:
    """The server's own words may name a patient: they are for a person's eyes, and never for a log."""
    return (words if watched() else "") or "…"


def percent(words: str) -> float | None:
    """How far X-Progress says the export is, 0 to 100; None when it names no number of a whole."""
    if found := _PERCENT.search(words):
        return min(float(found[1]), 100.0)
    found = _PART.search(words)
    return min(100 * int(found[1]) / int(found[2]), 100.0) if found and int(found[2]) else None
