"""MELD 3.0 in adults with cirrhosis."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from cds import (
    NOT_THERE,
    Contribution,
    Explanation,
    Missing,
    Number,
    Reading,
    Reference,
    Refusal,
    RiskModel,
    Score,
    lacking,
    unsuited,
    very_old,
)
from models.meld_3.equation import points, terms
from models.meld_3.inputs import HOSPITAL, ONE_DRAW, Inputs

_TESTS = {
    "bilirubin": ("bilirubin", "7 days"),
    "inr": ("INR", "7 days"),
    "creatinine": ("creatinine", "90 days"),
    "sodium": ("sodium", "7 days"),
    "albumin": ("serum albumin", "90 days"),
}
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Meld3(RiskModel):
    id = "meld-3"
    predictors = Inputs

    def refuse(self, row: Inputs) -> Refusal | None:
        return next(_refusals(row), None)

    def predict(self, row: Inputs) -> Sequence[Number]:
        return (Score(self.card.outcome, float(points(_terms(row)))),)

    def cautions(self, row: Inputs) -> Sequence[str]:
        return tuple(_cautions(row))

    def exclusions(self, row: Inputs) -> Sequence[str]:
        return ("a vitamin K antagonist such as warfarin",)

    def explanation(self, row: Inputs) -> Explanation:
        """Every term in points, before the sum is rounded; the constant of 6 is everybody's."""
        given = (
            Contribution(_NAMES[name], _shown(row, name), "", share, "points") for name, share in _terms(row).items()
        )
        return Explanation("", {}, tuple(given))

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference | None:
        given = {name: Reading(float(values[name]), when=_NOON) for name in _TESTS}
        row = cls.predictors.given(
            _NOON,
            age=Reading(int(values["age"]), "a"),
            sex=Reading("female" if values["female"] == "1" else "male"),
            cirrhosis=Reading(True),
            dialysis_twice=Reading(True) if values["dialysis"] == "1" else None,
            **given,
        )
        return Reference(row, {}, {("MELD 3.0", None): float(values["meld_3"])})


_NAMES = {
    "constant": "Constant",
    "sex": "Sex",
    "bilirubin": "Bilirubin",
    "sodium": "Sodium",
    "sodium with bilirubin": "Sodium with bilirubin",
    "INR": "INR",
    "creatinine": "Creatinine",
    "albumin": "Albumin",
    "albumin with creatinine": "Albumin with creatinine",
}


def _value(answer: Reading[float] | Missing) -> float:
    if isinstance(answer, Missing):
        raise TypeError("a row with a missing result was not refused")
    return answer.value


def _terms(row: Inputs) -> Mapping[str, float]:
    woman = isinstance(row.sex, Reading) and row.sex.value == "female"
    creatinine = 3.0 if isinstance(row.dialysis_twice, Reading) else _value(row.creatinine)
    return terms(
        woman,
        _value(row.bilirubin),
        _value(row.sodium),
        _value(row.inr),
        creatinine,
        _value(row.albumin),
    )


def _shown(row: Inputs, name: str) -> str:
    if name == "sex":
        return row.sex.value if isinstance(row.sex, Reading) else ""
    if name == "creatinine" and isinstance(row.dialysis_twice, Reading):
        return f"3 mg/dL ({row.dialysis_twice.method or 'dialysis twice in 7 days'})"
    answer = getattr(row, name.lower(), None)
    if isinstance(answer, Missing) or answer is None:
        return ""
    unit = "" if answer.unit.startswith("{") else answer.unit  # UCUM's annotation of a plain number, as of the INR
    return f"{answer.value:g} {unit}".strip()


def _refusals(row: Inputs) -> Iterator[Refusal]:
    if (person := unsuited(row.deceased, row.age, row.sex)) is not None:
        yield person
    if isinstance(row.cirrhosis, Missing):
        yield Refusal("no-cirrhosis", "no cirrhosis is recorded: MELD 3.0 is for people with cirrhosis")
    if isinstance(row.vitamin_k_antagonist, Reading):
        when = f" ({row.vitamin_k_antagonist.date})" if row.vitamin_k_antagonist.when else ""
        yield Refusal("vitamin-k-antagonist", f"a vitamin K antagonist such as warfarin{when} makes the INR invalid")
    elif row.vitamin_k_antagonist.why not in (*NOT_THERE, "too old", "not read"):
        known = f"{row.vitamin_k_antagonist.shown} {row.vitamin_k_antagonist.why}".strip()
        yield Refusal("ask", f"ask about: warfarin or another vitamin K antagonist ({known})")
    yield from _results(row)
    yield from _draw(row)
    if isinstance(row.dialysis, Reading) and isinstance(row.dialysis_twice, Missing) and _value(row.creatinine) < 3:
        known = f"dialysis is recorded ({row.dialysis.date}), and not how often in the last 7 days"
        yield Refusal("ask", f"ask about: dialysis twice, or 24 hours of continuous dialysis, in 7 days ({known})")


def _results(row: Inputs) -> Iterator[Refusal]:
    for name, (words, period) in _TESTS.items():
        answer = getattr(row, name)
        if isinstance(answer, Missing) and not (name == "creatinine" and isinstance(row.dialysis_twice, Reading)):
            yield lacking(words, answer, period)


def _draw(row: Inputs) -> Iterator[Refusal]:
    """Bilirubin and INR are of one draw, and with them a creatinine of a hospital stay."""
    drawn = [row.bilirubin, row.inr]
    if isinstance(row.creatinine, Reading) and row.creatinine.method == HOSPITAL:
        drawn.append(row.creatinine)
    if _apart(*drawn):
        yield Refusal("not-one-draw", "bilirubin, INR and creatinine are not from one blood draw (24 hours)")


def _cautions(row: Inputs) -> Iterator[str]:
    for name in _TESTS:
        yield from getattr(row, name).notes
    if isinstance(row.dialysis_twice, Reading):
        yield "creatinine is taken as 3.0 mg/dL because of dialysis"
    elif _apart(row.creatinine, row.inr) and isinstance(row.creatinine, Reading) and isinstance(row.inr, Reading):
        yield f"creatinine ({row.creatinine.date}) is not from the draw of the INR ({row.inr.date})"
    yield from _anticoagulation(row.vitamin_k_antagonist)
    yield from very_old(row.age)


def _anticoagulation(antagonist: Reading[bool] | Missing) -> Iterator[str]:
    if isinstance(antagonist, Missing) and antagonist.why == "not read":
        yield "what the patient is stated to take was not read: ask about warfarin, which makes the INR invalid"
    if isinstance(antagonist, Missing) and antagonist.why == "too old":
        yield f"a vitamin K antagonist was last prescribed {antagonist.date}: taken still, it makes the INR invalid"


def _apart(*answers: Reading[float] | Missing) -> bool:
    """Whether some of these results are surely not of one draw."""
    at = [answer.when for answer in answers if isinstance(answer, Reading) and answer.when]
    return len(at) > 1 and max(at) - min(at) > ONE_DRAW
