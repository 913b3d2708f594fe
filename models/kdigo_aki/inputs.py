"""What staging acute kidney injury asks of a chart: creatinine in every setting, and kidney replacement therapy."""

from datetime import datetime, timedelta

from cds import (
    Age,
    Chart,
    Deceased,
    Feature,
    Missing,
    Need,
    Predictors,
    Reading,
    newest_of,
    newest_surely,
    reading,
    recorded,
    structs,
    surely_within_days,
    unusable,
    within_days,
)
from models._kidney import acute, gates
from models._kidney.acute import EXACT
from models._kidney.codes import CODES
from models._kidney.egfr import CREATININE, LOOK_BACK, SEX, UNIT, computed
from models.kdigo_aki.staging import WEEK, Staged, usual_before, worst

Found = Reading[float] | Missing


class Current(Feature[Found]):
    """The creatinine of the last seven days, in any setting, that has the highest stage, in mg/dL.

    If the newest result cannot be used, none is: it may be the one that rose.
    """

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> Found:
        results = chart.read(CREATININE, at)
        newest = results.newest
        if newest is None:
            return results.none()
        if refused := unusable(newest, LOOK_BACK, at):
            return refused
        staged = _worst(chart, at)
        if staged is None:
            return newest.missing("too old")
        return reading(staged.current.result, CREATININE.analyte, results.notes(newest))


class Baseline(Feature[Found]):
    """What it is compared with, in mg/dL; `method` says which rule gave it."""

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> Found:
        staged = _worst(chart, at)
        if staged is None or staged.baseline is None:
            return Missing("never recorded")
        return Reading(staged.baseline, "mg/dL", method=staged.method)


class Rise(Feature[Found]):
    """The rise within the 48 hours before it, in mg/dL, or in µmol/L where both were reported in it."""

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> Found:
        staged = _worst(chart, at)
        if staged is None or staged.rise is None:
            return Missing("never recorded")
        return Reading(staged.rise, staged.unit)


class Usual(Feature[Found]):
    """The median creatinine of days 8 to 365 before the newest, in mg/dL: to be said when the rule uses another."""

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> Found:
        series = chart.read(EXACT, at)
        usual = usual_before(series) if series else None
        return Missing("never recorded") if usual is None else Reading(usual, "mg/dL")


class CurrentEgfr(Feature[Found]):
    """CKD-EPI 2021 of the newest creatinine of twelve months in whatever setting: for orders, not for staging.

    If the newest result cannot be used, no older one stands in.
    """

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> Found:
        results = chart.read(CREATININE, at)
        newest = results.newest
        if newest is None:
            return results.none()
        if refused := unusable(newest, LOOK_BACK, at):
            return refused
        value = computed(chart, newest, at)
        if value is None:
            return newest.missing("not stated" if isinstance(chart.read(SEX, at), Missing) else "not precise enough")
        base = reading(newest, CREATININE.analyte, results.notes(newest))
        return structs.replace(base, value=value, unit=UNIT, method="CKD-EPI 2021")


class Latest(Feature[Found]):
    """The newest exact creatinine in any setting, in mg/dL."""

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> Found:
        series = chart.read(EXACT, at)
        return reading(series[0].result, CREATININE.analyte) if series else Missing("never recorded")


def _worst(chart: Chart, at: datetime) -> Staged | None:
    return worst(chart.read(EXACT, at), at)


class Replacement(Feature[Reading[bool] | Missing]):
    """A dialysis procedure of the last seven days."""

    codes = (CODES["dialysis_procedure"],)

    def needs(self) -> tuple[Need, ...]:
        return gates.RECORDS

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        found = recorded(chart, self.codes, gates.RECORDS, at)
        return newest_surely(chart, [(f, surely_within_days(chart, f, at, WEEK.days)) for f in found])


class LongTermDialysis(Feature[Reading[bool] | Missing]):
    """Dialysis that is no part of an acute injury: a current status, or a procedure more than 90 days before this.

    An acute injury that needs dialysis for so long has become kidney failure (KDIGO calls it so at three months).
    """

    codes = (CODES["dialysis_status"], CODES["dialysis_procedure"])

    def needs(self) -> tuple[Need, ...]:
        return gates.RECORDS

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        status, procedures = (recorded(chart, (codes,), gates.RECORDS, at) for codes in self.codes)
        current = [f for f in status if gates.current_status(chart, f, at)]
        recent = [f for f in procedures if within_days(chart, f, at, 90)]
        dated = [(moment, f) for f in procedures if (moment := chart.when(f)) is not None]
        old = [f for moment, f in dated if timedelta(days=90) < at - moment.last <= timedelta(days=365)]
        return newest_of(chart, current + (old if recent else []))


class AkiInputs(Predictors):
    """The creatinine to stage with its baseline and rise, dialysis, and what must be said beside the stage."""

    deceased = Deceased()
    age = Age()
    esrd = gates.ESRD
    long_term_dialysis = LongTermDialysis()
    replacement = Replacement()
    creatinine = Current()
    baseline = Baseline()
    rise = Rise()
    latest = Latest()
    usual = Usual()
    transplant = gates.TRANSPLANT
    pregnancy = gates.Pregnancy()
    current_egfr = CurrentEgfr()
    aki_diagnosis = gates.AKI_DIAGNOSIS
    acute_rise = acute.AcuteRise()
    unexplained_rise = acute.UnexplainedRise()
    unusable_creatinine = acute.UnusableCreatinine()
