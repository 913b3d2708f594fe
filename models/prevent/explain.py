"""What a PREVENT risk rests on: the person the row describes, against the one for whom the equations' terms are 0."""

from typing import Any

from cds import Explanation, Missing, Reading
from models._heart.explain import contributions, steps, worded
from models._heart.words import NAMES, answer_is
from models.prevent.equation import ADDED, Outcome, Predicted, Variant, log_odds, reference, risk
from models.prevent.inputs import OPTIONAL, Prevent

_ORDER = (
    "age", "total_cholesterol", "hdl_cholesterol", "sbp", "diabetes", "smoking", "bmi", "egfr", "antihypertensive",
    "statin",
)  # fmt: skip
CALLED: dict[Variant, str] = {
    "base": "base equations",
    "uacr": "equations with urine albumin",
    "hba1c": "equations with HbA1c",
    "sdi": "equations with social deprivation",
    "full": "full equations",
}


def described(row: Prevent) -> Predicted:
    """The row as the equations take it. Raises TypeError for a row with a missing input that was not refused."""
    numbers = {name: _known(getattr(row, name)) for name in ("age", "total_cholesterol", "hdl_cholesterol", "sbp")}
    return Predicted(
        sex=_known(row.sex),
        **numbers,
        bmi=_known(row.bmi),
        egfr=_known(row.egfr),
        diabetes=answer_is(row.diabetes),
        smoking=_known(row.smoking) == "current",
        antihypertensive=answer_is(row.antihypertensive),
        statin=answer_is(row.statin),
        **{name: answer.value for name in OPTIONAL if isinstance(answer := getattr(row, name), Reading)},
    )


def _known(answer: Reading[Any] | Missing) -> Any:
    if isinstance(answer, Missing):
        raise TypeError("a row with a missing input was not refused")
    return answer.value


def explanation(row: Prevent, variant: Variant, years: int, outcome: Outcome = "total_cvd") -> Explanation:
    """Every input's terms in one of the equations, in log odds."""
    patient, added, start = described(row), ADDED[variant], reference(_known(row.sex))
    found = steps(start, patient, (*_ORDER, *added), lambda who: log_odds(variant, years, outcome, who))
    names = ("total_cholesterol", "hdl_cholesterol", "sbp", "bmi", "egfr", *added)
    measured = ", ".join(f"{NAMES[name]} {worded(name, getattr(start, name))}" for name in names)
    person = "woman" if patient.sex == "female" else "man"
    told = f"a {person} of 55 with {measured}, no diabetes, no smoking and no treatment, by the {CALLED[variant]}"
    return Explanation(told, {float(years): risk(variant, years, outcome, start)}, contributions(found, "log odds"))
