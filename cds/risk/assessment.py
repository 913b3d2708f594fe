"""A risk as a FHIR R4 RiskAssessment, with the very resources that it rests on."""

import math
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

from msgspec import json

from cds.features.feature import Bound, Reading
from cds.risk.estimate import Estimate, Number, Risk, Score
from cds.risk.model import RiskModel
from cds.text import plain

METHOD_SYSTEM = "urn:bedside:risk-model"
IDENTIFIER_SYSTEM = "urn:bedside:risk-assessment"
_NAMESPACE = UUID("8d0b2f0e-6a57-5c0b-9a3e-5d7f2f4c1b60")


def identifier_of(risk: Risk, model: RiskModel, patient_id: str) -> str:
    """The same for the same numbers and cautions from the same results, on whatever road they were computed."""
    numbers = [_identifying(number) for number in risk.estimates]
    told = [patient_id, risk.model, risk.version, model.recorded_settings, numbers, risk.cautions]
    return str(uuid5(_NAMESPACE, sha256(json.encode([*told, list(basis(risk, model))])).hexdigest()))


def _identifying(number: Number) -> tuple[object, ...]:
    if isinstance(number, Score):
        return (number.outcome, number.value, number.unit, number.band, number.bound)
    return (number.outcome, number.horizon_years, number.probability, number.bound)


def assessment_id(risk: Risk, model: RiskModel, patient_id: str) -> str:
    """The id under which a run writes its assessment: one for a model, its settings, a patient and an instant."""
    told = [patient_id, risk.model, risk.version, model.recorded_settings, instant(risk.at)]
    return str(uuid5(_NAMESPACE, sha256(json.encode(told)).hexdigest()))


def risk_assessment(
    risk: Risk, model: RiskModel, *, patient_id: str, encounter_id: str | None = None, identifier: str | None = None
) -> dict[str, Any]:
    """A new RiskAssessment, status final. `probabilityDecimal` is a percentage with six decimals, as R4 reads it.

    `identifier` is `identifier_of` the same, where that is known already.
    """
    title = model.card.name
    assessment: dict[str, Any] = {
        "resourceType": "RiskAssessment",
        "identifier": [{"system": IDENTIFIER_SYSTEM, "value": identifier or identifier_of(risk, model, patient_id)}],
        "status": "final",
        "method": {
            "coding": [{"system": METHOD_SYSTEM, "code": risk.model, "version": risk.version, "display": title}],
            "text": f"{title}, {risk.model} version {risk.version}",
        },
        "subject": {"reference": f"Patient/{patient_id}"},
        "occurrenceDateTime": instant(risk.at),
        "basis": [{"reference": source} for source in basis(risk, model)],
        "prediction": [_prediction(estimate) for estimate in risk.estimates],
    }
    if encounter_id:
        assessment["encounter"] = {"reference": f"Encounter/{encounter_id}"}
    if risk.cautions:
        assessment["note"] = [{"text": plain(f"{caution[0].upper()}{caution[1:]}.")} for caution in risk.cautions]
    return assessment


def basis(risk: Risk, model: RiskModel) -> Iterable[str]:
    """The resources behind the inputs that the model's card names, each once; the Patient is the subject already."""
    answers = risk.row.answers()
    found = (answers[name].source for name in model.card.inputs if isinstance(answers[name], Reading))
    return dict.fromkeys(source for source in found if "/" in source and not source.startswith("Patient/"))


def _prediction(estimate: Number) -> dict[str, Any]:
    if isinstance(estimate, Score):  # R4's RiskAssessment has no place for a score but its words
        told = {
            "outcome": {"text": estimate.outcome},
            "rationale": f"{estimate.bound or ''} {shown_number(estimate)}".strip(),
        }
        return told | ({"qualitativeRisk": {"text": estimate.band}} if estimate.band else {})
    years = f"{estimate.horizon_years:g}"
    return {
        "outcome": {"text": estimate.outcome},
        "probabilityDecimal": estimate.percent,
        "qualitativeRisk": {"text": of_100(estimate.probability, estimate.bound)},
        "whenRange": {
            "low": _years(0),
            "high": _years(estimate.horizon_years),
        },
        "rationale": f"{estimate.bound or ''} {_spaced(estimate)} within {years} years".strip(),
    }


def shown_number(number: Number) -> str:
    """A number for a person: "15.4%", "5 points", "32.5 mL/min/1.73 m²"."""
    if isinstance(number, Score):
        unit = "point" if number.unit == "points" and number.value == 1 else number.unit
        return f"{_plainly(number.value)} {unit}".strip()
    return percent(number.probability, number.bound)


def _plainly(value: float) -> str:
    """A number in digits alone: three decimals below 10, one below 100, none above, and more where all would be 0."""
    size = abs(value)
    digits = 3 if size < 10 else 1 if size < 100 else 0
    while 0 < size < 0.5 * 10**-digits and digits < 12:
        digits += 1
    shown = f"{value + 0.0:.{digits}f}"  # -0.0 + 0.0 is 0.0
    return shown.rstrip("0").rstrip(".") if digits else shown


def _years(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "years", "system": "http://unitsofmeasure.org", "code": "a"}


def _spaced(estimate: Estimate) -> str:
    return percent(estimate.probability, estimate.bound).replace("%", " %")


def in_100(probability: float, bound: Bound | None = None) -> int:
    """How many people in 100, in whole people. A bound stays true: "at least" rounds down and "at most" up."""
    return int(rounded(probability * 100, 0, bound))


def of_100(probability: float, bound: Bound | None = None) -> str:
    """A probability in people: "about 15 in 100", "fewer than 1 in 100", "at most 30 in 100", "at least 9 in 1000"."""
    number = in_100(probability, bound)
    if bound == "at least" and number < 1:
        return f"at least {int(rounded(probability * 1000, 0, bound))} in 1000"
    if bound:
        return f"{bound} {number} in 100"
    if number < 1:
        return "fewer than 1 in 100"
    return "more than 99 in 100" if number > 99 and probability < 1 else f"about {number} in 100"


def people(probability: float, bound: Bound | None = None) -> str:
    """A probability as people: "about 15 in 100 people like this"."""
    return f"{of_100(probability, bound)} people like this"


def percent(probability: float, bound: Bound | None = None) -> str:
    """A probability as a percentage with one decimal, never 0% and never 100%.

    Behind a bound it stays true: what is "at least" this is rounded down, what is "at most" this is rounded up.
    """
    number = probability * 100
    if bound is None:
        return "<0.1%" if number < 0.05 else ">99.9%" if number >= 99.95 else f"{number:.1f}%"
    digits = (1, 2, 3, 4, 5, 6)
    shown = (f"{rounded(number, d, bound):.{d}f}" for d in digits if 0 < rounded(number, d, bound) < 100)
    return f"{next(shown, f'{number:g}')}%"


def rounded(number: float, digits: int, bound: Bound | None = None) -> float:
    """A number to so many decimals; behind "at least" never more than it was, behind "at most" never less."""
    scale = 10.0**digits
    if bound is None:
        return round(number, digits)
    exact = round(number * scale, 6)  # 9.8 * 10 is 98.00000000000001 in binary, and still 98
    return (math.floor(exact) if bound == "at least" else math.ceil(exact)) / scale


def instant(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
