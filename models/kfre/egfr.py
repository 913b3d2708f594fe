"""Which eGFR a kidney score uses, from which laboratory result, and what the earlier ones say."""

from datetime import datetime, timedelta

from cds import (
    Age, Chart, Feature, LookBack, Missing, Need, Reading, Result, Results, Sex, age_on, lab_series, months, reading, unusable,
)  # fmt: skip
from cds import ENCOUNTERS as ENCOUNTERS_NEED
from models.kfre.equation import egfr_ckd_epi_2021, g_stage, round_half_up

UNIT = "mL/min/{1.73_m2}"
LOOK_BACK: LookBack = months(12)
A_DAY = timedelta(days=1)

CREATININE = lab_series("creatinine")
_TIERS = (
    ("CKD-EPI 2021, reported", lab_series("egfr", "egfr", key="egfr")),
    ("CKD-EPI 2021 creatinine and cystatin C, reported", lab_series("egfr", "egfr_combined", key="egfr")),
    ("reported, equation not stated", lab_series("egfr", "egfr_method_unknown", key="egfr")),
    ("CKD-EPI 2009, reported", lab_series("egfr", "egfr_2009", key="egfr")),
)
"""Reported eGFR codes in the order in which they may serve when there is no creatinine in twelve months."""
_NEVER_FOR_RISK = lab_series("egfr", "egfr_never_for_risk", key="egfr")
EGFR_NEED = Need(
    "egfr",
    "Observation",
    tuple(codes for series in (*(s for _, s in _TIERS), _NEVER_FOR_RISK) for codes in series.codes),
    count=100,
    series=True,
)

HOSPITAL = frozenset({"IMP", "ACUTE", "NONAC", "EMER", "OBSENC", "SS"})
"""Encounter classes (v3-ActCode) whose creatinine is a hospital value: it feeds the acute kidney injury gate only."""

SEX = Sex()


def in_hospital(chart: Chart, result: Result) -> bool:
    encounter = chart.encounter_of(result.fact)
    return encounter is not None and encounter.coding.code in HOSPITAL


def outpatient(chart: Chart, results: Results) -> Results:
    """The results that did not arise in hospital."""
    return Results(
        tuple(r for r in results.counted if not in_hospital(chart, r)), results.pending, results.undated
    )  # fmt: skip


class Egfr(Feature[Reading[float] | Missing]):
    """The eGFR for risk: CKD-EPI 2021 from the newest outpatient creatinine of twelve months, age at the specimen's date.

    A reported CKD-EPI 2021 value replaces it when a day or more newer; other reported values serve only without any
    creatinine in twelve months, and are named. Unrounded, in mL/min/1.73 m².
    """

    def needs(self) -> tuple[Need, ...]:
        return (*CREATININE.needs(), EGFR_NEED, ENCOUNTERS_NEED)

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        chart.facts("", ENCOUNTERS_NEED.key)
        every = chart.read(CREATININE, at)
        creatinine = outpatient(chart, every)
        newest = _recent(creatinine, at)
        for method, series in _TIERS:
            reported = outpatient(chart, chart.read(series, at))
            candidate = _recent(reported, at)
            if candidate and (newest is None or (method == _TIERS[0][0] and candidate.at - newest.at >= A_DAY)):
                return _reported(reported, candidate, method, at)
            if newest is not None:
                return _computed(chart, creatinine, newest, at)
        return self._nothing(chart, every, creatinine, at)

    def _nothing(self, chart: Chart, every: Results, creatinine: Results, at: datetime) -> Missing:
        hospital = [*every.counted, *(r for _, s in _TIERS for r in chart.read(s, at).counted)]
        inside = next((r for r in hospital if in_hospital(chart, r) and r.when.first >= LOOK_BACK.before(at)), None)
        if inside is not None:
            return inside.missing("hospital values only")
        refused = _recent(outpatient(chart, chart.read(_NEVER_FOR_RISK, at)), at)
        if refused is not None:
            return refused.missing("method not accepted")
        older = [r for r in hospital if not in_hospital(chart, r)]
        if older:
            return max(older, key=lambda r: r.at).missing("too old")
        pending = [every, *(chart.read(s, at) for _, s in _TIERS)]
        return next((r.none() for r in pending if r.pending or r.undated), creatinine.none())


def _recent(results: Results, at: datetime) -> Result | None:
    newest = results.newest
    return newest if newest and newest.when.first >= LOOK_BACK.before(at) else None


def _reported(results: Results, newest: Result, method: str, at: datetime) -> Reading[float] | Missing:
    refused = unusable(newest, LOOK_BACK, at)
    if refused:
        return refused
    base = reading(newest, _TIERS[0][1].analyte, results.notes(newest))
    return Reading(
        base.value, UNIT, base.when, base.source, as_sent=base.as_sent, method=method, notes=base.notes
    )  # fmt: skip


def _computed(chart: Chart, results: Results, newest: Result, at: datetime) -> Reading[float] | Missing:
    refused = unusable(newest, LOOK_BACK, at)
    if refused:
        return refused
    value = computed(chart, newest, at)
    if value is None:
        return newest.missing("not precise enough")
    notes = list(reading(newest, CREATININE.analyte, results.notes(newest)).notes)
    if newest.fact.encounter and chart.encounter_of(newest.fact) is None:
        notes.append("where the creatinine was taken is not known: its encounter is not in the data")
    return Reading(
        value, UNIT, newest.at, newest.source, as_sent=newest.shown, method="CKD-EPI 2021", notes=tuple(notes)
    )  # fmt: skip


def computed(chart: Chart, creatinine: Result, at: datetime) -> float | None:
    """CKD-EPI 2021 of one creatinine; None without an age of 18 or more at its date, a sex, or an exact value."""
    birth, sex = chart.person.birth, chart.read(SEX, at)
    age = age_on(birth, creatinine.when) if birth else None
    usable = creatinine.value is not None and not creatinine.comparator
    if age is None or age < 18 or isinstance(sex, Missing) or not usable or creatinine.value is None:
        return None
    return egfr_ckd_epi_2021(creatinine.value, age, sex.value)


class Point(Feature[tuple[tuple[datetime, float], ...]]):
    """Every outpatient eGFR up to `at`, newest first, as (instant, value): computed where there is a creatinine."""

    def needs(self) -> tuple[Need, ...]:
        return (*CREATININE.needs(), EGFR_NEED, ENCOUNTERS_NEED)

    def read(self, chart: Chart, at: datetime) -> tuple[tuple[datetime, float], ...]:
        points = [
            (r.at, value)
            for r in outpatient(chart, chart.read(CREATININE, at)).counted
            if (value := computed(chart, r, at)) is not None
        ]
        for series in (*(s for _, s in _TIERS), _NEVER_FOR_RISK):
            found = outpatient(chart, chart.read(series, at)).counted
            points += [(r.at, r.value) for r in found if r.value is not None and not r.comparator]
        return tuple(sorted(points, reverse=True))


POINTS = Point()
EGFR = Egfr()


class EarlierBelow60(Feature[Reading[float] | Missing]):
    """An eGFR below 60 at least 90 days before the one used: what makes kidney disease chronic."""

    def needs(self) -> tuple[Need, ...]:
        return POINTS.needs()

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        used = chart.read(EGFR, at)
        if isinstance(used, Missing) or used.when is None:
            return Missing("never recorded")
        for moment, value in chart.read(POINTS, at):
            if value < 60 and used.when - moment >= timedelta(days=90):
                return Reading(value, UNIT, moment)
        return Missing("never recorded")


class SustainedFall(Feature[Reading[float] | Missing]):
    """A fall of eGFR within twelve months that two results in a row confirm: 25 % with a worse category, or 15 and more.

    The value is the earlier eGFR from which it fell. NICE NG203 names the criterion.
    """

    def needs(self) -> tuple[Need, ...]:
        return POINTS.needs()

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        used = chart.read(EGFR, at)
        if isinstance(used, Missing) or used.when is None:
            return Missing("never recorded")
        points = [p for p in chart.read(POINTS, at) if p[0] < used.when and p[0] >= months(12).before(used.when)]
        if len(points) < 2:
            return Missing("never recorded")
        (_, confirming), *earlier = points
        for moment, value in earlier:
            if all(_fell(value, later) for later in (used.value, confirming)):
                return Reading(value, UNIT, moment)
        return Missing("never recorded")


def _fell(earlier: float, later: float) -> bool:
    quarter = later <= 0.75 * earlier and g_stage(later) != g_stage(earlier)
    return quarter or earlier - later >= 15


__all__ = ["CREATININE", "EGFR", "HOSPITAL", "POINTS", "EarlierBelow60", "SustainedFall", "round_half_up"]
