"""What a feature answers: a reading with unit, date and source, or why there is none."""

from abc import ABC, abstractmethod
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar, overload

from msgspec import Struct

from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet
from cds.fhir.times import When
from cds.text import day_text

T = TypeVar("T", covariant=True)
V = TypeVar("V")

Why = Literal[
    "never recorded",
    "too old",
    "unit not accepted",
    "implausible",
    "comparator",
    "not final",
    "no value",
    "no date",
    "modified",
    "not readable",
    "not calculable",
    "hospital values only",
    "method not accepted",
    "other test",
    "not stated",
    "not precise enough",
    "not read",
]
"""Every reason for which a feature has no value. The list is closed; metrics and the ledger count by it."""

Bound = Literal["at most", "at least"]


class Reading(Struct, Generic[V], frozen=True, tag="reading", omit_defaults=True):
    """A value in the feature's own unit, as of `when`, from the resource `source` ("Observation/egfr-2").

    `as_sent` is what the laboratory wrote ("186 µmol/L"); `method` names how the value came about when there are
    several ways; `bound` says that the truth is at most or at least the value; `notes` are cautions for the reader.
    """

    value: V
    unit: str = ""
    when: datetime | None = None
    source: str = ""
    as_sent: str = ""
    method: str = ""
    bound: Bound | None = None
    notes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    """Other resources that the value rests on."""
    written: str = ""
    """The date as it was written, where it is less than an instant: "May 2021"."""

    def __post_init__(self) -> None:
        _zoned(self.when)

    @property
    def date(self) -> str:
        """The date for a person, no more precise than it was written: 3 May 2021, May 2021, 2021."""
        return self.written or day_text(self.when)


class Missing(Struct, frozen=True, tag="missing", omit_defaults=True):
    """Why there is no value. `shown` is what stood there instead ("35", "> 60 mL/min"), `when` its date."""

    why: Why
    shown: str = ""
    when: datetime | None = None
    source: str = ""
    notes: tuple[str, ...] = ()
    written: str = ""

    def __post_init__(self) -> None:
        _zoned(self.when)

    @property
    def date(self) -> str:
        """As Reading.date."""
        return self.written or day_text(self.when)


def _zoned(when: datetime | None) -> None:
    """An instant without a zone is another one on every machine: no answer is dated by it."""
    if when is not None and when.tzinfo is None:
        raise TypeError("an answer's `when` needs a time zone: datetime(2026, 11, 22, tzinfo=UTC)")


class Need(Struct, frozen=True):
    """What must be read from a FHIR server for a feature: one prefetch key, one search.

    `count` is the page size (None: not limited); a `series` needs every page, otherwise the newest page suffices.
    An optional need that cannot be had is noticed only when a feature asks for it. `include` is the reference whose
    targets come along with the search (`medication`: each MedicationRequest's Medication).
    """

    key: str
    resource_type: str
    codes: tuple[CodeSet, ...] = ()
    count: int | None = None
    series: bool = False
    required: bool = True
    include: str = ""


class Feature(ABC, Generic[T]):
    """Something a model asks of a chart, and the one place where facts become a number."""

    cautions: ClassVar[bool] = False
    """Whether what its answer notes is said beside every number, whatever the model says itself."""

    if TYPE_CHECKING:
        # On a row, the column holds the feature's answer; on the class it is the feature itself.
        @overload
        def __get__(self, row: None, owner: Any) -> Self: ...
        @overload
        def __get__(self, row: object, owner: Any) -> T: ...
        def __get__(self, row: object | None, owner: Any) -> Any: ...

    @abstractmethod
    def read(self, chart: Chart, at: datetime) -> T:
        """The answer at `at`; facts after `at` do not exist."""

    def needs(self) -> tuple[Need, ...]:
        """What the feature reads besides the Patient."""
        return ()


def spell(number: float) -> str:
    """A number as people write it: 35, 35.2, 0.0035."""
    return f"{number:.10g}"


def stamp(moment: When | None) -> datetime | None:
    """The instant by which a fact is ordered and dated."""
    return moment.last if moment else None
