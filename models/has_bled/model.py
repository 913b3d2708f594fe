"""HAS-BLED: nine points for the risk of bleeding in atrial fibrillation."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files

from cds import (
    CONDITION_CODES,
    CONDITIONS,
    NOT_THERE,
    Age,
    Answered,
    Deceased,
    Ever,
    Item,
    Latest,
    Missing,
    PointsModel,
    Predictors,
    Reading,
    Reference,
    Refusal,
    Taking,
    asked_item,
    diagnosed,
    lab_series,
    measured_item,
    months,
    read_code_sets,
    recorded_item,
    unsuited,
    very_old,
)
from models._kidney import gates
from models.has_bled.labile import TimeInRange

_CODES = read_code_sets(files("models.has_bled") / "codes.csv")
CREATININE = 2.26
"""mg/dL: the publication's 200 µmol/L as laboratories print it."""
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Inputs(Predictors):
    """Nine items, of which alcohol has to be asked, and labile INR where too few were measured."""

    deceased = Deceased()
    age = Age()
    atrial_fibrillation = diagnosed("atrial_fibrillation")
    systolic = Latest(lab_series("sbp", count=10, required=False), within=months(12))
    dialysis = gates.Dialysis()
    transplant = gates.TRANSPLANT
    creatinine = Latest(lab_series("creatinine", required=False), within=months(12))
    liver = diagnosed("cirrhosis", active=False)
    stroke = Ever(CONDITION_CODES["ischaemic_stroke"], _CODES["stroke_history"], needs=(CONDITIONS,))
    bleeding = diagnosed("bleeding", active=False)
    vitamin_k_antagonist = Taking("vitamin_k_antagonist")
    time_in_range = TimeInRange()
    labile_inr = Answered("labile_inr", within=months(6))
    drugs = Taking("antiplatelet", "nsaid")
    alcohol_misuse = diagnosed("alcohol_misuse")
    alcohol = Answered("alcohol_8_drinks_a_week", within=months(12))


class HasBled(PointsModel):
    """Pisters et al., Chest 2010;138:1093."""

    id = "has-bled"
    predictors = Inputs

    def gate(self, row: Inputs) -> Refusal | None:
        if (person := unsuited(row.deceased, row.age)) is not None:
            return person
        if isinstance(row.atrial_fibrillation, Missing):
            return Refusal("no-atrial-fibrillation", "no active atrial fibrillation is recorded")
        return None

    def items(self, row: Inputs) -> Sequence[Item]:
        return (
            measured_item("Systolic pressure", row.systolic, lambda value: int(value > 160), "{:g} mmHg".format),
            _kidney(row),
            recorded_item("Cirrhosis", row.liver, 1),
            recorded_item("Stroke", row.stroke, 1),
            recorded_item("Bleeding", row.bleeding, 1),
            _labile(row),
            measured_item("Age over 65", row.age, lambda years: int(years > 65), "{} years".format),
            recorded_item("Antiplatelet or NSAID", row.drugs, 1),
            _alcohol(row),
        )

    def band(self, row: Inputs, points: int) -> str:
        return "high" if points >= 3 else "not high"

    def cautions(self, row: Inputs) -> Sequence[str]:
        liver = () if isinstance(row.liver, Reading) else (LIVER,)
        results = (*row.systolic.notes, *row.creatinine.notes)
        return (NEVER_ALONE, *liver, *results, *very_old(row.age))

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference | None:
        yes = {name for name, value in values.items() if value == "1"}
        row = cls.predictors.given(
            _NOON,
            age=Reading(int(values["age"]), "a"),
            atrial_fibrillation=Reading(True),
            systolic=Reading(170.0 if "hypertension" in yes else 130.0, "mm[Hg]"),
            creatinine=Reading(3.0 if "renal" in yes else 1.0, "mg/dL"),
            vitamin_k_antagonist=Reading(True),
            time_in_range=Reading(0.5 if "labile_inr" in yes else 0.7),
            alcohol=Reading("alcohol" in yes),
            **{name: Reading(True) for name in ("liver", "stroke", "bleeding", "drugs") if name in yes},
        )
        return Reference(row, {}, {("HAS-BLED", None): float(values["points"])})


NEVER_ALONE = "a high bleeding score is never by itself a reason to withhold anticoagulation: treat what can be changed"
LIVER = (
    "liver enzymes are not compared with the laboratory's own limits: one point more where bilirubin is above twice "
    "and AST, ALT or ALP above three times the upper limit"
)


def _kidney(row: Inputs) -> Item:
    name = "Creatinine 2.26 mg/dL (200 µmol/L) or more, dialysis or transplant"
    for what, answer in (("dialysis", row.dialysis), ("kidney transplant", row.transplant)):
        if isinstance(answer, Reading):
            return Item(name, f"{what}, {answer.date}", 1)
    return measured_item(name, row.creatinine, lambda value: int(value >= CREATININE - 1e-9), "{:.3g} mg/dL".format)


def _labile(row: Inputs) -> Item:
    """Only on a vitamin K antagonist; a time in range below 60 %, or, with too few INRs, an answer."""
    name, share = "Labile INR", row.time_in_range
    if isinstance(row.vitamin_k_antagonist, Missing) and row.vitamin_k_antagonist.why in NOT_THERE:
        return Item(name, "no vitamin K antagonist recorded", 0)
    if isinstance(share, Reading) and isinstance(row.vitamin_k_antagonist, Reading):
        return Item(name, f"{share.value * 100:.0f}% of 6 months in range", 1 if share.value < 0.60 else 0)
    return asked_item("labile INR (less than 60% of the time in range)", row.labile_inr, 1)


def _alcohol(row: Inputs) -> Item:
    if isinstance(row.alcohol_misuse, Reading):
        return recorded_item("Alcohol", row.alcohol_misuse, 1)
    return asked_item("8 or more alcoholic drinks a week", row.alcohol, 1)
