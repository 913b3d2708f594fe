"""What an earlier score would have rested on, so that a card can say how the risk has moved."""

from datetime import datetime, timedelta

from cds import Age, Chart, Feature, Missing, Need, Reading
from models.kfre.albuminuria import Albuminuria
from models.kfre.egfr import CREATININE, EGFR, outpatient
from models.kfre.gates import AcuteRise

_AGE = Age()
_ACR = Albuminuria()
_ACUTE = AcuteRise()
Inputs = tuple[float, float, float]


class EarlierInputs(Feature[Reading[Inputs] | Missing]):
    """Age, eGFR and albumin as of the newest creatinine at least 90 days before the one used, by the same eGFR method."""

    def needs(self) -> tuple[Need, ...]:
        return (*EGFR.needs(), *_ACR.needs())

    def read(self, chart: Chart, at: datetime) -> Reading[Inputs] | Missing:
        used = chart.read(EGFR, at)
        if isinstance(used, Missing) or used.when is None or used.method != "CKD-EPI 2021":
            return Missing("never recorded")
        limit = used.when - timedelta(days=90)
        older = [r.at for r in outpatient(chart, chart.read(CREATININE, at)).counted if r.at <= limit]
        return _as_of(chart, older[0]) if older else Missing("never recorded")


def _as_of(chart: Chart, then: datetime) -> Reading[Inputs] | Missing:
    egfr, acr, age = chart.read(EGFR, then), chart.read(_ACR, then), chart.read(_AGE, then)
    acute = isinstance(chart.read(_ACUTE, then), Reading)
    if acute or isinstance(egfr, Missing) or isinstance(acr, Missing) or isinstance(age, Missing):
        return Missing("never recorded")
    if egfr.method != "CKD-EPI 2021" or acr.bound or egfr.value >= 60 or age.value < 18:
        return Missing("never recorded")
    return Reading((float(age.value), egfr.value, acr.value), "a; mL/min/{1.73_m2}; mg/g", then, egfr.source, also=(acr.source,))
