"""The HOSPITAL score as a risk model: whom a potentially avoidable readmission threatens after this stay."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from cds import (
    STAY_CODES,
    AcuteAdmission,
    Admissions,
    Age,
    Deceased,
    FromService,
    Item,
    LastOfStay,
    LengthOfStay,
    Missing,
    PointsModel,
    Predictors,
    ProcedureInStay,
    Reference,
    Refusal,
    asked_item,
    days,
    lab_series,
    measured_item,
    no_stay,
    notes_of,
    unsuited,
    without_answer,
)
from models.hospital import equation

OUTCOME = "HOSPITAL"
INTERMEDIATE, HIGH = 5, 7
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ASKED = {
    "oncology": "discharged from an oncology service?",
    "procedure": "any procedure in this stay?",
    "urgent": "was this admission urgent?",
}
MEASURED = {"hemoglobin": "hemoglobin of this stay", "sodium": "sodium of this stay"}


class HospitalRow(Predictors):
    deceased = Deceased()
    age = Age()
    hemoglobin = LastOfStay(lab_series("hemoglobin", count=10))
    oncology = FromService(STAY_CODES["oncology_service"], STAY_CODES["other_service"])
    sodium = LastOfStay(lab_series("sodium", count=10))
    procedure = ProcedureInStay(STAY_CODES["coded_procedure"])
    urgent = AcuteAdmission()
    admissions = Admissions(days(365))
    length_of_stay = LengthOfStay()


class Hospital(PointsModel):
    id = "hospital"
    predictors = HospitalRow

    def gate(self, row: HospitalRow) -> Refusal | None:
        return next(_refusals(row), None)

    def items(self, row: HospitalRow) -> Sequence[Item]:
        return (
            measured_item("Hemoglobin below 12 g/dL", row.hemoglobin, equation.hemoglobin_points, "{:g} g/dL".format),
            asked_item("Discharge from an oncology service", row.oncology, equation.ONCOLOGY),
            measured_item("Sodium below 135 mmol/L", row.sodium, equation.sodium_points, "{:g} mmol/L".format),
            asked_item("Coded procedure in the stay", row.procedure, equation.PROCEDURE),
            asked_item("Urgent admission", row.urgent, equation.URGENT),
            measured_item("Admissions in 12 months", row.admissions, equation.admissions_points),
            measured_item("Stay of 5 days or more", row.length_of_stay, equation.stay_points, "{} days".format),
        )

    def band(self, row: HospitalRow, points: int) -> str:
        return "high" if points >= HIGH else "intermediate" if points >= INTERMEDIATE else "low"

    def cautions(self, row: HospitalRow) -> Sequence[str]:
        said = notes_of(row, ("hemoglobin", "sodium", "admissions", "length_of_stay"))
        return [*said, "the bands of earlier admissions are those of 2016, which are UNVERIFIED here"]

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference:
        row = HospitalRow.given(
            _NOON,
            age=70,
            hemoglobin=float(values["hb"]),
            oncology=values["onc"] == "1",
            sodium=float(values["na"]),
            procedure=values["proc"] == "1",
            urgent=values["urgent"] == "1",
            admissions=int(values["adm12"]),
            length_of_stay=int(values["los"]),
        )
        return Reference(row, {}, {(OUTCOME, None): float(values["expected"])})


def _refusals(row: HospitalRow) -> Iterator[Refusal]:
    if (person := unsuited(row.deceased, row.age)) is not None:
        yield person
    if isinstance(row.length_of_stay, Missing):
        yield no_stay(row.length_of_stay)
    if isinstance(row.admissions, Missing):
        yield Refusal("admissions", "the admissions before this stay are not known")
    if missing := without_answer(row, MEASURED):
        yield Refusal("laboratory", f"no usable {', '.join(missing)}")
    if asked := [question for name, question in ASKED.items() if isinstance(getattr(row, name), Missing)]:
        yield Refusal("ask", f"ask: {' '.join(asked)}")
