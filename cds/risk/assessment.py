"""A risk as a FHIR R4 RiskAssessment, with the very resources that it rests on."""

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

from msgspec import json

from cds.features.feature import Reading
from cds.risk.estimate import Estimate, Risk
from cds.risk.model import RiskModel
from cds.text import plain

METHOD_SYSTEM = "urn:bedside:risk-model"
IDENTIFIER_SYSTEM = "urn:bedside:risk-assessment"
_NAMESPACE = UUID("8d0b2f0e-6a57-5c0b-9a3e-5d7f2f4c1b60")


def identifier_of(risk: Risk, model: RiskModel, patient_id: str) -> str:
    """The same for the same numbers and cautions from the same results, on whatever road they were computed."""
    numbers = [(e.outcome, e.horizon_years, e.probability, e.bound) for e in risk.estimates]
    told = [patient_id, risk.model, risk.version, model.recorded_settings, numbers, risk.cautions]
    return str(uuid5(_NAMESPACE, sha256(json.encode([*told, list(basis(risk, model))])).hexdigest()))


def risk_assessment(
    risk: Risk, model: RiskModel, *, patient_id: str, encounter_id: str | None = None
) -> dict[str, Any]:
    """A new RiskAssessment, status final. `probabilityDecimal` is a percentage with six decimals, as R4 reads it."""
    title = model.card.name
    assessment: dict[str, Any] = {
        "resourceType": "RiskAssessment",
        "identifier": [{"system": IDENTIFIER_SYSTEM, "value": identifier_of(risk, model, patient_id)}],
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


def _prediction(estimate: Estimate) -> dict[str, Any]:
    years = f"{estimate.horizon_years:g}"
    return {
        "outcome": {"text": estimate.outcome},
        "probabilityDecimal": estimate.percent,
        "qualitativeRisk": {"text": f"{estimate.bound or 'about'} {in_100(estimate.probability)} in 100"},
        "whenRange": {
            "low": _years(0),
            "high": _years(estimate.horizon_years),
        },
        "rationale": f"{estimate.bound or ''} {estimate.percent:.1f} % within {years} years".strip(),
    }


def _years(value: float) -> dict[str, Any]:
    return {"value": value, "unit": "years", "system": "http://unitsofmeasure.org", "code": "a"}


def in_100(probability: float) -> str:
    """How many people in 100, in whole people; "fewer than 1" rather than 0."""
    number = round(probability * 100)
    return "fewer than 1" if number < 1 else "more than 99" if number > 99 and probability < 1 else str(number)


def people(probability: float) -> str:
    """A probability as people: "about 15 in 100 people like this"."""
    number = in_100(probability)
    return f"{'about ' if number.isdigit() else ''}{number} in 100 people like this"


def percent(probability: float) -> str:
    """A probability as a percentage with one decimal, never 0% and never 100%."""
    number = probability * 100
    return "<0.1%" if number < 0.05 else ">99.9%" if number >= 99.95 else f"{number:.1f}%"


def instant(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
