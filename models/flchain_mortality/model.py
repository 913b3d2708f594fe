"""Death within five years from age, sex and creatinine: a trained model, as a demonstration of how one is kept."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from cds import (
    Age,
    Deceased,
    Latest,
    Missing,
    Predictors,
    Reading,
    Reference,
    Refusal,
    Sex,
    Told,
    TrainedModel,
    lab_series,
    months,
    very_old,
)

AGES = (50, 95)
CREATININES = (0.6, 3.0)
"""In mg/dL, as the ages the range of the people that it was trained on; cohort.py leaves out the others."""
DEMONSTRATION = "a demonstration, not for care: trained on one US county, 1995-2003"


class Inputs(Predictors):
    deceased = Deceased()
    age = Age()
    sex = Sex()
    creatinine = Latest(lab_series("creatinine", count=10), within=months(12))


class FlchainMortality(TrainedModel):
    id = "flchain-mortality"
    predictors = Inputs
    reference_person = "a woman of 65 with a creatinine of 0.9 mg/dL"
    reference_columns: ClassVar[Mapping[str, float]] = {"age": 65.0, "male": 0.0, "log_creatinine": math.log(0.9)}

    def refuse(self, row: Inputs) -> Refusal | None:
        if isinstance(row.deceased, Reading):
            return Refusal("deceased", f"deceased {row.deceased.date}".strip())
        if isinstance(row.age, Missing):
            return Refusal("age", f"age: {row.age.why}")
        if not AGES[0] <= row.age.value <= AGES[1]:
            return Refusal("age-out-of-range", f"age {row.age.value} is outside {AGES[0]} to {AGES[1]}")
        if isinstance(row.sex, Missing):
            return Refusal("sex", "sex is not recorded as male or female")
        if isinstance(row.creatinine, Missing):
            shown = f" ({row.creatinine.shown})" if row.creatinine.shown else ""
            return Refusal("creatinine", f"creatinine: {row.creatinine.why}{shown}")
        if not CREATININES[0] <= row.creatinine.value <= CREATININES[1]:
            reach = f"{CREATININES[0]:g} to {CREATININES[1]:g} mg/dL"
            return Refusal("creatinine-out-of-range", f"creatinine {row.creatinine.value:.3g} mg/dL is outside {reach}")
        return None

    def columns(self, row: Inputs) -> dict[str, float]:
        if isinstance(row.age, Missing) or isinstance(row.sex, Missing) or isinstance(row.creatinine, Missing):
            raise TypeError("a row with a missing input was not refused")
        male = 1.0 if row.sex.value == "male" else 0.0
        return {"age": float(row.age.value), "male": male, "log_creatinine": math.log(row.creatinine.value)}

    def told(self, column: str, value: float | str) -> Told:
        number = float(value)
        if column == "log_creatinine":
            return Told("Creatinine", f"{math.exp(number):.3g} mg/dL")
        return Told("Sex", "male" if number else "female") if column == "male" else Told("Age", f"{number:g} years")

    def cautions(self, row: Inputs) -> Sequence[str]:
        notes = row.creatinine.notes if isinstance(row.creatinine, Reading) else ()
        return (DEMONSTRATION, *notes, *very_old(row.age))

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference:
        given: dict[str, Any] = {
            "age": Reading(int(values["age"]), "a"),
            "sex": Reading("male" if values["sex"] == "M" else "female"),
            "creatinine": Reading(float(values["creatinine"]), "mg/dL", _NOON),
        }
        return Reference(Inputs.given(_NOON, **given), {}, {5.0: float(values["risk_5y"])})


_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
