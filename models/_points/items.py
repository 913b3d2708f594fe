"""Items of a score: what each gives, and the sentences for those that the chart does not answer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from cds import Contribution, Explanation, Input, Missing, Reading, Refusal, RiskModel, structs


class Item(NamedTuple):
    """One item of a score with the patient's value in words and the points that it gives."""

    name: str
    value: str
    points: int


def total(items: Iterable[Item]) -> float:
    return float(sum(item.points for item in items))


def explained(items: Iterable[Item]) -> Explanation:
    """What each item gave, zeros too."""
    return Explanation("", {}, tuple(Contribution(i.name, i.value, "", float(i.points), "points") for i in items))


def up_to(value: float, bands: Sequence[tuple[float, int]], beyond: int) -> int:
    """The points of the first band whose upper bound, inclusive, is not exceeded; else those beyond the last."""
    return next((points for bound, points in bands if value <= bound), beyond)


def person_refusals(row: Any, youngest: int) -> Iterator[Refusal]:
    """Deceased, or of an age that is unknown or that the score is not for."""
    if isinstance(row.deceased, Reading):
        yield Refusal("deceased", f"deceased {row.deceased.date}" if row.deceased.when else "deceased")
    if isinstance(row.age, Missing):
        how = "birth date is missing" if row.age.why == "never recorded" else "birth date is not precise enough"
        yield Refusal("age", how)
    elif row.age.value < youngest:
        yield Refusal("age", f"under {youngest}")
    elif row.age.value > 110:
        yield Refusal("age", "age over 110: check the birth date")


def unanswered(row: Any, names: Mapping[str, str]) -> list[str]:
    """The inputs without an answer, each with why: "temperature (too old)"; `names` are the names for a person."""
    found = ((told, getattr(row, name)) for name, told in names.items())
    return [f"{told} ({answer.why})" for told, answer in found if isinstance(answer, Missing)]


def notes_of(row: Any, names: Iterable[str]) -> list[str]:
    return [note for name in names for note in getattr(row, name).notes]


def worded_inputs(model: RiskModel, row: Any) -> tuple[Input, ...]:
    """The card's inputs, with yes and no for what is true or not."""
    words = {"True": "yes", "False": "no"}
    plain = RiskModel.inputs(model, row)
    return tuple(structs.replace(one, value=words.get(one.value, one.value)) for one in plain)
