"""The row of MELD 3.0: what it asks of a chart, and how old each result may be."""

from datetime import datetime, timedelta

from cds import (
    ENCOUNTERS,
    Age,
    Chart,
    Deceased,
    Feature,
    Latest,
    LookBack,
    Missing,
    Need,
    Predictors,
    Reading,
    Sex,
    Taking,
    days,
    diagnosed,
    lab_series,
    structs,
)
from models._kidney import gates
from models._kidney.egfr import in_hospital
from models.meld_3.dialysis import DialysisTwice

WEEK: LookBack = days(7)
QUARTER: LookBack = days(90)
ONE_DRAW = timedelta(hours=24)
"""Bilirubin, INR and a hospital's creatinine count as one draw when they lie within this of each other."""
CREATININE = lab_series("creatinine")
HOSPITAL = "hospital"


class Creatinine(Feature[Reading[float] | Missing]):
    """The newest creatinine in mg/dL: of 7 days when it arose in hospital, else of 90; `method` tells a hospital's."""

    codes = CREATININE.codes

    def needs(self) -> tuple[Need, ...]:
        return (*CREATININE.needs(), ENCOUNTERS)

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        newest = chart.read(CREATININE, at).newest
        chart.facts("", ENCOUNTERS.key)  # where it arose is not known while encounters could not be read
        inside = newest is not None and in_hospital(chart, newest)
        answer = Latest(CREATININE, within=WEEK if inside else QUARTER).read(chart, at)
        return structs.replace(answer, method=HOSPITAL) if inside and isinstance(answer, Reading) else answer


class Inputs(Predictors):
    """Age, sex and five laboratory results, with cirrhosis, vitamin K antagonists and dialysis."""

    deceased = Deceased()
    age = Age()
    sex = Sex()
    cirrhosis = diagnosed("cirrhosis", active=False)
    vitamin_k_antagonist = Taking("vitamin_k_antagonist")
    dialysis_twice = DialysisTwice()
    dialysis = gates.Dialysis()
    bilirubin = Latest(lab_series("bilirubin", count=10), within=WEEK)
    inr = Latest(lab_series("inr", count=10), within=WEEK)
    creatinine = Creatinine()
    sodium = Latest(lab_series("sodium", count=10), within=WEEK)
    albumin = Latest(lab_series("albumin", count=10), within=QUARTER)
