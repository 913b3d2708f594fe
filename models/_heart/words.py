"""How the cardiovascular models name their inputs, and say why one is missing or cannot be used."""

from collections.abc import Iterator
from typing import Any

from cds import FAULTS, Input, Missing, Reading, Refusal, cut, slug, spell, structs
from models._heart.inputs import Heart

NAMES = {
    "age": "age",
    "sex": "sex",
    "race": "race",
    "total_cholesterol": "total cholesterol",
    "hdl_cholesterol": "HDL cholesterol",
    "sbp": "systolic blood pressure",
    "bmi": "body mass index",
    "egfr": "eGFR",
    "acr": "urine albumin-creatinine ratio",
    "hba1c": "HbA1c",
    "sdi": "social deprivation index",
    "diabetes": "diabetes",
    "smoking": "smoking status",
    "antihypertensive": "antihypertensive drug",
    "statin": "statin",
}
UNITS = {
    "age": "years", "total_cholesterol": "mg/dL", "hdl_cholesterol": "mg/dL", "sbp": "mmHg", "bmi": "kg/m²",
    "egfr": "mL/min/1.73 m²", "acr": "mg/g", "hba1c": "%",
}  # fmt: skip
_PERIODS = {
    "total_cholesterol": "5 years", "hdl_cholesterol": "5 years", "sbp": "12 months", "bmi": "24 months",
    "egfr": "12 months", "acr": "24 months", "hba1c": "12 months",
}  # fmt: skip
_FAULTS = FAULTS | {
    "unit not accepted": "has a unit that is not accepted, or none",
    "no value": "was not sent as a number",
    "not stated": "is not stated",
}
YES_OR_NO = ("diabetes", "antihypertensive", "statin")
"""Inputs of which a search that was read and is empty means no."""


def label(name: str) -> str:
    """An input's name at the head of a line; eGFR keeps its small first letter."""
    called = NAMES[name]
    return called if called[1].isupper() else called[0].upper() + called[1:]


def missing_text(name: str, missing: Missing) -> str:
    """Why there is no such input, for a clinician."""
    called = NAMES[name]
    match missing.why:
        case "never recorded" if name == "smoking":
            return "smoking status is not recorded; ask"
        case "not stated" if name == "smoking":
            return "smoking status is recorded as unknown; ask"
        case "too old" if name == "smoking":
            return f"smoking status {missing.shown}{_on(missing)} is over 5 years old; ask"
        case "never recorded" | "too old":
            return f"no {called} in the last {_PERIODS[name]}"
        case "hospital values only":
            return f"hospital values only; no outpatient {called} in the last {_PERIODS[name]}"
        case "not read":
            return f"{called} could not be read"
        case why:
            of = f" {cut(missing.shown)}" if missing.shown else ""
            return f"{called}{of}{_on(missing)} {_FAULTS.get(why, why)}"


def _on(missing: Missing) -> str:
    return f" ({missing.date})" if missing.when else ""


def absent(name: str, missing: Missing) -> Refusal:
    """The refusal for an input without which there is no number."""
    return Refusal(f"{name.replace('_', '-')}-{slug(missing.why)}", missing_text(name, missing))


def person_refusals(row: Heart, youngest: int, oldest: int) -> Iterator[Refusal]:
    """Deceased, an age beyond the equations, no sex, a cardiovascular disease that they would predict."""
    if isinstance(row.deceased, Reading):
        yield Refusal("deceased", f"deceased {row.deceased.date}" if row.deceased.when else "deceased")
    if isinstance(row.age, Missing):
        how = "birth date is missing" if row.age.why == "never recorded" else "birth date is not precise enough"
        yield Refusal("age", how)
    elif not youngest <= row.age.value <= oldest:
        yield Refusal("age", f"age {row.age.value:g}: the equations are for {youngest} to {oldest} years")
    if isinstance(row.sex, Missing):
        yield Refusal("sex", "sex is not recorded as male or female")
    if isinstance(row.ascvd, Reading):
        yield Refusal("ascvd", dated("atherosclerotic cardiovascular disease recorded", row.ascvd))


DRUGS = {"antihypertensive": "an antihypertensive drug", "statin": "a statin"}
_NOT_TAKEN = frozenset({"never recorded", "not read", "too old"})
"""Prescriptions that were read and show no drug of today; what patients state themselves is optional."""


def drug_refusals(row: Heart, *names: str) -> Iterator[Refusal]:
    """A drug that is on hold, of unknown status, without a date or without a name is neither taken nor not taken."""
    for name in names:
        answer = row.answers()[name]
        if isinstance(answer, Missing) and answer.why not in _NOT_TAKEN:
            yield Refusal(f"{name}-{slug(answer.why)}", _unclear(name, answer))


def _unclear(name: str, missing: Missing) -> str:
    what = cut(missing.shown) if missing.shown else "a medication"
    fault = "has no clear status" if missing.why == "not stated" else _FAULTS.get(missing.why, missing.why)
    return f"whether {DRUGS[name]} is taken is not clear: {what}{_on(missing)} {fault}"


def drug_cautions(row: Heart, *names: str) -> Iterator[str]:
    for name in names:
        answer = row.answers()[name]
        if isinstance(answer, Missing) and answer.why == "too old":
            yield f"the prescription of {DRUGS[name]} ({answer.date}) is over 12 months old: counted as not taken"


def dated(what: str, found: Reading[Any]) -> str:
    return f"{what} {found.date}" if found.when else what


def as_input(name: str, told: Input, answer: Reading[Any] | Missing) -> Input:
    """A line of what a score rests on, in the words of this field."""
    told = structs.replace(told, name=label(name))
    if name in DRUGS and isinstance(answer, Missing) and answer.why not in _NOT_TAKEN:
        return structs.replace(told, missing=_unclear(name, answer))
    if name in YES_OR_NO:
        how = answer.method if isinstance(answer, Reading) else ""
        return structs.replace(told, value="recorded" if answer_is(answer) else "not recorded", note=how, missing="")
    if isinstance(answer, Missing):
        why = missing_text(name, answer) if name in _PERIODS or name == "smoking" else answer.why
        return structs.replace(told, missing=why)
    if name in UNITS:
        value = amount(name, answer.value)
        sent = "" if told.note == f"as sent: {value}" else told.note
        return structs.replace(told, value=value, note=answer.method or sent)
    return told


def amount(name: str, value: float) -> str:
    """A value with its unit: "213 mg/dL", "5.6%"."""
    shown, unit = spell(round(value, 2)), UNITS[name]
    return f"{shown}%" if unit == "%" else f"{shown} {unit}"


def answer_is(answer: Reading[Any] | Missing) -> bool:
    return isinstance(answer, Reading) and bool(answer.value)
