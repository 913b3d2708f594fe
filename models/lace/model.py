"""LACE as a risk model: whom an early readmission, or death, threatens after this stay."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from cds import (
    AcuteAdmission,
    Age,
    Charlson,
    Deceased,
    EmergencyVisits,
    Explanation,
    Input,
    LengthOfStay,
    Missing,
    Predictors,
    Reading,
    Reference,
    Refusal,
    RiskModel,
    Score,
    days,
    slug,
    very_old,
)
from models._points.items import Item, explained, notes_of, person_refusals, total, worded_inputs
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


class Lace(RiskModel):
    id = "lace"
    predictors = LaceRow

    def refuse(self, row: LaceRow) -> Refusal | None:
        return next(_refusals(row), None)

    def predict(self, row: LaceRow) -> Sequence[Score]:
        points = total(known(row))
        return (Score(OUTCOME, points, band="high" if points >= HIGH else "not high"),)

    def cautions(self, row: LaceRow) -> Sequence[str]:
        said = notes_of(row, ("length_of_stay", "emergency_visits"))
        if isinstance(row.length_of_stay, Reading) and row.length_of_stay.method:
            said.append("the stay is counted up to now")
        return [*said, *very_old(row.age)]

    def inputs(self, row: LaceRow) -> Sequence[Input]:
        return worded_inputs(self, row)

    def explanation(self, row: LaceRow) -> Explanation:
        return explained(known(row))

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


def known(row: LaceRow) -> Iterator[Item]:
    """The items that the row answers; all four in a row that is scored."""
    if isinstance(row.length_of_stay, Reading):
        yield equation.stay_item(row.length_of_stay.value)
    if isinstance(row.acute_admission, Reading):
        yield equation.acuity_item(acute=row.acute_admission.value)
    if isinstance(row.charlson, Reading):
        yield equation.comorbidity_item(row.charlson.value, row.charlson.method)
    if isinstance(row.emergency_visits, Reading):
        yield equation.visits_item(row.emergency_visits.value)


def _refusals(row: LaceRow) -> Iterator[Refusal]:
    yield from person_refusals(row, youngest=18)
    length = row.length_of_stay
    if isinstance(length, Missing):
        if length.why == "never recorded":
            yield Refusal("no-inpatient-stay", (*length.notes, "no inpatient stay is recorded")[0])
        yield Refusal(f"stay-{slug(length.why)}", f"the length of the stay is not known: {length.shown or length.why}")
    if isinstance(row.emergency_visits, Missing):
        yield Refusal("emergency-visits", "the emergency visits before this stay are not known")
    if isinstance(row.charlson, Missing):
        yield Refusal("charlson", "the comorbidities are not known")
    if isinstance(row.acute_admission, Missing):
        yield Refusal("ask", "ask: was this admission acute (unplanned)?")
