"""Counts what became of each line of a run so that the counts come out even, and lists those that need somebody."""

from collections import Counter
from typing import Any, Literal

from msgspec import Struct

from cds.bulk.run_folder import Entry

Became = Literal[
    "created", "updated", "retracted", "unchanged", "nothing there", "retracted later", "changed there", "failed"
]
WRITTEN: tuple[Became, ...] = ("created", "updated", "retracted")
SHOWN = 50
"""Lines that are listed; all of them stand in the progress file."""

_WORDS = {
    0: "the server did not say what became of it",
    400: "the server says that it is not valid",
    401: "the access token is not accepted for it",
    403: "the access token has no right to write it",
    404: "the server does not take this type of resource",
    405: "the server does not take this type of resource",
    409: "another version of it kept coming between",
    412: "another version of it kept coming between",
    413: "the server says that it is too large",
    415: "the server does not take FHIR JSON",
    422: "the server says that it breaks its rules",
    429: "the server was too busy for it",
}
"""In our words: what a server says may repeat the patient's values."""


class Listed(Struct, frozen=True, omit_defaults=True):
    """A line that was not written as asked. `status`: HTTP's, None where none was at fault."""

    file: str
    line: int
    why: str
    status: int | None = None


class Tally:
    """What became of `lines` lines; in a dry run, what would become of them."""

    def __init__(self, lines: int, *, dry_run: bool = False) -> None:
        self.lines, self.dry_run = lines, dry_run
        self.became: Counter[Became] = Counter()
        self.provenance: Counter[Literal["written", "unchanged", "failed", "not taken"]] = Counter()
        self.listed: list[Listed] = []
        self.stopped: str | None = None
        """Why the rest was not tried."""

    def count(self, entry: Entry, became: Became, why: str = "", status: int | None = None) -> None:
        self.became[became] += 1
        if why and len(self.listed) < SHOWN:
            self.listed.append(Listed(entry.file, entry.line, why, status))

    def fail(self, entry: Entry, status: int) -> None:
        self.count(entry, "failed", _WORDS.get(status, "the server failed"), status)

    @property
    def untried(self) -> int:
        """Lines after the one at which the server was lost, and those whose outcome it did not tell any more."""
        return self.lines - self.became.total()

    @property
    def written(self) -> int:
        return sum(self.became[one] for one in WRITTEN)

    @property
    def unchanged(self) -> int:
        """Nothing was to be done: retractions of what is not there, and what a later run retracts, are among them."""
        return self.became["unchanged"] + self.became["nothing there"] + self.became["retracted later"]

    @property
    def failed(self) -> int:
        return self.became["failed"] + self.untried

    @property
    def ended(self) -> bool:
        """Whether nothing is left for another time; what somebody changed there is left to them."""
        return not (self.failed or self.provenance["failed"] or self.stopped)

    @property
    def clean(self) -> bool:
        """Whether each line stands on the server as the run has it."""
        return self.ended and not self.became["changed there"]

    def told(self) -> dict[str, Any]:
        """All of it for a program: lines = written + unchanged + changed_there + failed."""
        written: dict[str, int] = {one: self.became[one] for one in WRITTEN}
        return {
            "dry_run": self.dry_run, "lines": self.lines, "written": self.written, **written,
            "unchanged": self.unchanged, "nothing_to_retract": self.became["nothing there"],
            "retracted_later": self.became["retracted later"],
            "changed_there": self.became["changed there"], "failed": self.failed, "untried": self.untried,
            "provenance": {"written": 0, "unchanged": 0, "failed": 0, "not taken": 0, **self.provenance},
            "stopped": self.stopped, "listed": self.listed,
        }  # fmt: skip
