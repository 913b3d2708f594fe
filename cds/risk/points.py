"""Scores made of points: what each item gives, their sum, and what must be asked because the chart does not say it."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from msgspec import Struct, structs

from cds.features.feature import Missing, Reading
from cds.risk.estimate import Number, Refusal, Score
from cds.risk.explanation import Contribution, Explanation, Input
from cds.risk.model import RiskModel
from cds.risk.refusals import notes_of, very_old

T = TypeVar("T")
NOT_THERE = frozenset({"never recorded"})
"""Why a search that was read answers "no": nothing is recorded. What is too old to count may hold still: ask."""


class Item(Struct, frozen=True):
    """One item of a score: its name, what the chart shows for it, and its points; None where that must be asked."""

    name: str
    shown: str
    points: int | None


def recorded_item(name: str, answer: Reading[bool] | Missing, points: int) -> Item:
    """An item that a search of all of a patient's records answers: what is not in them is absent.

    What stands there and cannot be understood, or was not read, is not absent: it has to be asked.
    """
    if isinstance(answer, Missing):
        return Item(name, "not recorded", 0) if answer.why in NOT_THERE else Item(name, answer.why, None)
    return Item(name, *((_on("yes", answer), points) if answer.value else (_on("no", answer), 0)))


def asked_item(name: str, answer: Reading[bool] | Missing, points: int) -> Item:
    """An item that charts do not code: only an explicit yes or no counts, and silence is no answer."""
    return Item(name, "not recorded", None) if isinstance(answer, Missing) else recorded_item(name, answer, points)


def measured_item(
    name: str, answer: Reading[T] | Missing, points: Callable[[T], int], shown: Callable[[T], str] = str
) -> Item:
    """An item whose points follow from a value, shown as "72 years"; without the value it must be asked for."""
    if isinstance(answer, Missing):
        return Item(name, answer.why, None)
    return Item(name, shown(answer.value), points(answer.value))


def up_to(value: float, bands: Sequence[tuple[float, int]], beyond: int) -> int:
    """The points of the first band whose upper bound, inclusive, is not exceeded; else those beyond the last."""
    return next((points for bound, points in bands if value <= bound), beyond)


def _on(word: str, answer: Reading[bool]) -> str:
    return f"{word}, {answer.date}" if answer.when else word


def total(items: Iterable[Item]) -> int:
    """The points of the items that have an answer."""
    return sum(item.points or 0 for item in items)


def unanswered(items: Sequence[Item]) -> Refusal | None:
    """Names every item that must be asked, with the points of the others; None when all have an answer."""
    ask = [item.name for item in items if item.points is None]
    if not ask:
        return None
    known = total(items)
    return Refusal(
        "ask", f"ask about: {'; '.join(ask)} ({known} point{'' if known == 1 else 's'} from the chart so far)"
    )


class PointsModel(RiskModel):
    """A model whose number is the sum of its items' points: `gate` says whom it does not score, `items` all else."""

    @abstractmethod
    def gate(self, row: Any) -> Refusal | None:
        """Why this row must not be scored whatever its items say, or None."""

    @abstractmethod
    def items(self, row: Any) -> Sequence[Item]:
        """Every item of the score, in the publication's order."""

    def band(self, row: Any, points: int) -> str:
        """The publication's own class for these points."""
        return ""

    def refuse(self, row: Any) -> Refusal | None:
        return self.gate(row) or unanswered(self.items(row))

    def predict(self, row: Any) -> Sequence[Number]:
        items = self.items(row)
        if any(item.points is None for item in items):
            raise TypeError("a row with an item to ask for was not refused")
        points = total(items)
        return (Score(self.card.outcome, float(points), band=self.band(row, points)),)

    def cautions(self, row: Any) -> Sequence[str]:
        """What must be said of any input, each once, and of an age beyond the studies."""
        return (*dict.fromkeys(notes_of(row, row.answers())), *very_old(row.age))

    def inputs(self, row: Any) -> Sequence[Input]:
        """As every model's; in a scored row, what was looked for and is not recorded has been counted as absent."""
        told = super().inputs(row)
        if self.refuse(row) is not None:
            return told
        return tuple(
            structs.replace(i, value="none recorded", missing="") if i.missing in NOT_THERE else i for i in told
        )

    def explanation(self, row: Any) -> Explanation:
        """What each item gave, zeros too."""
        given = (Contribution(i.name, i.shown, "", float(i.points or 0), "points") for i in self.items(row))
        return Explanation("", {}, tuple(given))
