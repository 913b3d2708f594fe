"""Which eGFR a kidney score uses, from which laboratory result, and what the earlier ones say."""

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from cds import (
    ENCOUNTERS,
    Chart,
    Feature,
    LookBack,
    Missing,
    Need,
    Reading,
    Result,
    Results,
    Sex,
    When,
    age_on,
    lab_series,
    months,
    reading,
    structs,
    unusable,
)  # fmt: skip
from models._kidney.equation import egfr_ckd_epi_2021, g_stage
from models._kidney.gates import KIDNEY_SINCE

UNIT = "mL/min/{1.73_m2}"
LOOK_BACK: LookBack = months(12)
A_DAY = timedelta(days=1)

HOSPITAL = frozenset({"IMP", "ACUTE", "NONAC", "EMER", "OBSENC", "SS"})
"""Encounter classes (v3-ActCode) whose creatinine is a hospital value: it feeds the acute kidney injury gate only."""


def in_hospital(chart: Chart, result: Result) -> bool:
    encounter = chart.encounter_of(result.fact)
    return encounter is not None and encounter.coding.code in HOSPITAL


class Outpatient(Feature[Results]):
    """The results of an analyte that did not arise in hospital; `series` has them all."""

    def __init__(self, analyte: str, *codes: str) -> None:
        self.series = lab_series(analyte, *codes, key=analyte)

    def needs(self) -> tuple[Need, ...]:
        return (*self.series.needs(), ENCOUNTERS)

    def read(self, chart: Chart, at: datetime) -> Results:
        chart.facts("", ENCOUNTERS.key)  # where a result arose is not known while encounters could not be read
        every = chart.read(self.series, at)
        if not every.counted:
            return every
        counted = tuple([r for r in every.counted if not in_hospital(chart, r)])
        return every if len(counted) == len(every.counted) else Results(counted, every.pending, every.undated)


OUTPATIENT = Outpatient("creatinine")
CREATININE = OUTPATIENT.series
_TIERS = tuple(
    (method, Outpatient("egfr", codes))
    for method, codes in (
        ("CKD-EPI 2021, reported", "egfr"),
        ("CKD-EPI 2021 creatinine and cystatin C, reported", "egfr_combined"),
        ("reported, equation not stated", "egfr_method_unknown"),
        ("CKD-EPI 2009, reported", "egfr_2009"),
    )
)
"""Reported eGFR codes in the order in which they may serve when there is no creatinine in twelve months.

The first alone may also stand in for an older creatinine. Reported in hospital, none serves, as no creatinine does.
"""
_SAME_EQUATION = _TIERS[0][0]
_NEVER_FOR_RISK = Outpatient("egfr", "egfr_never_for_risk")
EGFR_NEED = Need(
    "egfr",
    "Observation",
    tuple(codes for reported in (*(o for _, o in _TIERS), _NEVER_FOR_RISK) for codes in reported.series.codes),
    count=100,
    series=True,
)
_NEEDS = (*CREATININE.needs(), EGFR_NEED, ENCOUNTERS)
SEX = Sex()


class Egfr(Feature[Reading[float] | Missing]):
    """The eGFR for risk: CKD-EPI 2021 from the newest outpatient creatinine of 12 months, age at its date.

    A reported CKD-EPI 2021 value replaces it when a day or more newer; other reported values serve only without any
    creatinine in twelve months, and are named. Unrounded, in mL/min/1.73 m².
    """

    def needs(self) -> tuple[Need, ...]:
        return _NEEDS

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        since = LOOK_BACK.before(at)
        creatinine = chart.read(OUTPATIENT, at)
        newest = _recent(creatinine, since)
        for method, feature in _TIERS:
            reported = chart.read(feature, at)
            candidate = _recent(reported, since)
            if candidate and (newest is None or candidate.at - newest.at >= A_DAY):
                return _reported(reported, candidate, method, at)
            if newest is not None:
                return _computed(chart, creatinine, newest, at)
        return self._nothing(chart, at, since)

    def _nothing(self, chart: Chart, at: datetime, since: datetime) -> Missing:
        """Why no result of twelve months serves, the most telling reason first."""
        sources = (OUTPATIENT, *(feature for _, feature in _TIERS))
        every = [chart.read(source.series, at) for source in sources]
        recorded = [result for results in every for result in results.counted]
        recent = (r for r in recorded if r.when.first >= since)
        if (inside := next((r for r in recent if in_hospital(chart, r)), None)) is not None:
            return inside.missing("hospital values only")
        if (refused := _recent(chart.read(_NEVER_FOR_RISK, at), since)) is not None:
            return refused.missing("method not accepted")
        if older := [r for r in recorded if not in_hospital(chart, r)]:
            return max(older, key=lambda r: r.at).missing("too old")
        return next((r.none() for r in every if r.pending or r.undated), every[0].none())


def _recent(results: Results, since: datetime) -> Result | None:
    newest = results.newest
    return newest if newest and newest.when.first >= since else None


def _reported(results: Results, newest: Result, method: str, at: datetime) -> Reading[float] | Missing:
    refused = unusable(newest, LOOK_BACK, at)
    if refused:
        return refused
    base = reading(newest, _TIERS[0][1].series.analyte, results.notes(newest))
    return structs.replace(base, method=method)


def _computed(chart: Chart, results: Results, newest: Result, at: datetime) -> Reading[float] | Missing:
    refused = unusable(newest, LOOK_BACK, at)
    if refused:
        return refused
    value = computed(chart, newest, at)
    if value is None:
        return newest.missing("not stated" if isinstance(chart.read(SEX, at), Missing) else "not precise enough")
    base = reading(newest, CREATININE.analyte, results.notes(newest))
    notes = list(base.notes)
    encounter = chart.encounter_of(newest.fact)
    if newest.fact.encounter is not None and (encounter is None or encounter.coding.code is None):
        notes.append("where the creatinine was taken is not known: its encounter, or its class, is not in the data")
    return structs.replace(base, value=value, unit=UNIT, method="CKD-EPI 2021", notes=tuple(notes))


def computed(chart: Chart, creatinine: Result, at: datetime) -> float | None:
    """CKD-EPI 2021 of one creatinine; None without an age of 18 or more at its date, a sex, or an exact value."""
    birth, sex = chart.person.birth, chart.read(SEX, at)
    return None if birth is None or isinstance(sex, Missing) else _of(creatinine, birth, sex.value)


def _of(creatinine: Result, birth: When, sex: Literal["female", "male"]) -> float | None:
    if creatinine.value is None or creatinine.comparator:
        return None
    age = age_on(birth, creatinine.when)
    return egfr_ckd_epi_2021(creatinine.value, age, sex) if age is not None and age >= 18 else None


def course(chart: Chart, at: datetime) -> list[tuple[Result, float]]:
    """Every outpatient eGFR by CKD-EPI 2021 up to `at`, oldest first: computed, or reported on another day."""
    found = [(r, value) for r in chart.read(OUTPATIENT, at).counted if (value := computed(chart, r, at)) is not None]
    days = {result.at.date() for result, _ in found}
    reported = chart.read(_TIERS[0][1], at).counted
    found += [(r, r.value) for r in reported if r.value is not None and not r.comparator and r.at.date() not in days]
    return sorted(found, key=lambda pair: pair[0].at)


class Point(Struct, frozen=True, order=True, gc=False):
    """An eGFR of some day; `ckd_epi_2021` tells whether it may be compared with the one computed here."""

    at: datetime
    value: float
    ckd_epi_2021: bool


class Points(Feature[tuple[Point, ...]]):
    """Every outpatient eGFR up to `at`: computed from each creatinine, then reported by whatever equation."""

    def needs(self) -> tuple[Need, ...]:
        return _NEEDS

    def read(self, chart: Chart, at: datetime) -> tuple[Point, ...]:
        points = self._computed(chart, at)
        for method, feature in (*_TIERS, ("", _NEVER_FOR_RISK)):
            same, counted = method == _SAME_EQUATION, chart.read(feature, at).counted
            points += [Point(r.at, r.value, same) for r in counted if r.value is not None and not r.comparator]
        return tuple(points)

    def _computed(self, chart: Chart, at: datetime) -> list[Point]:
        birth, sex = chart.person.birth, chart.read(SEX, at)
        if birth is None or isinstance(sex, Missing):
            return []
        results = chart.read(OUTPATIENT, at).counted
        return [Point(r.at, value, True) for r in results if (value := _of(r, birth, sex.value)) is not None]


POINTS = Points()
EGFR = Egfr()


class EarlierBelow60(Feature[Reading[float] | Missing]):
    """An eGFR below 60 at least 90 days before the one used: what makes kidney disease chronic."""

    def needs(self) -> tuple[Need, ...]:
        return _NEEDS

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        used = chart.read(EGFR, at)
        if isinstance(used, Missing) or used.when is None:
            return Missing("never recorded")
        limit = used.when - timedelta(days=90)
        low = max((p for p in chart.read(POINTS, at) if p.value < 60 and p.at <= limit), default=None)
        return Reading(low.value, UNIT, low.at) if low else Missing("never recorded")


class SustainedFall(Feature[Reading[float] | Missing]):
    """A fall of eGFR within 12 months that two results in a row confirm: 25 % with a worse category, or 15 and more.

    The value is the earlier eGFR from which it fell. Only CKD-EPI 2021 values are compared: another equation is another
    number for the same kidney; so is another kidney, from a transplant on. The confirming result is of another day.
    NICE NG203 names the criterion.
    """

    def needs(self) -> tuple[Need, ...]:
        return (*_NEEDS, *KIDNEY_SINCE.needs())

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        used = chart.read(EGFR, at)
        if isinstance(used, Missing) or used.when is None or used.method not in ("CKD-EPI 2021", _SAME_EQUATION):
            return Missing("never recorded")
        first, last = max(LOOK_BACK.before(used.when), chart.read(KIDNEY_SINCE, at)), used.when - A_DAY
        points = sorted((p for p in chart.read(POINTS, at) if p.ckd_epi_2021 and first <= p.at <= last), reverse=True)
        if len(points) < 2:
            return Missing("never recorded")
        confirming, *earlier = points
        for point in earlier:  # newest first
            if _fell(point.value, used.value) and _fell(point.value, confirming.value):
                return Reading(point.value, UNIT, point.at)
        return Missing("never recorded")


def _fell(earlier: float, later: float) -> bool:
    quarter = later <= 0.75 * earlier and g_stage(later) != g_stage(earlier)
    return quarter or earlier - later >= 15
