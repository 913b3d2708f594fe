"""What is told of one writing while it goes, and noted of it however it ends: by itself, refused, or interrupted."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from cds.bulk.tally import Tally
from cds.cli.common import err
from cds.cli.noting import note_done
from cds.errors import BedsideError, RunUnusable, UnsafeToWrite
from cds.ledger.events import Outcome
from cds.settings import Settings

_INTERRUPTED = "it was interrupted"


class Course:
    """One writing. `detail`: what the ledger holds of it beside how it went; None: it is not noted at all."""

    def __init__(self, settings: Settings, detail: Mapping[str, str] | None, show: Callable[[Tally], None]) -> None:
        self._settings, self._detail, self._show = settings, detail, show
        self._heard: Tally | None = None

    def hears(self, report: Callable[[Tally], None]) -> Callable[[Tally], None]:
        """The same report, remembered: what an interruption leaves of it is told."""

        def heard(tally: Tally) -> None:
            self._heard = tally
            report(tally)

        return heard

    def begins(self) -> None:
        """What nobody can record is not written. Raises SiteError, LedgerUnavailable."""
        self._note({"state": "begins"}, "success")

    def ended(self, tally: Tally) -> None:
        """After the counts are shown: the disk that stopped the run may be the ledger's too."""
        self._heard = tally
        self._show(tally)
        self._note_end("stopped" if tally.stopped else "whole", "failed" if tally.stopped else "success")

    @contextmanager
    def whatever_comes(self) -> Iterator[None]:
        """Notes an end that raises, and lets it rise: a beginning that stands alone in the ledger is a kill."""
        try:
            yield
        except KeyboardInterrupt:
            if self._heard is not None:
                self._heard.stopped = self._heard.stopped or _INTERRUPTED
                self._show(self._heard)
            self._note_or_say("interrupted", "failed")
            raise
        except (UnsafeToWrite, RunUnusable):
            self._note_or_say("refused", "refused")
            raise
        except Exception:
            self._note_or_say("failed", "failed")
            raise

    def _note_or_say(self, how: str, outcome: Outcome) -> None:
        try:
            self._note_end(how, outcome)
        except BedsideError as fault:
            err.print(fault.message)

    def _note_end(self, how: str, outcome: Outcome) -> None:
        told = self._heard.told() if self._heard is not None else {"written": 0}
        counts = {name: str(value) for name, value in told.items() if type(value) is int}
        self._note({"state": "ended", "how": how, **counts}, outcome)

    def _note(self, detail: Mapping[str, str], outcome: Outcome) -> None:
        if self._detail is not None:
            note_done(self._settings, "batch-write", {**self._detail, **detail}, outcome)
