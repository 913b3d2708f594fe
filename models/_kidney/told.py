"""What a kidney score rests on, told line by line: person, eGFR, urine albumin, and the eGFR over time."""

from datetime import datetime
from typing import Any

from cds import Chart, Course, CoursePoint, Input, Missing, Reading
from models._kidney.albuminuria import CONVERTED, category, in_both_units
from models._kidney.egfr import course
from models._kidney.equation import a_stage, round_half_up
from models._kidney.words import acr_text, egfr_text

EGFR_UNIT = "mL/min/1.73 m²"


def person_input(name: str, answer: Reading[Any] | Missing, unit: str, missing: str) -> Input:
    sources = (answer.source,) if answer.source else ()
    if isinstance(answer, Missing):
        return Input(name, sources=sources, missing=missing)
    return Input(name, f"{answer.value}{unit}", sources=sources)


def egfr_input(answer: Reading[float] | Missing) -> Input:
    if isinstance(answer, Missing):
        return missing_input("Creatinine or eGFR", answer, egfr_text(answer))
    note = f"from creatinine {answer.as_sent}" if answer.method == "CKD-EPI 2021" else ""
    return found_input(f"eGFR ({answer.method})", f"{round_half_up(answer.value)} {EGFR_UNIT}", note, answer)


def acr_input(answer: Reading[float] | Missing) -> Input:
    if isinstance(answer, Missing):
        return missing_input("Urine ACR", answer, acr_text(answer))
    note = f"from {answer.as_sent}" if answer.method == CONVERTED else _by_unit(answer)
    return found_input(f"Urine ACR ({answer.method})", f"{bounded(answer)}{in_both_units(answer.value)}", note, answer)


def _by_unit(answer: Reading[float]) -> str:
    """Said where KDIGO's bands for mg/mmol, the unit that was sent, give another category than those for mg/g."""
    found = category(answer)
    return f"{found} by the bands for mg/mmol, as sent" if found != a_stage(answer.value, answer.bound) else ""


def bounded(answer: Reading[float]) -> str:
    return f"{answer.bound} " if answer.bound else ""


def found_input(name: str, value: str, note: str, answer: Reading[Any]) -> Input:
    date = answer.date if answer.when else ""
    return Input(name, value, note, date, answer.when, tuple(filter(None, (answer.source, *answer.also))))


def missing_input(name: str, answer: Missing, why: str) -> Input:
    date = answer.date if answer.when else ""
    return Input(name, answer.shown, "", date, answer.when, (answer.source,) if answer.source else (), why)


def measured(chart: Chart, at: datetime) -> Course | None:
    """Every outpatient eGFR by the equation of today, oldest first."""
    points = tuple(
        CoursePoint(result.at, result.date, value, shown=str(round_half_up(value)))
        for result, value in course(chart, at)
    )
    return Course("eGFR", EGFR_UNIT, points) if points else None
