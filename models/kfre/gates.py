"""What stops a kidney score or must be said beside it: transplant, dialysis, pregnancy, acute injury and their kin."""

from datetime import datetime, timedelta
from statistics import median

from cds import (
    ACTIVE, CONDITIONS, ENCOUNTERS, PROCEDURES, Chart, Ever, Fact, Feature, Missing, Need, Reading, Result, age_on,
    months, newest_of, recorded, spell, within_days, When,
)  # fmt: skip
from models.kfre.codes import CODES, NEPHROLOGY
from models.kfre.egfr import CREATININE

RECORDS = (CONDITIONS, PROCEDURES, ENCOUNTERS)
Found = Reading[bool] | Missing
_TOLERANCE = 1e-9  # 1.2 - 0.9 is a rise of 0.3 mg/dL, whatever binary fractions make of it


def _active(chart: Chart, fact: Fact, at: datetime) -> bool:
    return fact.clinical_status in ACTIVE


def _acute(chart: Chart, fact: Fact, at: datetime) -> bool:
    if chart.when(fact) is None:
        return fact.clinical_status in ACTIVE and fact.kind == "Condition"
    return within_days(chart, fact, at, 90)


def _active_or_recent(chart: Chart, fact: Fact, at: datetime) -> bool:
    return (fact.kind == "Condition" and _active(chart, fact, at)) or within_days(chart, fact, at, 365)


def _old_enough(chart: Chart, fact: Fact, at: datetime) -> bool:
    moment = chart.when(fact)
    return _active(chart, fact, at) and (moment is None or at - moment.last >= timedelta(days=90))


TRANSPLANT = Ever(CODES["kidney_transplant"], needs=RECORDS)
ESRD = Ever(CODES["esrd"], needs=RECORDS)
AKI_DIAGNOSIS = Ever(CODES["aki"], holds=_acute, needs=RECORDS)
CKD_DIAGNOSIS = Ever(CODES["ckd_stage_3_to_5"], holds=_active, needs=(CONDITIONS, ENCOUNTERS))
CKD_DIAGNOSIS_OLD = Ever(CODES["ckd_stage_3_to_5"], holds=_old_enough, needs=(CONDITIONS, ENCOUNTERS))
PALLIATIVE = Ever(CODES["palliative_care"], holds=_active_or_recent, needs=RECORDS)
DISEASE_SPECIFIC = Ever(CODES["disease_specific"], needs=RECORDS)


class Dialysis(Feature[Found]):
    """Dialysis now: a current status, a recent or repeated procedure, or a creatinine taken before or after dialysis."""

    codes = (CODES["dialysis_status"], CODES["dialysis_procedure"], CODES["dialysis_labs"])
    labs = Need("dialysisLabs", "Observation", (CODES["dialysis_labs"],), count=10)

    def needs(self) -> tuple[Need, ...]:
        return (*RECORDS, self.labs)

    def read(self, chart: Chart, at: datetime) -> Found:
        status, procedure, lab = ([*recorded(chart, (c,), self.needs(), at)] for c in self.codes)
        holding = [f for f in status if _current_status(chart, f, at)]
        holding += [f for f in lab if within_days(chart, f, at, 90)]
        return newest_of(chart, holding + _ongoing(chart, procedure, at))


def _current_status(chart: Chart, fact: Fact, at: datetime) -> bool:
    if fact.category == "encounter-diagnosis" or fact.clinical_status is None:
        return chart.when(fact) is None or within_days(chart, fact, at, 365)
    return fact.clinical_status in ACTIVE


def _ongoing(chart: Chart, procedures: list[Fact], at: datetime) -> list[Fact]:
    """One within 90 days, or two at least 28 days apart with the last within 365 days."""
    dated = [(moment, fact) for fact in procedures if (moment := chart.when(fact)) is not None]
    if not dated:
        return []
    newest, fact = max(dated, key=lambda d: d[0].last)
    oldest = min(moment.first for moment, _ in dated)
    repeated = newest.last - oldest >= timedelta(days=28) and within_days(chart, fact, at, 365)
    return [fact] if repeated or within_days(chart, fact, at, 90) else []


class AnyDialysis(Feature[Found]):
    """Dialysis at any time: said beside the number when it is no longer a gate."""

    codes = Dialysis.codes[:2]

    def needs(self) -> tuple[Need, ...]:
        return RECORDS

    def read(self, chart: Chart, at: datetime) -> Found:
        return newest_of(chart, recorded(chart, self.codes, RECORDS, at))


class Pregnancy(Feature[Found]):
    """Pregnant, or within twelve weeks of delivery, by diagnosis, status, or estimated date of delivery."""

    codes = (CODES["pregnancy"], CODES["delivery"], CODES["pregnancy_status"], CODES["delivery_date_estimated"])
    labs = Need("pregnancyStatus", "Observation", codes[2:], count=10)
    _pregnant = frozenset({"77386006", "146799005"})
    _not_pregnant = "60001007"

    def needs(self) -> tuple[Need, ...]:
        return (*RECORDS, self.labs)

    def read(self, chart: Chart, at: datetime) -> Found:
        pregnant, delivery, status, due = ([*recorded(chart, (c,), self.needs(), at)] for c in self.codes)
        delivered = [f for f in delivery if chart.when(f) is None or within_days(chart, f, at, 84)]
        stated = [f for f in status if _answers(f) & self._pregnant]
        ends = [
            moment.last
            for f in (*delivery, *(s for s in status if self._not_pregnant in _answers(s)))
            if (moment := chart.when(f)) is not None
        ]
        current = [f for f in (*pregnant, *stated) if self._current(chart, f, ends, at)]
        current += [f for f in due if _due(f, at) and not _ended(chart, f, ends)]
        dated_or_fertile = [f for f in (*current, *delivered) if chart.when(f) is not None or _fertile(chart, at)]
        return newest_of(chart, dated_or_fertile)

    def _current(self, chart: Chart, fact: Fact, ends: list[datetime], at: datetime) -> bool:
        if chart.when(fact) is None:
            return not ends
        return within_days(chart, fact, at, 294) and not _ended(chart, fact, ends)


def _answers(fact: Fact) -> frozenset[str]:
    return frozenset(c.code for c in fact.answer if c.code)


def _ended(chart: Chart, fact: Fact, ends: list[datetime]) -> bool:
    moment = chart.when(fact)
    return moment is not None and any(end > moment.last for end in ends)


def _due(fact: Fact, at: datetime) -> bool:
    if fact.moment is None:
        return False
    return fact.moment.last >= at - timedelta(days=84) and fact.moment.first <= at + timedelta(days=301)


def _fertile(chart: Chart, at: datetime) -> bool:
    age = age_on(chart.person.birth, When(at, at)) if chart.person.birth else None
    return age is None or 10 <= age <= 60


class AcuteRise(Feature[Found]):
    """A creatinine of the last 90 days, in any setting, that rose or fell as acute kidney injury does (KDIGO 2012)."""

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> Found:
        results = [r for r in chart.read(CREATININE, at).counted if r.value is not None and not r.comparator]
        for result in results:  # newest first
            if (at - result.at) <= timedelta(days=90) and _acute_at(result, results):
                return Reading(True, when=result.at, source=result.source, as_sent=result.shown)
        return Missing("never recorded")


def _acute_at(result: Result, results: list[Result]) -> bool:
    before = [r for r in results if timedelta(0) <= result.at - r.at <= timedelta(days=7)]
    after = [r for r in results if timedelta(0) < r.at - result.at <= timedelta(days=7)]
    two_days = [r for r in before if result.at - r.at <= timedelta(hours=48)]
    value = result.value or 0.0
    return (
        value >= 1.5 * min(r.value or value for r in before) - _TOLERANCE
        or any(_rose(r, result) for r in two_days)
        or any(value >= 1.5 * (r.value or value) - _TOLERANCE for r in after)
    )


def _rose(earlier: Result, later: Result) -> bool:
    """By 0.3 mg/dL, or by 26.5 µmol/L where both were reported in it."""
    if earlier.unit == later.unit == "umol/L":
        return later.sent - earlier.sent >= 26.5 - _TOLERANCE
    return (later.value or 0.0) - (earlier.value or 0.0) >= 0.3 - _TOLERANCE


class UnexplainedRise(Feature[Reading[float] | Missing]):
    """The newest creatinine is 1.5 times the median of days 8 to 365 before it, with nothing in the seven days before.

    The value is that median in mg/dL; `as_sent` reads "88 to 160 µmol/L" for the card. NHS England AKI algorithm.
    """

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        results = [r for r in chart.read(CREATININE, at).counted if r.value is not None and not r.comparator]
        if not results or results[0].when.first < months(12).before(at):
            return Missing("never recorded")
        newest, earlier = results[0], [(results[0].at - r.at, r) for r in results[1:]]
        if any(timedelta(0) < age <= timedelta(days=7) for age, _ in earlier):
            return Missing("never recorded")
        values = [r.value for age, r in earlier if timedelta(days=7) < age <= timedelta(days=365) and r.value is not None]
        if not values or (newest.value or 0.0) < 1.5 * median(values) - _TOLERANCE:
            return Missing("never recorded")
        factor = newest.sent / (newest.value or 1.0)
        unit = newest.fact.unit or newest.fact.unit_code or "mg/dL"
        digits = 0 if newest.unit == "umol/L" else 2
        text = f"{spell(round(median(values) * factor, digits))} to {spell(newest.sent)} {unit}"
        return Reading(median(values), "mg/dL", newest.at, newest.source, as_sent=text)


class UnusableCreatinine(Feature[Found]):
    """A creatinine of the last 90 days that could not be read: acute injury cannot be ruled out from it."""

    def needs(self) -> tuple[Need, ...]:
        return CREATININE.needs()

    def read(self, chart: Chart, at: datetime) -> Found:
        for result in chart.read(CREATININE, at).counted:
            if (result.why or result.comparator) and (at - result.at) <= timedelta(days=90):
                return Reading(True, when=result.at, source=result.source, as_sent=result.shown)
        return Missing("never recorded")


class KidneyCare(Feature[Found]):
    """Kidney care in place: a nephrology visit within 180 days or one booked, or preparation for kidney replacement."""

    codes = (NEPHROLOGY, CODES["kidney_care"])

    def needs(self) -> tuple[Need, ...]:
        return RECORDS

    def read(self, chart: Chart, at: datetime) -> Found:
        done = [f for f in recorded(chart, self.codes, RECORDS, at) if within_days(chart, f, at, 180)]
        booked = [
            f
            for f in chart.facts(NEPHROLOGY.name)
            if f.status == "planned" and f.when is not None and f.when.first > at
        ]
        return newest_of(chart, done + booked)
