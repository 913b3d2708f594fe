"""What the cardiovascular equations ask of a chart, and when a chart shows diabetes."""

from datetime import datetime

from cds import (
    Age,
    Chart,
    Deceased,
    Feature,
    Latest,
    MeanOf,
    Missing,
    Need,
    Predictors,
    Reading,
    Result,
    Sex,
    Smoking,
    Taking,
    diagnosed,
    diagnosed_or_treated,
    lab_series,
    months,
)

HBA1C = lab_series("hba1c", count=10, required=False)
_DIAGNOSIS = diagnosed("diabetes")
_DIABETIC = 6.5
"""An HbA1c in % that, found on two days, is diabetes."""


class Diabetes(Feature[Reading[bool] | Missing]):
    """An active diagnosis, or an HbA1c of 6.5 % or more on two days.

    HbA1c results that were not read cannot add to the diagnoses, which were.
    """

    codes = _DIAGNOSIS.codes

    def needs(self) -> tuple[Need, ...]:
        return (*_DIAGNOSIS.needs(), *HBA1C.needs())

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        found = chart.read(_DIAGNOSIS, at)
        if isinstance(found, Reading) or HBA1C.need.key in chart.unread:
            return found
        high = [result for result in chart.read(HBA1C, at).counted if _shows_diabetes(result)]
        if len({result.at.date() for result in high}) < 2:
            return found
        newest = high[0]
        return Reading(True, when=newest.at, source=newest.source, method="HbA1c of 6.5% or more on two days")


def _shows_diabetes(result: Result) -> bool:
    return result.value is not None and result.value >= _DIABETIC and result.comparator in (None, ">")


class Heart(Predictors):
    """What PREVENT and the Pooled Cohort Equations both ask."""

    deceased = Deceased()
    age = Age()
    sex = Sex()
    ascvd = diagnosed_or_treated("ascvd_history", "coronary_revascularisation")
    total_cholesterol = Latest(lab_series("total_cholesterol", count=10), within=months(60))
    hdl_cholesterol = Latest(lab_series("hdl_cholesterol", count=10), within=months(60))
    sbp = MeanOf(lab_series("sbp"), at_most=3, within=months(12), outpatient=True)
    diabetes = Diabetes()
    smoking = Smoking()
    antihypertensive = Taking("antihypertensive")
