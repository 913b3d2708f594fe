"""The HOSPITAL score as a risk model: whom a potentially avoidable readmission threatens after this stay."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from cds import (
    STAY_CODES,
    AcuteAdmission,
    Admissions,
    Age,
    Deceased,
    Explanation,
    FromService,
    Input,
    LastOfStay,
    LengthOfStay,
    Missing,
    Predictors,
    ProcedureInStay,
    Reading,
    Reference,
    Refusal,
    RiskModel,
    Score,
    days,
    lab_series,
    slug,
    very_old,
)
from models._points.items import Item, explained, notes_of, person_refusals, total, unanswered, worded_inputs
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


class Hospital(RiskModel):
    id = "hospital"
    predictors = HospitalRow

    def refuse(self, row: HospitalRow) -> Refusal | None:
        return next(_refusals(row), None)

    def predict(self, row: HospitalRow) -> Sequence[Score]:
        points = total(known(row))
        band = "high" if points >= HIGH else "intermediate" if points >= INTERMEDIATE else "low"
        return (Score(OUTCOME, points, band=band),)

    def cautions(self, row: HospitalRow) -> Sequence[str]:
        said = [*notes_of(row, ("hemoglobin", "sodium", "admissions", "length_of_stay")), *very_old(row.age)]
        return [*said, "the bands of earlier admissions are those of 2016, which are UNVERIFIED here"]

    def inputs(self, row: HospitalRow) -> Sequence[Input]:
        return worded_inputs(self, row)

    def explanation(self, row: HospitalRow) -> Explanation:
        return explained(known(row))

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


def known(row: HospitalRow) -> Iterator[Item]:
    """The items that the row answers; all seven in a row that is scored."""
    if isinstance(row.hemoglobin, Reading):
        yield equation.hemoglobin_item(row.hemoglobin.value)
    if isinstance(row.oncology, Reading):
        yield equation.oncology_item(oncology=row.oncology.value)
    if isinstance(row.sodium, Reading):
        yield equation.sodium_item(row.sodium.value)
    if isinstance(row.procedure, Reading):
        yield equation.procedure_item(done=row.procedure.value)
    if isinstance(row.urgent, Reading):
        yield equation.urgent_item(urgent=row.urgent.value)
    if isinstance(row.admissions, Reading):
        yield equation.admissions_item(row.admissions.value)
    if isinstance(row.length_of_stay, Reading):
        yield equation.stay_item(row.length_of_stay.value)


def _refusals(row: HospitalRow) -> Iterator[Refusal]:
    yield from person_refusals(row, youngest=18)
    length = row.length_of_stay
    if isinstance(length, Missing):
        if length.why == "never recorded":
            yield Refusal("no-inpatient-stay", (*length.notes, "no inpatient stay is recorded")[0])
        yield Refusal(f"stay-{slug(length.why)}", f"the length of the stay is not known: {length.shown or length.why}")
    if isinstance(row.admissions, Missing):
        yield Refusal("admissions", "the admissions before this stay are not known")
    if missing := unanswered(row, MEASURED):
        yield Refusal("laboratory", f"no usable {', '.join(missing)}")
    if asked := [question for name, question in ASKED.items() if isinstance(getattr(row, name), Missing)]:
        yield Refusal("ask", f"ask: {' '.join(asked)}")
