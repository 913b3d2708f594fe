"""What stops a kidney score or must be said beside it: transplant, dialysis, pregnancy, acute injury and their kin."""

from datetime import UTC, datetime, timedelta

from cds import (
    ABSENT,
    ACTIVE,
    CONDITIONS,
    COUNTED,
    ENCOUNTERS,
    PROCEDURES,
    Chart,
    Ever,
    Fact,
    Feature,
    Missing,
    Need,
    Reading,
    When,
    age_on,
    newest_of,
    recorded,
    structs,
    within_days,
)  # fmt: skip
from models._kidney.codes import CODES, NEPHROLOGY

RECORDS = (CONDITIONS, PROCEDURES, ENCOUNTERS)
DATED = (CONDITIONS, ENCOUNTERS)
"""Diagnoses, and the encounters that date those without a date."""
Found = Reading[bool] | Missing


def active(_chart: Chart, fact: Fact, _at: datetime) -> bool:
    return fact.clinical_status in ACTIVE


def _acute(chart: Chart, fact: Fact, at: datetime) -> bool:
    if chart.when(fact) is None:
        return fact.clinical_status in ACTIVE and fact.kind == "Condition"
    return within_days(chart, fact, at, 90)


def _active_or_recent(chart: Chart, fact: Fact, at: datetime) -> bool:
    return (fact.kind == "Condition" and active(chart, fact, at)) or within_days(chart, fact, at, 365)


def _old_enough(chart: Chart, fact: Fact, at: datetime) -> bool:
    moment = chart.when(fact)
    return active(chart, fact, at) and (moment is None or at - moment.last >= timedelta(days=90))


TRANSPLANT = Ever(CODES["kidney_transplant"], needs=RECORDS)
ESRD = Ever(CODES["esrd"], needs=RECORDS)
AKI_DIAGNOSIS = Ever(CODES["aki"], holds=_acute, needs=RECORDS)
CKD_DIAGNOSIS = Ever(CODES["ckd_stage_3_to_5"], holds=active, needs=DATED, only=CONDITIONS)
CKD_DIAGNOSIS_OLD = Ever(CODES["ckd_stage_3_to_5"], holds=_old_enough, needs=DATED, only=CONDITIONS)
PALLIATIVE = Ever(CODES["palliative_care"], holds=_active_or_recent, needs=RECORDS)
DISEASE_SPECIFIC = Ever(CODES["disease_specific"], needs=RECORDS)


class KidneySince(Feature[datetime]):
    """The instant after which every result is of the kidney of today: the last transplant, or the beginning of time.

    A transplant whose operation is not in the chart was done by the first record of it. Without any date it may have
    been done at any time: the instant is then `at`.
    """

    codes = (CODES["kidney_transplant"],)

    def needs(self) -> tuple[Need, ...]:
        return RECORDS

    def read(self, chart: Chart, at: datetime) -> datetime:
        found = recorded(chart, self.codes, RECORDS, at)
        if not found:
            return _ALWAYS
        dated = [(fact.kind, moment.last) for fact in found if (moment := chart.when(fact)) is not None]
        operations = [last for kind, last in dated if kind == "Procedure"]
        return max(operations) if operations else min((last for _, last in dated), default=at)


_ALWAYS = datetime.min.replace(tzinfo=UTC)
KIDNEY_SINCE = KidneySince()


class Dialysis(Feature[Found]):
    """Dialysis now: a current status, a recent or repeated procedure, or a creatinine of before or after dialysis."""

    codes = (CODES["dialysis_status"], CODES["dialysis_procedure"], CODES["dialysis_labs"])
    labs = Need("dialysisLabs", "Observation", (CODES["dialysis_labs"],), count=10)

    def needs(self) -> tuple[Need, ...]:
        return (*RECORDS, self.labs)

    def read(self, chart: Chart, at: datetime) -> Found:
        if not recorded(chart, self.codes, self.needs(), at):
            return Missing("never recorded")
        status, procedure, lab = (recorded(chart, (codes,), self.needs(), at) for codes in self.codes)
        holding = [f for f in status if current_status(chart, f, at)]
        holding += [f for f in lab if within_days(chart, f, at, 90)]
        return newest_of(chart, holding + _ongoing(chart, procedure, at))


def current_status(chart: Chart, fact: Fact, at: datetime) -> bool:
    if fact.category == "encounter-diagnosis" or fact.clinical_status is None:
        return chart.when(fact) is None or within_days(chart, fact, at, 365)
    return fact.clinical_status in ACTIVE


def _ongoing(chart: Chart, procedures: list[Fact], at: datetime) -> list[Fact]:
    """One within 90 days, or two at least 28 days apart with the last within 365 days."""
    dated = [(moment, fact) for fact in procedures if (moment := chart.when(fact)) is not None]
    if not dated:
        return []
    *earlier, (newest, fact) = sorted(dated, key=lambda d: d[0].last)
    apart = any(newest.last - moment.first >= timedelta(days=28) for moment, _ in earlier)
    repeated = apart and within_days(chart, fact, at, 365)
    return [fact] if repeated or within_days(chart, fact, at, 90) else []


class AnyDialysis(Feature[Found]):
    """Dialysis at any time: said beside the number when it is no longer a gate."""

    codes = Dialysis.codes[:2]

    def needs(self) -> tuple[Need, ...]:
        return RECORDS

    def read(self, chart: Chart, at: datetime) -> Found:
        return newest_of(chart, recorded(chart, self.codes, RECORDS, at))


PREGNANT = frozenset({"77386006", "146799005"})  # pregnant, possibly pregnant
NOT_PREGNANT = "60001007"


class Pregnancy(Feature[Found]):
    """Pregnant, or within twelve weeks of delivery, by diagnosis, status, or estimated date of delivery."""

    codes = (CODES["pregnancy"], CODES["delivery"], CODES["pregnancy_status"], CODES["delivery_date_estimated"])
    labs = Need("pregnancyStatus", "Observation", codes[2:], count=10)

    def needs(self) -> tuple[Need, ...]:
        return (*RECORDS, self.labs)

    def read(self, chart: Chart, at: datetime) -> Found:
        if not recorded(chart, self.codes, self.needs(), at):
            return Missing("never recorded")
        pregnant, delivery, status, due = (recorded(chart, (codes,), self.needs(), at) for codes in self.codes)
        stated = [f for f in status if _answers(f) & PREGNANT]
        ending = [*delivery, *(f for f in status if NOT_PREGNANT in _answers(f))]
        ends = [moment.first for f in ending if (moment := chart.when(f)) is not None]
        holding = [f for f in (*pregnant, *stated) if _within(chart, f, at, 294) and not _ended(chart, f, ends)]
        holding += [f for f in due if _due(f, at) and not _ended(chart, f, ends)]
        holding += [f for f in delivery if _within(chart, f, at, 84)]
        return newest_of(chart, [f for f in holding if chart.when(f) is not None or _fertile(chart, at)])


class UnclearPregnancy(Feature[Found]):
    """The newest pregnancy status, or due date, of 294 days says neither yes nor no: to be said, not guessed."""

    codes = Pregnancy.codes[2:]

    def needs(self) -> tuple[Need, ...]:
        return (Pregnancy.labs,)

    def read(self, chart: Chart, at: datetime) -> Found:
        facts = [f for codes in self.codes for f in chart.facts(codes.name, Pregnancy.labs.key)]
        recent = [f for f in facts if f.status not in ABSENT and f.when and f.when.first <= at]
        newest = max(recent, key=lambda f: f.when.last if f.when else at, default=None)
        if newest is None or not within_days(chart, newest, at, 294):
            return Missing("never recorded")
        clear = newest.status in COUNTED and (newest.moment or _answers(newest) & _UNDERSTOOD)
        return Missing("never recorded") if clear else newest_of(chart, [newest])


_UNDERSTOOD = PREGNANT | {NOT_PREGNANT}


def _answers(fact: Fact) -> frozenset[str]:
    return frozenset(c.code for c in fact.answer if c.code)


def _within(chart: Chart, fact: Fact, at: datetime, days: int) -> bool:
    return chart.when(fact) is None or within_days(chart, fact, at, days)


def _ended(chart: Chart, fact: Fact, ends: list[datetime]) -> bool:
    """Whether a delivery, or "not pregnant", is surely later than the fact."""
    moment = chart.when(fact)
    return moment is not None and any(end > moment.last for end in ends)


def _due(fact: Fact, at: datetime) -> bool:
    if fact.moment is None:
        return False
    return fact.moment.last >= at - timedelta(days=84) and fact.moment.first <= at + timedelta(days=301)


def _fertile(chart: Chart, at: datetime) -> bool:
    age = age_on(chart.person.birth, When(at, at)) if chart.person.birth else None
    return age is None or 10 <= age <= 60


class KidneyCare(Feature[Found]):
    """Kidney care in place; `method` tells a nephrology visit (180 days, or booked) from preparation for dialysis.

    A referral alone is none.
    """

    codes = (NEPHROLOGY, CODES["kidney_care"])

    def needs(self) -> tuple[Need, ...]:
        return RECORDS

    def read(self, chart: Chart, at: datetime) -> Found:
        visits, preparation = (recorded(chart, (codes,), RECORDS, at) for codes in self.codes)
        booked = [f for f in chart.facts(NEPHROLOGY.name) if f.status == "planned" and f.when and f.when.first > at]
        for method, facts in ((VISIT, visits + booked), (PREPARATION, preparation)):
            found = newest_of(chart, [f for f in facts if within_days(chart, f, at, 180)])
            if isinstance(found, Reading):
                return structs.replace(found, method=method)
        return Missing("never recorded")


VISIT = "nephrology visit"
PREPARATION = "preparation for dialysis"
