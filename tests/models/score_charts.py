"""Small charts for the scores: a patient of some age, her diagnoses, medication and answers."""

from typing import Any

from tests.charts import Json, ago, concept, condition, lab, patient

AF, CIRRHOSIS = "icd10cm|I48.91", "icd10cm|K74.60"
WARFARIN, APIXABAN, IBUPROFEN = "rxnorm|11289", "rxnorm|1364430", "rxnorm|5640"
ASKED = "bedside"
YES, NO = "snomed|373066001", "snomed|373067005"


def aged(years: int, gender: str | None = "female", **members: Any) -> Json:
    """A patient whose birthday was in March."""
    return patient(birthDate=f"{2026 - years}-03-01", gender=gender, **members)


def diagnosed(code: str, days: float = 400, clinical: str | None = "active") -> Json:
    return condition(code, ago(days), clinical)


def taking(code: str, days: float = 30, status: str = "active", **members: Any) -> Json:
    return {
        "resourceType": "MedicationRequest",
        "status": status,
        "intent": "order",
        "medicationCodeableConcept": concept(code),
        "subject": {"reference": "Patient/p"},
        "authoredOn": ago(days),
        **members,
    }


def answer(name: str, said: str, days: float = 1, **members: Any) -> Json:
    """An explicit answer to what a score asks for."""
    return lab(f"{ASKED}|{name}", None, None, ago(days), valueCodeableConcept=concept(said), **members)


def ast(value: float | str | None, days: float = 5, unit: str | None = "U/L", **members: Any) -> Json:
    return lab("1920-8", value, unit, ago(days), **members)


def alt(value: float | str | None, days: float = 5, unit: str | None = "U/L", **members: Any) -> Json:
    return lab("1742-6", value, unit, ago(days), **members)


def platelets(value: float | str | None, days: float = 5, unit: str | None = "10*9/L", **members: Any) -> Json:
    return lab("777-3", value, unit, ago(days), **members)


def bilirubin(value: float | str | None, days: float = 1, unit: str | None = "mg/dL", **members: Any) -> Json:
    return lab("1975-2", value, unit, ago(days), **members)


def inr(value: float | str | None, days: float = 1, unit: str | None = "{INR}", **members: Any) -> Json:
    return lab("6301-6", value, unit, ago(days), **members)


def sodium(value: float | str | None, days: float = 1, unit: str | None = "mmol/L", **members: Any) -> Json:
    return lab("2951-2", value, unit, ago(days), **members)


def albumin(value: float | str | None, days: float = 1, unit: str | None = "g/dL", **members: Any) -> Json:
    return lab("1751-7", value, unit, ago(days), **members)


def pressure(systolic: float | str | None, days: float = 10, unit: str | None = "mm[Hg]", **members: Any) -> Json:
    return lab("8480-6", systolic, unit, ago(days), **members)
