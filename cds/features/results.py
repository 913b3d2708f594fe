"""Laboratory results of one analyte, newest first: which count, in which order, and what is wrong with each."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from operator import attrgetter

from msgspec import Struct

from cds.features.feature import Feature, Missing, Need, Why, spell
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet
from cds.fhir.facts import Fact
from cds.fhir.times import When
from cds.fhir.units import Analyte
from cds.text import day_text

COUNTED = frozenset({"final", "amended", "corrected"})
ABSENT = frozenset({"entered-in-error", "cancelled"})
_NEVER = datetime.min.replace(tzinfo=UTC)
_ANY_DAY = datetime.max.replace(tzinfo=UTC)


class Result(Struct, frozen=True, gc=False):
    """One result. `value` is in the analyte's own unit; when it may not be used, `why` says so and value is None.

    A comparator alone does not clear the value: whoever accepts bounds (urine albumin) reads `comparator`.
    """

    when: When
    at: datetime
    """The instant by which the result is ordered: the latest that its date may mean."""
    issued: datetime
    """When it was issued, or the earliest instant there is: of two results at one instant the later issued counts."""
    source: str
    value: float | None
    why: Why | None
    unit: str
    comparator: str | None
    fact: Fact

    @property
    def shown(self) -> str:
        """What stood in the chart, for a person to recognise."""
        return shown(self.fact)

    @property
    def date(self) -> str:
        """The date for a person, no more precise than it was written."""
        return self.when.written or day_text(self.at)

    @property
    def sent(self) -> float:
        """The number in the unit in which it was sent."""
        return self.fact.value or 0.0

    def missing(self, why: Why | None = None) -> Missing:
        reason = why or self.why or "no value"
        shown = self.shown
        if reason == "unit not accepted" and self.fact.unit and self.fact.unit_code not in (None, self.fact.unit):
            shown = f"{shown} [{self.fact.unit_code}]"  # what is refused is that the two disagree
        return Missing(reason, shown, self.at, self.source, written=self.when.written)


class Results(Struct, frozen=True):
    """Results that count, newest first.

    `pending` is the newest registered or preliminary one, `undated` how many lack a time.
    """

    counted: tuple[Result, ...] = ()
    pending: Result | None = None
    undated: int = 0

    @property
    def newest(self) -> Result | None:
        return self.counted[0] if self.counted else None

    def none(self) -> Missing:
        """Why nothing counts."""
        if self.pending:
            return self.pending.missing("not final")
        return Missing("no date" if self.undated else "never recorded")

    def notes(self, used: Result) -> tuple[str, ...]:
        """What a reader must hear although `used` was used."""
        said = []
        if self.pending and order(self.pending) > order(used):
            said.append(f"a newer result ({self.pending.shown}, {self.pending.date}) is not final and was not used")
        if self.undated:
            said.append(f"{self.undated} result(s) without a date were not used")
        return tuple(said)


order: Callable[[Result], tuple[datetime, datetime, str]] = attrgetter("at", "issued", "source")
"""The one total order of results: instant, then issued, then id."""


class Series(Feature[Results]):
    """Every result of an analyte up to `at`, from all `codes`."""

    def __init__(self, analyte: Analyte, *codes: CodeSet, need: Need) -> None:
        self.analyte = analyte
        self.codes = codes
        self.need = need
        self._every = _Every(self)

    def needs(self) -> tuple[Need, ...]:
        return (self.need,)

    def read(self, chart: Chart, at: datetime) -> Results:
        every = chart.read(self._every, _ANY_DAY)
        return _NO_RESULTS if every is _NO_DAYS else every.until(at)


class _Dated(Struct, frozen=True):
    """Results of all days, newest first: of many days, each sees those up to itself without sorting them again."""

    counted: tuple[Result, ...] = ()
    pending: tuple[Result, ...] = ()
    undated: int = 0

    def until(self, at: datetime) -> Results:
        counted = tuple([result for result in self.counted if result.when.first <= at])
        pending = next((result for result in self.pending if result.when.first <= at), None)
        return Results(counted, pending, self.undated)


_NO_DAYS = _Dated()
_NO_RESULTS = Results()


class _Every(Feature[_Dated]):
    """A series' results whatever their day, which is why the chart is asked for them once."""

    def __init__(self, series: Series) -> None:
        self._series = series

    def read(self, chart: Chart, at: datetime) -> _Dated:
        del at
        series = self._series
        found = [chart.facts(codes.name, series.need.key) for codes in series.codes]
        facts = found[0] if len(found) == 1 else [fact for part in found for fact in part]
        return _dated(facts, series.analyte) if facts else _NO_DAYS


def _dated(facts: Sequence[Fact], analyte: Analyte) -> _Dated:
    """Sort facts into results that count, those that are not final, and the undated."""
    counted: list[Result] = []
    pending: list[Result] = []
    undated = 0
    for fact in facts:
        if fact.status in ABSENT:
            continue
        if fact.when is None:
            undated += 1
        else:
            (counted if fact.status in COUNTED else pending).append(result_of(fact, fact.when, analyte))
    counted.sort(key=order, reverse=True)
    pending.sort(key=order, reverse=True)
    return _Dated(tuple(counted), tuple(pending), undated)


_WHY: dict[str, Why] = {"modified": "modified", "no value": "no value", "other test": "other test"}


def result_of(fact: Fact, moment: When, analyte: Analyte) -> Result:
    """Convert a fact's value into the analyte's own unit, or say why it cannot be used."""
    conversion = analyte.conversion(fact.unit, fact.unit_code)
    if analyte.unit_of and conversion is not None and analyte.contradicts(fact.coding.code, conversion):
        conversion = None
    value: float | None = None
    why: Why | None = None
    if fact.problem is not None:
        why = _WHY.get(fact.problem, "not readable")
    elif fact.value is None:
        why = "no value"
    elif conversion is None:
        why = "unit not accepted"
    else:
        value = fact.value * conversion.factor + conversion.offset
        low, high = analyte.accepted
        if not low <= value <= high:
            value, why = None, "implausible"
    unit, issued = conversion.unit if conversion else "", fact.issued.last if fact.issued else _NEVER
    # In the order of the struct: a series has a hundred of these, and by name each takes five times as long.
    return Result(moment, moment.last, issued, fact.source, value, why, unit, fact.comparator, fact)


def shown(fact: Fact) -> str:
    """What stood in the chart, for a person to recognise: "> 60 mL/min", "35", "not calculable"."""
    if fact.value is None:
        return (fact.text or "").strip()[:60]
    unit = fact.unit or fact.unit_code or ""
    return f"{fact.comparator or ''}{spell(fact.value)} {unit[:40]}".strip()
