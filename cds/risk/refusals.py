"""Why a score is not given, in words for a clinician: whom it is not for, and which result it lacks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cds.features.feature import Missing, Reading
from cds.risk.estimate import Refusal
from cds.text import slug


def unsuited(
    deceased: Reading[bool] | Missing, age: Reading[int] | Missing, sex: Any = None, *, youngest: int = 18
) -> Refusal | None:
    """Why a person is not one whom a score is for: deceased, no age or one out of range, or, where given, no sex."""
    if isinstance(deceased, Reading):
        return Refusal("deceased", f"deceased {deceased.date}" if deceased.when else "deceased")
    if isinstance(age, Missing):
        how = "is missing" if age.why == "never recorded" else "is not precise enough"
        return Refusal("age", f"birth date {how}")
    if age.value < youngest:
        return Refusal("age", f"under {youngest}")
    if age.value > 110:
        return Refusal("age", "age over 110: check the birth date")
    return Refusal("sex", "sex is not recorded as male or female") if isinstance(sex, Missing) else None


def very_old(age: Reading[int] | Missing) -> Sequence[str]:
    """The caution that stands beside a score of somebody over 90."""
    old = isinstance(age, Reading) and age.value > 90
    return ("age over 90: few people of this age were in the studies",) if old else ()


def no_stay(length: Missing) -> Refusal:
    """Why the days of a hospital stay are not known."""
    if length.why == "never recorded":
        return Refusal("no-inpatient-stay", (*length.notes, "no inpatient stay is recorded")[0])
    return Refusal(f"stay-{slug(length.why)}", f"the length of the stay is not known: {length.shown or length.why}")


def without_answer(row: Any, names: Mapping[str, str]) -> list[str]:
    """The inputs without an answer, each with why: "temperature (too old)"; `names` are the names for a person."""
    found = ((told, getattr(row, name)) for name, told in names.items())
    return [f"{told} ({answer.why})" for told, answer in found if isinstance(answer, Missing)]


def notes_of(row: Any, names: Iterable[str]) -> list[str]:
    """What must be said of these inputs, used or not."""
    return [note for name in names for note in getattr(row, name).notes]


FAULTS = {
    "comparator": "is not an exact value",
    "implausible": "is implausible",
    "not final": "is not final",
    "no value": "has no value",
    "no date": "has no date",
    "other test": "also carries the code of another test",
    "modified": "carries a modifier that is not known here",
    "not readable": "cannot be read",
    "not read": "was not read",
}
"""What is wrong with a result that cannot be used, as it ends a sentence, by why it is Missing."""
_SHOWN = 20  # a summary has to stay under 140


def cut(words: str, most: int = _SHOWN) -> str:
    """A laboratory's own words, cut where everybody sees it."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def lacking(name: str, missing: Missing, period: str) -> Refusal:
    """A result that a score cannot do without: `name` as in a sentence, `period` the look-back ("6 months")."""
    return Refusal(f"{_code(name)}-{missing.why.replace(' ', '-')}", _lacking(name, missing, period))


def _code(name: str) -> str:
    return name.lower().replace(" ", "-")


def _lacking(name: str, missing: Missing, period: str) -> str:
    if missing.why in ("never recorded", "too old"):
        return f"no {name} in the last {period}"
    what = " ".join(filter(None, (name, cut(missing.shown), f"({missing.date})" if missing.when else "")))
    if missing.why == "unit not accepted":
        named = any(c.isalpha() or c in "/%" for c in missing.shown)
        return f"{what} has {'a unit that is not accepted' if named else 'no unit'}"
    return f"{what} {FAULTS.get(missing.why, missing.why)}"
