"""What can be said about a score beside its number, as plain values: what it rests on, what moves it, how it went."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from cds.features.feature import Bound, Missing, Reading, spell
from cds.features.predictors import Predictors

Direction = Literal["raises", "lowers", "hardly changes"]


class Input(Struct, frozen=True):
    """One line of what a score rests on. `value` carries its unit; `missing` says in words why there is none to use."""

    name: str
    value: str = ""
    note: str = ""
    """How the value came about: "from creatinine 2.125 mg/dL"."""
    date: str = ""
    when: datetime | None = None
    sources: tuple[str, ...] = ()
    """The resources behind it: "Observation/egfr-2"."""
    missing: str = ""


Scale = Literal["log hazard", "log odds", "log value", "points"]


class Contribution(Struct, frozen=True):
    """One term of a model: how the patient's value, instead of the reference's, moves the number on its own scale.

    That is the logarithm of the hazard, of the odds, or of the number itself where its terms are factors of it (an
    index, an eGFR); or the points which the value gives, of which none is zero.
    """

    name: str
    value: str
    reference: str
    amount: float
    scale: Scale = "log hazard"

    @property
    def multiplier(self) -> float:
        """By what the term multiplies the hazard, the odds, or the number itself."""
        return math.exp(self.amount)

    @property
    def direction(self) -> Direction:
        if self.scale == "points":
            return "hardly changes" if self.amount == 0 else "raises" if self.amount > 0 else "lowers"
        if 0.95 < self.multiplier < 1.05:
            return "hardly changes"
        return "raises" if self.amount > 0 else "lowers"

    @property
    def told(self) -> str:
        """The amount for a person, as a factor or as points with their sign."""
        if self.scale == "points":
            return f"{self.amount:+g}" if self.amount else "0"
        return f"\N{MULTIPLICATION SIGN}{self.multiplier:.2f}"

    @property
    def words(self) -> str:
        """What the term does, for a person."""
        if self.scale == "points":
            return "adds nothing" if self.amount == 0 else "adds points" if self.amount > 0 else "takes points away"
        return f"{self.direction} {'it' if self.scale == 'log value' else 'the risk'}"


class Explanation(Struct, frozen=True):
    """Every term of a number, and against whom it is told.

    `risks` are those of that reference by horizon in years, for the first of the model's outcomes; points have neither.
    """

    reference: str
    risks: Mapping[float, float]
    contributions: tuple[Contribution, ...]


class CoursePoint(Struct, frozen=True):
    """A value of some day; `date` is no more precise than it was written, `bound` as in Reading."""

    at: datetime
    date: str
    value: float
    bound: Bound | None = None
    shown: str = ""
    """The value as a person reads it, where it is not a probability."""


class Course(Struct, frozen=True):
    """Values over time, oldest first."""

    name: str
    unit: str
    points: tuple[CoursePoint, ...]


class Knob(Struct, frozen=True):
    """An input that a what-if may change, within what is plausible; the patient's own value is always within it.

    `value` is the patient's own as a form shows it, `exact` as it was scored, with its `bound`.
    """

    name: str
    label: str
    unit: str
    low: float
    high: float
    step: float
    value: float
    exact: float
    bound: Bound | None = None


class OutOfRange(ValueError):
    """A what-if asked for an input that cannot be changed, or for a value beyond its range."""


def within(knobs: Sequence[Knob], values: Mapping[str, float]) -> None:
    """Raises OutOfRange for an unknown input, a number that is none, or one beyond its range."""
    known = {knob.name: knob for knob in knobs}
    for name, value in values.items():
        knob = known.get(name)
        if knob is None:
            raise OutOfRange("this input cannot be changed")
        if not (math.isfinite(value) and knob.low <= value <= knob.high):
            raise OutOfRange(f"{knob.label}: {spell(knob.low)} to {spell(knob.high)} {knob.unit}".rstrip())


_UNITS = {"a": "years", "d": "days", "{INR}": ""}
"""UCUM's codes that nobody reads aloud."""


def plain_inputs(row: Predictors, names: Sequence[str]) -> tuple[Input, ...]:
    """The inputs of a row as any model can tell them, by the names that its features have."""
    return tuple(_input(name, row.answers()[name]) for name in names)


def _input(name: str, answer: Reading[object] | Missing) -> Input:
    label, when = name.replace("_", " ").capitalize(), answer.date if answer.when else ""
    sources = (answer.source,) if answer.source else ()
    if isinstance(answer, Missing):
        return Input(label, answer.shown, "", when, answer.when, sources, answer.why)
    value = _value(answer.value)
    bound = f"{answer.bound} " if answer.bound else ""
    note = f"as sent: {answer.as_sent}" if answer.as_sent else ""
    unit = _UNITS.get(answer.unit, answer.unit)
    return Input(label, f"{bound}{value} {unit}".rstrip(), note, when, answer.when, (*sources, *answer.also))


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return spell(value) if isinstance(value, float) else str(value)
