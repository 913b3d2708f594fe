"""The rows of the kidney failure equations: what each variant asks of a chart."""

from cds import Age, Deceased, Latest, Predictors, Sex, lab_series, months
from models._kidney import acute, gates
from models._kidney.albuminuria import DIABETES, HYPERTENSION, Albuminuria
from models._kidney.egfr import EGFR, EarlierBelow60, SustainedFall
from models.kfre.earlier import EarlierInputs


class FourVariables(Predictors):
    """Age, sex, eGFR and urine albumin, with every gate and what must be said beside the number."""

    deceased = Deceased()
    age = Age()
    sex = Sex()
    transplant = gates.TRANSPLANT
    dialysis = gates.Dialysis()
    any_dialysis = gates.AnyDialysis()
    esrd = gates.ESRD
    pregnancy = gates.Pregnancy()
    unclear_pregnancy = gates.UnclearPregnancy()
    aki_diagnosis = gates.AKI_DIAGNOSIS
    acute_rise = acute.AcuteRise()
    unexplained_rise = acute.UnexplainedRise()
    unusable_creatinine = acute.UnusableCreatinine()
    egfr = EGFR
    acr = Albuminuria()
    earlier_below_60 = EarlierBelow60()
    ckd_diagnosis = gates.CKD_DIAGNOSIS
    ckd_diagnosis_old = gates.CKD_DIAGNOSIS_OLD
    sustained_fall = SustainedFall()
    palliative = gates.PALLIATIVE
    disease_specific = gates.DISEASE_SPECIFIC
    kidney_care = gates.KidneyCare()
    earlier = EarlierInputs()


class SixVariables(FourVariables):
    """With diabetes and hypertension: an empty Condition search means that the diagnosis is absent."""

    diabetes = DIABETES
    hypertension = HYPERTENSION


class EightVariables(FourVariables):
    """With serum albumin, phosphate, bicarbonate and calcium of the last twelve months."""

    albumin = Latest(lab_series("albumin", count=10, required=False), within=months(12))
    phosphate = Latest(lab_series("phosphate", count=10, required=False), within=months(12))
    bicarbonate = Latest(lab_series("bicarbonate", count=10, required=False), within=months(12))
    calcium = Latest(lab_series("calcium", count=10, required=False), within=months(12))
