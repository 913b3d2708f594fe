"""Chronic kidney disease staged as KDIGO does: eGFR, its category, albuminuria, risk colour, and its course."""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cds import (
    Chart,
    Contribution,
    Course,
    Explanation,
    Input,
    Missing,
    Reading,
    Reference,
    Refusal,
    RiskModel,
    Score,
    spell,
    unsuited,
)
from models._kidney.equation import (
    a_stage,
    egfr_ckd_epi_2021,
    egfr_combined_2021,
    egfr_cystatin_2012,
    g_stage,
    heat,
    round_half_up,
)
from models._kidney.refusals import acute_refusals
from models._kidney.told import EGFR_UNIT, acr_input, egfr_input, found_input, measured, missing_input, person_input
from models._kidney.words import acr_text, egfr_text
from models.kdigo_ckd.inputs import CkdInputs

EGFR, COMBINED, CYSTATIN = "eGFR", "eGFR from creatinine and cystatin C", "eGFR from cystatin C"
SLOPE = "eGFR slope"
RAPID = -5.0
"""Faster than this in mL/min/1.73 m² per year is rapid progression (KDIGO 2012)."""
_PAIRED = timedelta(days=30)
_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class KdigoCkd(RiskModel):
    id = "kdigo-ckd"
    predictors = CkdInputs

    def refuse(self, row: CkdInputs) -> Refusal | None:
        return next(_refusals(row), None)

    def predict(self, row: CkdInputs) -> Sequence[Score]:
        if isinstance(row.egfr, Missing):
            raise TypeError("a row with a missing input was not refused")
        found = [Score(EGFR, row.egfr.value, EGFR_UNIT, standing(row.egfr.value, row.acr))]
        found += _with_cystatin(row)
        if isinstance(row.slope, Reading):
            band = "rapid progression" if row.slope.value < RAPID else ""
            found.append(Score(SLOPE, row.slope.value, row.slope.unit, band))
        return tuple(found)

    def cautions(self, row: CkdInputs) -> Sequence[str]:
        return tuple(_cautions(row))

    def standing(self, row: CkdInputs) -> str:
        return standing(row.egfr.value, row.acr) if isinstance(row.egfr, Reading) else ""

    def exclusions(self, row: CkdInputs) -> Sequence[str]:
        doubts = {
            "dialysis now": None,
            "pregnancy": row.unclear_pregnancy,
            "acute kidney injury": row.unusable_creatinine,
        }
        return tuple(name for name, doubt in doubts.items() if not isinstance(doubt, Reading))

    def inputs(self, row: CkdInputs) -> Sequence[Input]:
        return tuple(_inputs(row))

    def explanation(self, row: CkdInputs) -> Explanation | None:
        return _explanation(row)

    def measured(self, chart: Chart, at: datetime) -> Course | None:
        return measured(chart, at)

    @classmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference | None:
        """A line of reference.csv: both laboratory values of one day, and a slope where one is given."""
        age, creatinine, sex = int(values["age"]), float(values["creatinine"]), _SEXES[values["sex"]]
        given: dict[str, Any] = {
            "age": Reading(age, "a"),
            "sex": Reading(sex),
            "egfr": Reading(egfr_ckd_epi_2021(creatinine, age, sex), EGFR_UNIT, _NOON, method="CKD-EPI 2021"),
            "creatinine": Reading(creatinine, "mg/dL", _NOON),
            "cystatin_c": Reading(float(values["cystatin_c"]), "mg/L", _NOON),
            "age_at_cystatin": Reading(age, "a"),
        }
        if values["acr"]:
            given["acr"] = Reading(float(values["acr"]), "mg/g", _NOON, method="spot urine")
        expected = {(EGFR, None): values["egfr"], (COMBINED, None): values["egfr_both"]}
        expected |= {(CYSTATIN, None): values["egfr_cystatin"]}
        return Reference(
            CkdInputs.given(_NOON, **given), {}, {slot: float(number) for slot, number in expected.items()}
        )


_SEXES: Mapping[str, Any] = {"F": "female", "M": "male"}


def standing(egfr: float, acr: Reading[float] | Missing) -> str:
    """KDIGO's categories and colour: "KDIGO G3a A2, orange (high risk)", or "KDIGO G3a, A not known"."""
    g, a = g_stage(egfr), None if isinstance(acr, Missing) else a_stage(acr.value, acr.bound)
    colour = heat(g, a)
    return f"KDIGO {g}{f' {a}' if a else ', A not known'}{f', {colour}' if colour else ''}"


def _with_cystatin(row: CkdInputs) -> Iterator[Score]:
    """Beside the eGFR from creatinine: the combined one where both are of within 30 days, and that of cystatin C."""
    cystatin, creatinine, age, sex = row.cystatin_c, row.creatinine, row.age_at_cystatin, row.sex
    if isinstance(cystatin, Missing) or isinstance(age, Missing) or isinstance(sex, Missing) or age.value < 18:
        return
    if isinstance(creatinine, Reading) and _paired(creatinine, cystatin):
        both = egfr_combined_2021(creatinine.value, cystatin.value, age.value, sex.value)
        yield Score(COMBINED, both, EGFR_UNIT, standing(both, row.acr))
    alone = egfr_cystatin_2012(cystatin.value, age.value, sex.value)
    yield Score(CYSTATIN, alone, EGFR_UNIT, f"KDIGO {g_stage(alone)} (UNVERIFIED equation)")


def _paired(creatinine: Reading[float], cystatin: Reading[float]) -> bool:
    return bool(creatinine.when and cystatin.when and abs(creatinine.when - cystatin.when) <= _PAIRED)


def _refusals(row: CkdInputs) -> Iterator[Refusal]:
    if (person := unsuited(row.deceased, row.age, row.sex)) is not None:
        yield person
    if isinstance(row.dialysis, Reading):
        yield Refusal("dialysis", f"dialysis recorded {row.dialysis.date}")
    if isinstance(row.pregnancy, Reading):
        yield Refusal("pregnancy", "pregnant, or within 12 weeks of delivery")
    yield from acute_refusals(row.aki_diagnosis, row.acute_rise, row.unexplained_rise)
    if isinstance(row.egfr, Missing):
        yield Refusal(f"egfr-{row.egfr.why.replace(' ', '-')}", egfr_text(row.egfr))


def _cautions(row: CkdInputs) -> Iterator[str]:
    for answer in (row.egfr, row.acr, row.cystatin_c):
        yield from answer.notes
    if isinstance(row.egfr, Reading):
        yield from _of_egfr(row, row.egfr)
    if isinstance(row.acr, Missing):
        yield f"albuminuria category not known: {acr_text(row.acr)}"
    yield from _of_cystatin(row)
    if isinstance(row.sustained_fall, Reading):
        yield (
            f"eGFR fell from {round_half_up(row.sustained_fall.value)} within a year, by 25% with a worse category "
            "or by 15 (NICE NG203)"
        )
    if isinstance(row.transplant, Reading):
        yield f"kidney transplant recorded {row.transplant.date}: KDIGO adds T to the stage"
    if isinstance(row.unclear_pregnancy, Reading):
        yield f"a pregnancy status of {row.unclear_pregnancy.date} could not be understood; ask"
    if isinstance(row.unusable_creatinine, Reading):
        found = row.unusable_creatinine
        what = f"a creatinine of {found.date} ({found.as_sent}) could not be read"
        yield f"{what}; acute injury is not ruled out"


def _of_egfr(row: CkdInputs, egfr: Reading[float]) -> Iterator[str]:
    old = isinstance(row.earlier_below_60, Reading) or isinstance(row.ckd_diagnosis_old, Reading)
    low = egfr.value < 60
    if low and not old:
        yield "one eGFR, not yet confirmed chronic"
    if not low:
        yield "an eGFR of 60 or more is chronic kidney disease only with a marker of kidney damage for three months"
    if egfr.method != "CKD-EPI 2021":
        yield f"eGFR {egfr.method}: not computed here"


def _of_cystatin(row: CkdInputs) -> Iterator[str]:
    cystatin = row.cystatin_c
    if isinstance(cystatin, Missing):
        if cystatin.why not in ("never recorded", "too old"):
            yield f"cystatin C not used: {cystatin.why}"
        return
    yield "the eGFR from cystatin C alone is by an equation whose implementation has no second source (UNVERIFIED)"
    if isinstance(row.creatinine, Missing) or not _paired(row.creatinine, cystatin):
        yield "creatinine and cystatin C are more than 30 days apart, or no creatinine was used: not combined"


def _inputs(row: CkdInputs) -> Iterator[Input]:
    yield person_input("Age", row.age, " years", "the birth date is missing or not precise enough")
    yield person_input("Sex", row.sex, "", "not recorded as male or female")
    yield egfr_input(row.egfr)
    if isinstance(row.cystatin_c, Reading):
        found = row.cystatin_c
        note = f"as sent: {found.as_sent}" if found.as_sent else ""
        yield found_input("Cystatin C", f"{spell(round(found.value, 2))} mg/L", note, found)
    else:
        yield missing_input("Cystatin C", row.cystatin_c, row.cystatin_c.why)
    yield acr_input(row.acr)
    if isinstance(row.slope, Reading):
        yield found_input("eGFR slope", f"{row.slope.value:.1f} {row.slope.unit}", row.slope.method, row.slope)
    else:
        yield missing_input("eGFR slope", row.slope, "needs three outpatient eGFR over a year or more")


def _explanation(row: CkdInputs) -> Explanation | None:
    """The factors of the eGFR from creatinine: creatinine as of this sex, then age. None for a reported eGFR."""
    if isinstance(row.egfr, Missing) or isinstance(row.creatinine, Missing) or isinstance(row.sex, Missing):
        return None
    start = egfr_ckd_epi_2021(0.7, 40, "female")
    at_forty = egfr_ckd_epi_2021(row.creatinine.value, 40, row.sex.value)
    age = f"{row.age.value} years" if isinstance(row.age, Reading) else ""
    creatinine = f"{spell(round(row.creatinine.value, 2))} mg/dL, {row.sex.value}"
    steps = (
        Contribution("Creatinine and sex", creatinine, "0.7 mg/dL, female", math.log(at_forty / start), "log value"),
        Contribution("Age", age, "40 years", math.log(row.egfr.value / at_forty), "log value"),
    )
    return Explanation(f"a woman of 40 with a creatinine of 0.7 mg/dL, whose eGFR is {start:.0f}", {}, steps)
