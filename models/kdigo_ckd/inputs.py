"""What staging chronic kidney disease asks of a chart."""

from datetime import datetime

from cds import (
    Age,
    Chart,
    Deceased,
    Feature,
    Missing,
    Need,
    Predictors,
    Reading,
    Sex,
    age_on,
    lab_series,
    reading,
    unusable,
)
from models._kidney import acute, gates
from models._kidney.albuminuria import Albuminuria
from models._kidney.egfr import EGFR, LOOK_BACK, OUTPATIENT, EarlierBelow60, Outpatient, SustainedFall
from models._kidney.slope import EgfrSlope

_CYSTATIN = lab_series("cystatin_c", count=10, required=False)


class Cystatin(Feature[Reading[float] | Missing]):
    """The newest outpatient cystatin C of twelve months, in mg/L. If it cannot be used, no older one stands in."""

    codes = _CYSTATIN.codes

    def needs(self) -> tuple[Need, ...]:
        return (*_CYSTATIN.needs(), *OUTPATIENT.needs())

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        if _CYSTATIN.need.key in chart.unread:
            return Missing("not read")
        results = chart.read(_OUTSIDE, at)
        newest = results.newest
        if newest is None:
            return results.none()
        return unusable(newest, LOOK_BACK, at) or reading(newest, _CYSTATIN.analyte, results.notes(newest))


class _OutsideHospital(Outpatient):
    def __init__(self) -> None:
        self.series = _CYSTATIN


_OUTSIDE = _OutsideHospital()
CYSTATIN = Cystatin()


class Creatinine(Feature[Reading[float] | Missing]):
    """The creatinine in mg/dL from which the eGFR was computed; missing when a reported eGFR serves."""

    def needs(self) -> tuple[Need, ...]:
        return EGFR.needs()

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        egfr = chart.read(EGFR, at)
        newest = chart.read(OUTPATIENT, at).newest
        if isinstance(egfr, Missing) or egfr.method != "CKD-EPI 2021" or newest is None:
            return Missing("never recorded")
        return reading(newest, OUTPATIENT.series.analyte)


class AgeAtCystatin(Feature[Reading[int] | Missing]):
    """Completed years on the day of the cystatin C."""

    def needs(self) -> tuple[Need, ...]:
        return CYSTATIN.needs()

    def read(self, chart: Chart, at: datetime) -> Reading[int] | Missing:
        found, birth = chart.read(CYSTATIN, at), chart.person.birth
        newest = None if isinstance(found, Missing) else chart.read(_OUTSIDE, at).newest
        if newest is None or birth is None:
            return Missing("never recorded")
        age = age_on(birth, newest.when)
        return Missing("not precise enough") if age is None else Reading(age, "a")


class CkdInputs(Predictors):
    """Age, sex, eGFR, cystatin C, urine albumin and the eGFR over time, with every gate."""

    deceased = Deceased()
    age = Age()
    sex = Sex()
    transplant = gates.TRANSPLANT
    dialysis = gates.Dialysis()
    pregnancy = gates.Pregnancy()
    unclear_pregnancy = gates.UnclearPregnancy()
    aki_diagnosis = gates.AKI_DIAGNOSIS
    acute_rise = acute.AcuteRise()
    unexplained_rise = acute.UnexplainedRise()
    unusable_creatinine = acute.UnusableCreatinine()
    egfr = EGFR
    creatinine = Creatinine()
    cystatin_c = CYSTATIN
    age_at_cystatin = AgeAtCystatin()
    acr = Albuminuria()
    slope = EgfrSlope()
    sustained_fall = SustainedFall()
    earlier_below_60 = EarlierBelow60()
    ckd_diagnosis_old = gates.CKD_DIAGNOSIS_OLD
