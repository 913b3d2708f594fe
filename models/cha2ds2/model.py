"""CHA2DS2-VASc and CHA2DS2-VA: points for the risk of stroke in atrial fibrillation."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from cds import (
    Age,
    Deceased,
    Item,
    Missing,
    PointsModel,
    Predictors,
    Reading,
    Reference,
    Refusal,
    Sex,
    Taking,
    diagnosed,
    measured_item,
    recorded_item,
    unsuited,
)

_ESC_2020 = "Lip et al. 2010; ESC guidelines of 2016 and 2020"
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_DIAGNOSES = {
    "heart_failure": ("Heart failure", 1),
    "hypertension": ("Hypertension", 1),
    "diabetes": ("Diabetes", 1),
    "stroke": ("Stroke, TIA or thromboembolism", 2),
    "vascular_disease": ("Vascular disease", 1),
}


class Inputs(Predictors):
    """Age and five diagnoses, behind the gate of atrial fibrillation; and whether an anticoagulant is recorded."""

    deceased = Deceased()
    age = Age()
    atrial_fibrillation = diagnosed("atrial_fibrillation")
    valve = diagnosed("mechanical_valve_or_mitral_stenosis", active=False)
    heart_failure = diagnosed("heart_failure", active=False)
    hypertension = diagnosed("hypertension")
    diabetes = diagnosed("diabetes")
    stroke = diagnosed("stroke_tia_te", active=False)
    vascular_disease = diagnosed("vascular_disease", active=False)
    anticoagulant = Taking("anticoagulant", "vitamin_k_antagonist")


class InputsWithSex(Inputs):
    """The same with sex."""

    sex = Sex()


class Cha2ds2(PointsModel):
    """What the two scores share."""

    def gate(self, row: Inputs) -> Refusal | None:
        if (person := unsuited(row.deceased, row.age, getattr(row, "sex", None))) is not None:
            return person
        if isinstance(row.atrial_fibrillation, Missing):
            return Refusal("no-atrial-fibrillation", "no active atrial fibrillation is recorded")
        if isinstance(row.valve, Reading):
            what = f"mechanical valve or mitral stenosis recorded {row.valve.date}"
            return Refusal("valve", f"{what}: anticoagulation does not depend on this score")
        return None

    def items(self, row: Inputs) -> Sequence[Item]:
        diagnoses = [recorded_item(name, getattr(row, key), worth) for key, (name, worth) in _DIAGNOSES.items()]
        return (*diagnoses[:2], _age(row.age), *diagnoses[2:])

    def exclusions(self, row: Inputs) -> Sequence[str]:
        return ("mechanical valve", "moderate or severe mitral stenosis")

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference | None:
        if values["score"] != cls.id:
            return None
        given: dict[str, Any] = {name: Reading(True) for name in _DIAGNOSES if values[name] == "1"}
        if values["female"]:
            given["sex"] = Reading("female" if values["female"] == "1" else "male")
        age = Reading(int(values["age"]), "a")
        row = cls.predictors.given(_NOON, age=age, atrial_fibrillation=Reading(True), **given)
        outcome = "CHA2DS2-VA" if cls is Cha2ds2Va else "CHA2DS2-VASc"
        return Reference(row, {}, {(outcome, None): float(values["points"])})


def _age(age: Reading[int] | Missing) -> Item:
    return measured_item("Age", age, lambda years: 2 if years >= 75 else int(years >= 65), "{} years".format)


class Cha2ds2Va(Cha2ds2):
    """Without sex. 2024 ESC guideline for atrial fibrillation."""

    id = "cha2ds2-va"
    predictors = Inputs

    def band(self, row: Inputs, points: int) -> str:
        return RECOMMENDED if points >= 2 else CONSIDERED if points == 1 else ""


class Cha2ds2Vasc(Cha2ds2):
    """With a point for female sex. Lip et al., Chest 2010;137:263."""

    id = "cha2ds2-vasc"
    predictors = InputsWithSex
    card_of_variant: ClassVar[Mapping[str, Any]] = {
        "name": "CHA2DS2-VASc",
        "short_name": "CHA2DS2-VASc",
        "outcome": "CHA2DS2-VASc",
        "inputs": {"sex": "male or female, from the sex parameter for clinical use or gender"},
        "thresholds": [
            {"at_least": 2, "action": "Oral anticoagulation is recommended in men", "source": _ESC_2020},
            {"at_least": 3, "action": "Oral anticoagulation is recommended in women", "source": _ESC_2020},
        ],
    }

    def items(self, row: Any) -> Sequence[Item]:
        return (*super().items(row), measured_item("Female sex", row.sex, lambda sex: int(sex == "female")))

    def band(self, row: Any, points: int) -> str:
        woman = isinstance(row.sex, Reading) and row.sex.value == "female"
        return RECOMMENDED if points >= (3 if woman else 2) else ""


RECOMMENDED = "anticoagulation recommended"
CONSIDERED = "anticoagulation to be considered"
