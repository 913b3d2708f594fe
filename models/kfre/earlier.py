"""What an earlier score would have rested on, so that a card can say how the risk has moved."""

from datetime import datetime, timedelta

from cds import Age, Chart, Feature, Missing, Need, Reading, Result, months
from models._kidney import gates
from models._kidney.acute import EXACT, acute, unexplained
from models._kidney.albuminuria import ACR, PCR, Albuminuria
from models._kidney.egfr import EGFR, OUTPATIENT, computed

_AGE = Age()
_ACR = Albuminuria()
_GATES = (gates.AKI_DIAGNOSIS, gates.Dialysis(), gates.Pregnancy())
"""What may have closed on that day and be open again; a transplant or ESRD of then still closes the gate today."""
Inputs = tuple[float, float, float]


class EarlierInputs(Feature[Reading[Inputs] | Missing]):
    """Age, eGFR and albumin as of the newest creatinine at least 90 days before the one used.

    Only where a score would have been shown that day, and by the eGFR method of today.
    """

    def needs(self) -> tuple[Need, ...]:
        return (*EGFR.needs(), *_ACR.needs(), *(need for gate in _GATES for need in gate.needs()))

    def read(self, chart: Chart, at: datetime) -> Reading[Inputs] | Missing:
        used = chart.read(EGFR, at)
        if isinstance(used, Missing) or used.when is None or used.method != "CKD-EPI 2021":
            return Missing("never recorded")
        limit = used.when - timedelta(days=90)
        result = next((r for r in chart.read(OUTPATIENT, at).counted if r.at <= limit), None)
        egfr = computed(chart, result, at) if result else None
        if result is None or egfr is None or egfr >= 60 or _not_scored(chart, at, result.at):
            return Missing("never recorded")
        return _with(chart, egfr, result)


def _not_scored(chart: Chart, at: datetime, then: datetime) -> bool:
    creatinine = [c for c in chart.read(EXACT, at) if c.at <= then]
    found = (*(chart.read(gate, then) for gate in _GATES), acute(creatinine, then), unexplained(creatinine, then))
    return any(isinstance(answer, Reading) for answer in found)


def _with(chart: Chart, egfr: float, creatinine: Result) -> Reading[Inputs] | Missing:
    then = creatinine.at
    if PCR.series.need.key in chart.unread and not _has_ratio(chart, then):
        return Missing("not read")  # the day's protein was not asked for: no reason to refuse the score of today
    acr, age = chart.read(_ACR, then), chart.read(_AGE, then)
    if isinstance(acr, Missing) or acr.bound or isinstance(age, Missing) or age.value < 18:
        return Missing("never recorded")
    inputs = (float(age.value), egfr, acr.value)
    unit, written = "a; mL/min/{1.73_m2}; mg/g", creatinine.when.written
    return Reading(inputs, unit, then, creatinine.source, also=(acr.source,), written=written)


def _has_ratio(chart: Chart, then: datetime) -> bool:
    newest = chart.read(ACR, then).newest
    return newest is not None and newest.when.first >= months(24).before(then)
