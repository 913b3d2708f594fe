"""Whether a patient smokes, smoked or never did, as the newest recorded status says."""

from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from typing import Literal, get_args

from msgspec import Struct, structs

from cds.features.feature import Feature, Missing, Need, Reading, Why
from cds.features.labs import LAB_CODES
from cds.features.results import ABSENT, COUNTED
from cds.fhir.chart import Chart
from cds.fhir.code_files import CodeSets
from cds.fhir.codes import CodeSet, system_named
from cds.fhir.facts import Fact
from cds.fhir.times import When, months
from cds.text import day_text

Status = Literal["current", "former", "never"]
_ANSWERS = CodeSets(files("cds.fhir") / "vocabulary" / "smoking.csv")
"""What each answer means: one set for each status, SNOMED codes with their source."""
_CODES = LAB_CODES["smoking_status"]
_NEED = Need("smoking_status", "Observation", (_CODES,), count=10)
_LOOK_BACK = months(60)


class Smoking(Feature[Reading[Status] | Missing]):
    """The newest smoking status (LOINC 72166-2), by its coded answer; a text is never read.

    Who smoked more than five years ago may have stopped: "too old". "former" and "never" are carried forward, and
    older than five years they say so. Unknown, an answer that is in no list, or answers that disagree: "not stated";
    so are two of which nobody can say which is the newer (of one day, say), unless one was issued later.
    """

    codes: tuple[CodeSet, ...] = (_CODES,)

    def needs(self) -> tuple[Need, ...]:
        return (_NEED,)

    def read(self, chart: Chart, at: datetime) -> Reading[Status] | Missing:
        stated = [f for f in chart.facts(_CODES.name, _NEED.key) if f.status not in ABSENT]
        dated = [_Stated(f.when, f) for f in stated if f.when is not None and f.when.first <= at]
        undated = sum(fact.when is None for fact in stated)
        counted = [one for one in dated if one.fact.status in COUNTED]
        if not counted:
            return Missing("not final" if dated else "no date" if undated else "never recorded")
        newest = max(counted, key=_order)
        answer = _answer(newest, [one for one in counted if _may_be_as_new(one, newest)])
        if isinstance(answer, Missing):
            return answer
        old = newest.when.first < _LOOK_BACK.before(at)
        if old and answer.value == "current":
            return newest.missing("too old", answer.value)
        said = [f"smoking status is of {newest.date}"] if old else []
        return structs.replace(answer, notes=(*said, *_not_used(newest, dated, undated)))


class _Stated(Struct, frozen=True):
    """A dated statement."""

    when: When
    fact: Fact

    @property
    def issued(self) -> float:
        return self.fact.issued.last.timestamp() if self.fact.issued else 0.0

    @property
    def date(self) -> str:
        return self.when.written or day_text(self.when.last)

    @property
    def means(self) -> frozenset[Status]:
        """Every status that a coding of the answer names; none when the answer may not be used."""
        coded = [] if self.fact.problem else _coded(self.fact)
        return frozenset(status for status in _STATUSES if any(_ANSWERS[status].holds(*known) for known in coded))

    def missing(self, why: Why, shown: str = "") -> Missing:
        return Missing(why, shown, self.when.last, self.fact.source, written=self.when.written)


def _order(one: _Stated) -> tuple[datetime, float, str]:
    return one.when.last, one.issued, one.fact.source


def _may_be_as_new(one: _Stated, newest: _Stated) -> bool:
    """Whether nobody can say that it is the older of the two: it may be of one instant, and was not issued before."""
    issued_before = bool(one.issued and newest.issued) and one.issued < newest.issued
    return one.when.last >= newest.when.first and not issued_before


def _answer(newest: _Stated, rivals: Sequence[_Stated]) -> Reading[Status] | Missing:
    problem = newest.fact.problem
    if problem is not None:
        return newest.missing(_PROBLEMS.get(problem, "not readable"))
    said = frozenset(status for one in rivals for status in one.means)
    if len(newest.means) != 1 or len(said) != 1:
        return newest.missing("not stated", (newest.fact.text or "").strip()[:60])
    [status] = said
    return Reading(status, when=newest.when.last, source=newest.fact.source, written=newest.when.written)


def _not_used(used: _Stated, dated: Sequence[_Stated], undated: int) -> list[str]:
    """What a reader must hear although the newest that counts was used, as of any result."""
    pending = max((one for one in dated if one.fact.status not in COUNTED), key=_order, default=None)
    said = []
    if pending is not None and _order(pending) > _order(used):
        said.append(f"a newer smoking status ({pending.date}) is not final and was not used")
    if undated:
        said.append(f"{undated} smoking status(es) without a date were not used")
    return said


_PROBLEMS: dict[str, Why] = {"modified": "modified", "no value": "no value"}
_STATUSES: tuple[Status, ...] = get_args(Status)


def _coded(fact: Fact) -> list[tuple[str, str]]:
    """System (short name) and code of each coding of the answer, as far as the system is known."""
    named = [(system_named(coding.system), coding.code) for coding in fact.answer]
    return [(system, code) for system, code in named if system and code]
