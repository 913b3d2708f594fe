"""What a kidney failure risk rests on, told term by term and day by day, for the card and for the page."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from cds import (
    Contribution,
    Explanation,
    Input,
    Knob,
    Missing,
    Predictors,
    Reading,
    spell,
    structs,
    within,
)
from models._kidney.albuminuria import category
from models._kidney.equation import g_stage, round_half_up
from models._kidney.told import (
    EGFR_UNIT,
    acr_input,
    bounded,
    egfr_input,
    found_input,
    missing_input,
    person_input,
)
from models.kfre.equation import MEANS, Region, Variables, risk_of, terms
from models.kfre.inputs import FourVariables

_EXCLUDED = {
    "kidney transplant": "",
    "dialysis now": "",
    "end-stage kidney disease": "",
    "pregnancy": "unclear_pregnancy",
    "acute kidney injury": "unusable_creatinine",
}
"""What a scored patient does not have, each with the finding that leaves it open."""
MEASURED = {"albumin": "g/dL", "phosphate": "mg/dL", "bicarbonate": "mmol/L", "calcium": "mg/dL"}
ILLNESSES = ("diabetes", "hypertension")
_RANGES = {
    "egfr": ("eGFR", EGFR_UNIT, 5, 59, 1),
    "acr": ("Urine ACR", "mg/g", 1, 5000, 1),
    "albumin": ("Albumin", "g/dL", 1.5, 5.5, 0.1),
    "phosphate": ("Phosphate", "mg/dL", 1, 12, 0.1),
    "bicarbonate": ("Bicarbonate", "mmol/L", 8, 45, 1),
    "calcium": ("Calcium", "mg/dL", 6, 14, 0.1),
}
"""What a what-if may ask: below the eGFR of 60 from which the equation does not serve, else what is plausible."""


def inputs(row: FourVariables, extra: Sequence[str]) -> Iterator[Input]:
    """Age, sex, eGFR and urine albumin, then what the variant asks besides."""
    yield person_input("Age", row.age, " years", "the birth date is missing or not precise enough")
    yield person_input("Sex", row.sex, "", "not recorded as male or female")
    yield egfr_input(row.egfr)
    yield acr_input(row.acr)
    for name in extra:
        answer = getattr(row, name)
        yield _ill(name, answer) if name in ILLNESSES else _measured(name, answer)


def _measured(name: str, answer: Reading[float] | Missing) -> Input:
    if isinstance(answer, Missing):
        return missing_input(name.capitalize(), answer, answer.why)
    return found_input(name.capitalize(), f"{answer.value:.4g} {MEASURED[name]}", "", answer)


def _ill(name: str, answer: Reading[bool] | Missing) -> Input:
    if isinstance(answer, Missing):
        return Input(name.capitalize(), "not recorded")
    return found_input(name.capitalize(), "recorded", "", structs.replace(answer, when=None, written=""))


def exclusions(row: FourVariables) -> Iterator[str]:
    """What was looked for and surely not found: not what a record that could not be understood leaves open."""
    for name, doubt in _EXCLUDED.items():
        if not (doubt and isinstance(getattr(row, doubt), Reading)):
            yield name


def explanation(variables: Variables, region: Region, row: FourVariables, extra: Sequence[str]) -> Explanation:
    """The terms of a scored row's linear predictor, against the mean patient of the studies for whom all are 0."""
    age, sex, egfr, acr = (_known(answer) for answer in (row.age, row.sex, row.egfr, row.acr))
    others = {name: as_number(getattr(row, name)) for name in extra}
    values = terms(variables, age.value, sex.value == "male", egfr.value, acr.value, **others)
    said = {
        "age": ("Age", f"{age.value:g} years", f"{MEANS['age'] * 10:.0f} years"),
        "male": ("Sex", sex.value, f"{MEANS['male'] * 100:.0f} in 100 are men"),
        "egfr": ("eGFR", f"{round_half_up(egfr.value)} {EGFR_UNIT}", f"{MEANS['egfr'] * 5:.0f} {EGFR_UNIT}"),
        "log_acr": ("Urine ACR", f"{bounded(acr)}{_short(acr.value)} mg/g", f"{math.exp(MEANS['log_acr']):.0f} mg/g"),
    } | {name: _other(name, others[name]) for name in extra}
    told = tuple(Contribution(*said[name], amount=value) for name, value in values.items())
    return Explanation(
        "the average person of the studies behind the equation",
        {float(years): risk_of(variables, region, years, 0.0) for years in (2, 5)},
        told,
    )


def _other(name: str, value: float) -> tuple[str, str, str]:
    label, mean = name.capitalize(), MEANS[name]
    if name in ILLNESSES:
        return label, "recorded" if value else "not recorded", f"{mean * 100:.0f} in 100 have it"
    return label, f"{value:.4g} {MEASURED[name]}", f"{mean:.4g} {MEASURED[name]}"


def _short(number: float) -> str:
    return spell(round(number, 1 if number < 10 else 0))


def _known(answer: Reading[Any] | Missing) -> Reading[Any]:
    if isinstance(answer, Missing):
        raise TypeError("only a scored row, which has its inputs, is explained")
    return answer


def as_number(answer: Reading[Any] | Missing) -> float:
    """A reading's number; a diagnosis that was never recorded is absent, which is 0."""
    return float(answer.value) if isinstance(answer, Reading) else 0.0


def knobs(row: FourVariables, extra: Sequence[str]) -> Iterator[Knob]:
    """eGFR and urine albumin, and of eight variables the four in blood; age, sex and diagnoses are what they are."""
    for name in ("egfr", "acr", *extra):
        answer = getattr(row, name)
        if name in _RANGES and isinstance(answer, Reading):
            label, unit, low, high, step = _RANGES[name]
            shown = _as_shown(answer.value, low, high, step)
            lowest, highest = min(low, shown), max(high, shown)
            yield Knob(name, label, unit, lowest, highest, step, shown, answer.value, answer.bound)


def _as_shown(value: float, low: float, high: float, step: float) -> float:
    """Rounded to the knob's step; what lies outside its range, or would by rounding, as it is."""
    rounded = round(round(value / step) * step, 6)
    return rounded if low <= value <= high and low <= rounded <= high else float(spell(value))


def with_changes(row: FourVariables, extra: Sequence[str], values: dict[str, float]) -> Predictors:
    """The row with other values of no source: nobody measured them. Raises OutOfRange for what no knob allows."""
    within(tuple(knobs(row, extra)), values)
    changed: dict[str, Any] = {
        name: structs.replace(
            getattr(row, name), value=value, bound=None, source="", also=(), as_sent="", method="hypothetical", notes=()
        )
        for name, value in values.items()
    }
    return type(row).given(row.at, **{**row.answers(), **changed})


def stages(egfr: float, acr: Reading[float]) -> str:
    """KDIGO's GFR and albuminuria categories: "G3b, A3"."""
    return f"{g_stage(egfr)}, {category(acr)}"
