"""LACE as a risk model: whom an early readmission, or death, threatens after this stay."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from cds import (
    AcuteAdmission,
    Age,
    Charlson,
    Deceased,
    EmergencyVisits,
    Item,
    LengthOfStay,
    Missing,
    PointsModel,
    Predictors,
    Reading,
    Reference,
    Refusal,
    asked_item,
    days,
    measured_item,
    no_stay,
    notes_of,
    unsuited,
)
from models.lace import equation

OUTCOME = "LACE"
HIGH = 10
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class LaceRow(Predictors):
    deceased = Deceased()
    age = Age()
    length_of_stay = LengthOfStay()
    acute_admission = AcuteAdmission()
    charlson = Charlson(equation.WEIGHTS, equation.ONCE)
    emergency_visits = EmergencyVisits(days(180))


class Lace(PointsModel):
    id = "lace"
    predictors = LaceRow

    def gate(self, row: LaceRow) -> Refusal | None:
        return next(_refusals(row), None)

    def items(self, row: LaceRow) -> Sequence[Item]:
        return (
            measured_item("Length of stay", row.length_of_stay, equation.stay_points, "{} days".format),
            asked_item("Acute admission", row.acute_admission, equation.ACUTE),
            measured_item(
                "Comorbidity",
                row.charlson,
                equation.comorbidity_points,
                lambda _: row.charlson.method or "none recorded",
            ),
            measured_item("Emergency visits in 180 days", row.emergency_visits, equation.visit_points),
        )

    def band(self, row: LaceRow, points: int) -> str:
        return "high" if points >= HIGH else "not high"

    def cautions(self, row: LaceRow) -> Sequence[str]:
        said = notes_of(row, ("length_of_stay", "emergency_visits"))
        if isinstance(row.length_of_stay, Reading) and row.length_of_stay.method:
            said.append("the stay is counted up to now")
        return said

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference:
        row = LaceRow.given(
            _NOON,
            age=70,
            length_of_stay=int(values["los"]),
            acute_admission=values["acute"] == "1",
            charlson=int(values["cci"]),
            emergency_visits=int(values["ed"]),
        )
        return Reference(row, {}, {(OUTCOME, None): float(values["expected"])})


def _refusals(row: LaceRow) -> Iterator[Refusal]:
    if (person := unsuited(row.deceased, row.age)) is not None:
        yield person
    if isinstance(row.length_of_stay, Missing):
        yield no_stay(row.length_of_stay)
    if isinstance(row.emergency_visits, Missing):
        yield Refusal("emergency-visits", "the emergency visits before this stay are not known")
    if isinstance(row.charlson, Missing):
        yield Refusal("charlson", "the comorbidities are not known")
    if isinstance(row.acute_admission, Missing):
        yield Refusal("ask", "ask: was this admission acute (unplanned)?")
