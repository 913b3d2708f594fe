"""How a cardiovascular number comes about: from a named person to the patient, one input after the other."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from msgspec import Struct, structs

from cds import Contribution, Knob, Predictors, Reading, spell, within
from models._heart.words import UNITS, YES_OR_NO, amount, label

S = TypeVar("S", bound=Struct)
Step = tuple[str, Any, Any, float]
"""An input, its value in the reference and in the patient, and by what the change moves the number."""


def steps(reference: S, patient: S, order: Sequence[str], number: Callable[[S], float]) -> list[Step]:
    """What each input adds when one after the other is changed from the reference's to the patient's.

    The amounts add up to the whole difference. A term of two inputs is counted with the later one of the order.
    """
    found, now, before = [], reference, number(reference)
    for name in order:
        old, new = getattr(reference, name), getattr(patient, name)
        now = structs.replace(now, **{name: new})
        after = number(now)
        found.append((name, old, new, after - before))
        before = after
    return found


def contributions(found: Sequence[Step], scale: Literal["log hazard", "log odds"]) -> tuple[Contribution, ...]:
    return tuple(
        Contribution(label(name), worded(name, new), worded(name, old), by, scale) for name, old, new, by in found
    )


def worded(name: str, value: Any) -> str:
    """An input's value for a person: "213 mg/dL", "taken", "current", "not known"."""
    if value is None:
        return "not known"
    if name == "smoking":
        return "current" if value else "not current"
    if name in YES_OR_NO:
        return "recorded" if value else "not recorded"
    return amount(name, round(value, 1)) if name in UNITS else spell(value)


def knobs(row: Predictors, ranges: Mapping[str, tuple[float, float]], step: Mapping[str, float]) -> tuple[Knob, ...]:
    """The measured inputs, within what the equations are for; what a person is stays as it is."""
    return tuple(
        _knob(name, answer.value, ranges[name], step[name])
        for name in step
        if isinstance(answer := row.answers()[name], Reading)
    )


def _knob(name: str, value: float, span: tuple[float, float], step: float) -> Knob:
    low, high = span
    shown = round(round(value / step) * step, 6)
    shown = shown if low <= shown <= high else float(spell(value))
    return Knob(name, label(name), UNITS[name], min(low, shown), max(high, shown), step, shown, value)


def with_changes(row: Predictors, of: Sequence[Knob], values: Mapping[str, float]) -> Predictors:
    """The row with other values of no source: nobody measured them. Raises OutOfRange for what no knob allows."""
    within(of, values)
    changed = {
        name: structs.replace(
            row.answers()[name], value=value, source="", also=(), as_sent="", method="hypothetical", notes=()
        )
        for name, value in values.items()
    }
    return type(row).given(row.at, **{**row.answers(), **changed})
