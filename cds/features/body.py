"""Body mass index, as it was measured or from weight and height; and the mean of a patient's last readings."""

from collections.abc import Sequence
from datetime import datetime

from cds.features.feature import Feature, Missing, Need, Reading
from cds.features.kinds import ENCOUNTERS, Latest, reading, unusable
from cds.features.labs import lab_series
from cds.features.results import Result, Series
from cds.fhir.chart import Chart
from cds.fhir.times import LookBack, months
from cds.fhir.units import analytes

HOSPITAL = frozenset({"IMP", "ACUTE", "NONAC", "EMER", "OBSENC", "SS"})
"""Encounter classes (v3-ActCode) of a hospital stay or an emergency visit."""
_ABSENT = ("never recorded", "too old", "no date", "not final")
"""Why another way to the number may be taken: as if there were no body mass index at all."""


class BodyMassIndex(Feature[Reading[float] | Missing]):
    """Body mass index in kg/m2: the newest recorded `within` the look-back, else from the newest weight and height.

    `method` is "recorded" or "from weight and height"; of the latter, both must lie within the look-back, the reading
    is of the older of the two, and the other is in `also`. A recorded index that cannot be used (unit, implausible)
    is not replaced by a computed one. Where there is none, the reason is that of the index if one was recorded, else
    that of the weight or the height.
    """

    def __init__(self, within: LookBack | None = None) -> None:
        within = within or months(24)
        self._recorded = Latest(lab_series("bmi", count=10), within)
        self._weight = Latest(lab_series("body_weight", count=10), within)
        self._height = Latest(lab_series("body_height", count=10), within)
        parts = (self._recorded, self._weight, self._height)
        self.codes = tuple(codes for part in parts for codes in part.codes)
        self._needs = tuple(need for part in parts for need in part.needs())

    def needs(self) -> tuple[Need, ...]:
        return self._needs

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        recorded = chart.read(self._recorded, at)
        if isinstance(recorded, Reading):
            return _with_method(recorded, "recorded")
        if recorded.why not in _ABSENT:
            return recorded
        weight, height = chart.read(self._weight, at), chart.read(self._height, at)
        if isinstance(weight, Missing) or isinstance(height, Missing):
            return _why_none(recorded, weight, height)
        pending = f"a body mass index ({recorded.shown}, {recorded.date}) is not final and was not used"
        return _computed(weight, height, (pending,) if recorded.why == "not final" else ())


def _why_none(recorded: Missing, *parts: Reading[float] | Missing) -> Missing:
    """Why there is none: what is wrong with the recorded one; without one, what is wrong with weight or height."""
    missing = (recorded, *(part for part in parts if isinstance(part, Missing)))
    return next((why for why in missing if why.why != "never recorded"), recorded)


def _with_method(recorded: Reading[float], method: str) -> Reading[float]:
    return Reading(
        recorded.value, recorded.unit, recorded.when, recorded.source, recorded.as_sent, method,
        notes=recorded.notes, written=recorded.written,
    )  # fmt: skip


def _computed(weight: Reading[float], height: Reading[float], said: Sequence[str]) -> Reading[float] | Missing:
    """Weight in kg by the square of height in m."""
    analyte = analytes()["bmi"]
    value = weight.value / (height.value / 100) ** 2
    older, newer = sorted((weight, height), key=lambda part: (part.when is not None, part.when))
    shown = f"{weight.as_sent}, {height.as_sent}"
    if not analyte.accepted[0] <= value <= analyte.accepted[1]:
        return Missing("implausible", shown, older.when, older.source, written=older.written)
    notes = [*said, *weight.notes, *height.notes]
    if not analyte.plausible[0] <= value <= analyte.plausible[1]:
        notes.append(f"body mass index from {shown} is unusual; check both")
    return Reading(
        value, analyte.unit, older.when, older.source, shown, "from weight and height",
        notes=tuple(notes), also=(newer.source,), written=older.written,
    )  # fmt: skip


class MeanOf(Feature[Reading[float] | Missing]):
    """The mean of the newest results of an analyte, at most so many, `within` the look-back.

    Those of a hospital stay or an emergency visit are left out when `outpatient`. The newest must be usable; an older
    one that is not is left out and said. One measurement that was sent twice (as a panel and by itself) counts once.
    `when` and `source` are the newest's, `also` has the others, `method` says of how many.
    """

    def __init__(
        self, series: Series, at_most: int = 3, within: LookBack | None = None, *, outpatient: bool = True
    ) -> None:
        self.series = series
        self.at_most = at_most
        self.within = within or months(12)
        self.outpatient = outpatient
        self.codes = series.codes

    def needs(self) -> tuple[Need, ...]:
        return (*self.series.needs(), ENCOUNTERS) if self.outpatient else self.series.needs()

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        need = self.series.need
        if not need.required and need.key in chart.unread:
            return Missing("not read")
        if self.outpatient:
            chart.facts("", ENCOUNTERS.key)  # where a result arose is not known while encounters could not be read
        results = chart.read(self.series, at)
        if results.newest is None:
            return results.none()
        chosen = [r for r in results.counted if not (self.outpatient and _in_hospital(chart, r))]
        if not chosen:
            return results.newest.missing("hospital values only")
        newest = chosen[0]
        if (refused := unusable(newest, self.within, at)) is not None:
            return refused
        return self._mean(_once(chosen), at, results.notes(newest))

    def _mean(self, results: Sequence[Result], at: datetime, said: Sequence[str]) -> Reading[float]:
        refused = [(r, unusable(r, self.within, at)) for r in results]
        usable = [r for r, why in refused if why is None][: self.at_most]
        # Where there are as many as wanted, no older one is missed.
        left_out = [
            r
            for r, why in refused
            if why and (r.at >= usable[-1].at or (why.why != "too old" and len(usable) < self.at_most))
        ]
        notes = [*said, *(f"{r.shown or 'a result'} of {r.date} could not be used" for r in left_out)]
        read = [reading(r, self.series.analyte) for r in usable]
        notes += [note for one in read for note in one.notes]
        return Reading(
            sum(one.value for one in read) / len(read),
            self.series.analyte.unit,
            read[0].when,
            read[0].source,
            ", ".join(one.as_sent for one in read),
            f"mean of {len(read)}" if len(read) > 1 else "one reading",
            notes=tuple(notes),
            also=tuple(one.source for one in read[1:]),
            written=read[0].written,
        )


def _in_hospital(chart: Chart, result: Result) -> bool:
    encounter = chart.encounter_of(result.fact)
    return encounter is not None and encounter.coding.code in HOSPITAL


def _once(results: Sequence[Result]) -> list[Result]:
    """Results without those that repeat another's instant and value."""
    first: dict[tuple[datetime, float | None, str], Result] = {}
    for result in results:
        first.setdefault((result.at, result.value, result.shown if result.value is None else ""), result)
    return list(first.values())
