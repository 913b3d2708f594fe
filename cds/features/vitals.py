"""Vital signs of one set of observations: none is taken from another day, another stay, or another place.

How a set is made: the newest vital sign by then is its anchor. To the set belong the newest results of the other
parameters within the window before `at` (four hours unless told), as far as they were measured in the anchor's stay;
a result without an encounter belongs wherever its time puts it. Of each parameter only the newest result counts: if it
cannot be used, the parameter is Missing with that reason, and no older one stands in. A result of which only the day is
known has no place in a window of hours. The window is an engineering choice.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from importlib.resources import files
from typing import TypeVar

from msgspec import Struct

from cds.features.feature import Feature, Missing, Need, Reading
from cds.features.kinds import reading
from cds.features.labs import LAB_CODES
from cds.features.results import Result, Series, order
from cds.features.stays import STAYS
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet, read_code_sets, system_named
from cds.fhir.times import LookBack, hours
from cds.fhir.units import analytes

VITAL_CODES: dict[str, CodeSet] = read_code_sets(files("cds.fhir") / "vocabulary" / "vitals.csv")
_MEASURED = (
    "resp_rate",
    "spo2",
    "sbp",
    "dbp",
    "heart_rate",
    "temperature",
    "oxygen_flow",
    "oxygen_concentration",
    "gcs",
)
_CODED = ("acvpu", "on_oxygen")
_LEVELS = ("alert", "new confusion", "voice", "pain", "unresponsive")
ALERT = _LEVELS[0]
_ALERT_GCS = 15
_ROOM_AIR = 21.0
_TOGETHER = timedelta(minutes=15)
V = TypeVar("V")


class VitalSet(Struct, frozen=True):
    """The newest result of each parameter, or why the set has none."""

    found: Mapping[str, Result | Missing]
    notes: Mapping[str, tuple[str, ...]]

    def answer(self, name: str) -> Result | Missing:
        """A result whose value may be used, or why there is none."""
        result = self.found[name]
        if isinstance(result, Missing):
            return result
        if result.why is not None or result.comparator:
            return result.missing(result.why or "comparator")
        return result


class VitalSigns(Feature[VitalSet]):
    """One set of observations; `of` gives the features that a model declares."""

    def __init__(self, within: LookBack | None = None) -> None:
        self.within = within or hours(4)
        codes = {name: LAB_CODES[name] for name in _MEASURED} | {name: VITAL_CODES[name] for name in _CODED}
        self.codes = tuple(codes.values())
        self.need = Need("vitals", "Observation", self.codes, count=100)
        units = analytes()
        # What is coded has no number: its series is ordered like the others, and only its answers are read.
        self.series = {name: Series(units.get(name, units["gcs"]), codes[name], need=self.need) for name in codes}

    def needs(self) -> tuple[Need, ...]:
        return (self.need,)

    def read(self, chart: Chart, at: datetime) -> VitalSet:
        read = {name: chart.read(series, at) for name, series in self.series.items()}
        newest = [results.newest for results in read.values() if results.newest is not None]
        anchor = max(newest, key=order, default=None)
        found: dict[str, Result | Missing] = {}
        notes: dict[str, tuple[str, ...]] = {}
        for name, results in read.items():
            mine = next((r for r in results.counted if anchor and _same_stay(chart, r, anchor, at)), None)
            found[name] = _in_window(mine, self.within, at) if mine else results.none()
            notes[name] = results.notes(mine) if mine else ()
        return VitalSet(found, notes)

    def of(self, name: str) -> "Vital":
        """One measured parameter of the set: "resp_rate", "spo2", "sbp", "dbp", "heart_rate", "temperature"."""
        return Vital(self, name)


def _in_window(result: Result, within: LookBack, at: datetime) -> Result | Missing:
    start = within.before(at)
    if result.when.last < start:
        return result.missing("too old")
    return result.missing("not precise enough") if result.when.first < start or result.when.last > at else result


def _same_stay(chart: Chart, one: Result, other: Result, at: datetime) -> bool:
    mine, its = chart.encounter_of(one.fact), chart.encounter_of(other.fact)
    if mine is None or its is None or mine.source == its.source:
        return True
    found = chart.read(STAYS, at)
    stays = (found.index, *found.others)
    return any({mine.source, its.source} <= stay.sources for stay in stays if not isinstance(stay, Missing))


class Vital(Feature[Reading[float] | Missing]):
    """One measured parameter of a set, in the analyte's own unit."""

    def __init__(self, vitals: VitalSigns, name: str) -> None:
        self.vitals, self.name = vitals, name
        self.codes = vitals.codes

    def needs(self) -> tuple[Need, ...]:
        return self.vitals.needs()

    def read(self, chart: Chart, at: datetime) -> Reading[float] | Missing:
        found = chart.read(self.vitals, at)
        result = found.answer(self.name)
        if isinstance(result, Missing):
            return result
        return reading(result, self.vitals.series[self.name].analyte, found.notes[self.name])


class OxygenSupport(Feature[Reading[bool] | Missing]):
    """Whether the patient breathes supplemental oxygen, by flow, concentration, or a plain yes or no.

    A flow of 0, a concentration of 21 % or "no" is room air. Nothing charted is not room air: it is Missing. The newest
    statement counts, with those of the quarter of an hour before it: who breathes 40 % by a mask may have a flow of 0.
    Oxygen in one of them is oxygen; else, one that cannot be understood is Missing.
    """

    def __init__(self, vitals: VitalSigns) -> None:
        self.vitals = vitals
        self.codes = vitals.codes

    def needs(self) -> tuple[Need, ...]:
        return self.vitals.needs()

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        found = chart.read(self.vitals, at)
        said = _newest(found, ("oxygen_flow", "oxygen_concentration", "on_oxygen"), _TOGETHER)
        if isinstance(said, Missing):
            return said
        told = [(_breathes_oxygen(result), result) for result in said]
        for oxygen, result in told:
            if oxygen:
                return _reading(True, result, found)
        for oxygen, result in told:
            if oxygen is None:
                return _unusable(result)
        return _reading(False, max(said, key=order), found)


class Consciousness(Feature[Reading[str] | Missing]):
    """How conscious the patient is: "alert", "new confusion", "voice", "pain", "unresponsive", or "GCS 14".

    Only Alert and a Glasgow Coma Scale of 15 are "alert"; `method` says by which of the two. The newest statement
    counts; of several of one instant, the one that is not alert.
    """

    def __init__(self, vitals: VitalSigns) -> None:
        self.vitals = vitals
        self.codes = vitals.codes

    def needs(self) -> tuple[Need, ...]:
        return self.vitals.needs()

    def read(self, chart: Chart, at: datetime) -> Reading[str] | Missing:
        found = chart.read(self.vitals, at)
        said = _newest(found, ("gcs", "acvpu"))
        if isinstance(said, Missing):
            return said
        told = [(level, result) for result in said if (level := _level(result)) is not None]
        if len(told) < len(said):
            return next(_unusable(result) for result in said if _level(result) is None)
        level, result = max(told, key=lambda one: one[0] != ALERT)
        return _reading(level, result, found)


GCS, ACVPU = "Glasgow Coma Scale", "ACVPU"


def _newest(found: VitalSet, names: Sequence[str], together: timedelta = timedelta(0)) -> Sequence[Result] | Missing:
    """The results of these parameters at the newest instant, or so long before; else why there is none."""
    results = [result for name in names if isinstance(result := found.found[name], Result)]
    if not results:
        missing = [why for name in names if isinstance(why := found.found[name], Missing)]
        return next((why for why in missing if why.why != "never recorded"), missing[0])
    last = max(result.at for result in results)
    return [result for result in results if result.at >= last - together]


def _breathes_oxygen(result: Result) -> bool | None:
    """None when the result cannot be understood."""
    if result.fact.answer and result.why == "no value":
        return _answered(result, {"yes": True, "no": False})
    if result.value is None or result.comparator:
        return None
    return result.value > (_ROOM_AIR if result.unit == "%" else 0.0)


def _level(result: Result) -> str | None:
    """None when the result cannot be understood."""
    if result.fact.answer and result.why == "no value":
        return _answered(result, {level: level for level in _LEVELS})
    if result.value is None or result.comparator or not _is_gcs(result):
        return None
    return ALERT if result.value == _ALERT_GCS else f"GCS {result.value:g}"


def _is_gcs(result: Result) -> bool:
    """Whether a number is one of the Glasgow Coma Scale, and not a position in a list of answers."""
    coding = result.fact.coding
    system = system_named(coding.system)
    return system is not None and LAB_CODES["gcs"].holds(system, coding.code or "")


def _answered(result: Result, meanings: Mapping[str, V]) -> V | None:
    """What a coded answer means; None when none of its codings is known, or two of them disagree."""
    meant = {
        name
        for coding in result.fact.answer
        if (system := system_named(coding.system)) and coding.code
        for name in meanings
        if VITAL_CODES[f"answer: {name}"].holds(system, coding.code)
    }
    return meanings[meant.pop()] if len(meant) == 1 else None


def _unusable(result: Result) -> Missing:
    if result.why == "no value" and result.fact.answer:
        return result.missing("not stated")
    return result.missing(result.why or ("comparator" if result.comparator else "no value"))


def _reading(value: V, result: Result, found: VitalSet) -> Reading[V]:
    names = [name for name, one in found.found.items() if one is result]
    notes = tuple(note for name in names for note in found.notes[name])
    method = (GCS if _is_gcs(result) else ACVPU) if isinstance(value, str) else ""
    return Reading(value, "", result.at, result.source, as_sent=result.shown, method=method, notes=notes)
