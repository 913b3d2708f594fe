"""The RiskAssessment rests on the very resources of the equation, says a bound, and carries no live Markdown."""

from typing import Any

import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment

from cds.risk.assessment import risk_assessment
from tests.charts import Json, acr, ago, condition, creatinine, lab, model, risk

SEEN_BEFORE = creatinine(1.9, ago(200), id="older")
NOW = (creatinine(2.0, ago(30), id="now"), acr(100, ago(30), id="acr"), SEEN_BEFORE)


def assessment(*resources: Json, variant: str = "kfre-4") -> dict[str, Any]:
    made = risk_assessment(risk(*resources, variant=variant), model(variant), patient_id="p", encounter_id="e")
    RiskAssessment.model_validate(made)
    return made


def basis(*resources: Json, variant: str = "kfre-4") -> list[str]:
    return [entry["reference"] for entry in assessment(*resources, variant=variant)["basis"]]


def test_the_basis_is_what_the_number_rests_on_and_nothing_else() -> None:
    """The older creatinine makes the disease chronic and the trend; the number does not rest on it."""
    assert basis(*NOW) == ["Observation/now", "Observation/acr"]


def test_the_basis_of_six_variables_names_the_diagnosis() -> None:
    diabetes = condition("icd10cm|E11.9", ago(900), "active", id="dm")
    assert basis(*NOW, diabetes, variant="kfre-6") == ["Observation/now", "Observation/acr", "Condition/dm"]


def test_the_basis_of_eight_variables_names_four_more_results() -> None:
    more = [
        lab("1751-7", 4.0, "g/dL", ago(30), id="albumin"),
        lab("2777-1", 3.9, "mg/dL", ago(30), id="phosphate"),
        lab("2028-9", 24, "mmol/L", ago(30), id="bicarbonate"),
        lab("17861-6", 9.2, "mg/dL", ago(30), id="calcium"),
    ]
    assert set(basis(*NOW, *more, variant="kfre-8")) == {
        f"Observation/{name}" for name in ("now", "acr", "albumin", "phosphate", "bicarbonate", "calcium")
    }


@pytest.mark.parametrize(("value", "said"), [("<20", "at most"), (">300", "at least"), (100, "")])
def test_a_bound_is_said_beside_the_probability(value: float | str, said: str) -> None:
    """D7: what is only a bound must not travel as an exact number."""
    for prediction in assessment(creatinine(2.9, ago(30), id="now"), acr(value, ago(30), id="acr"))["prediction"]:
        assert prediction["rationale"].startswith(said)
        assert prediction["qualitativeRisk"]["text"].startswith(said or "about")


def test_a_note_shows_what_the_chart_said_and_no_link() -> None:
    odd = creatinine(2.0, ago(20), unit="[x](http://t.example)", id="odd")
    notes = assessment(creatinine(2.0, ago(10), id="now"), odd, acr(100, ago(30), id="acr"))["note"]
    text = " ".join(note["text"] for note in notes)
    assert "could not be read" in text
    assert "[x](" not in text
    assert "://" not in text
