"""Whether a patient smokes, smoked or never did, as the newest recorded status says."""

from datetime import datetime
from importlib.resources import files
from typing import Literal, get_args

from cds.features.feature import Feature, Missing, Need, Reading
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
    older than five years they say so. Unknown, an answer that is in no list, or answers that disagree: "not stated".
    """

    codes: tuple[CodeSet, ...] = (_CODES,)

    def needs(self) -> tuple[Need, ...]:
        return (_NEED,)

    def read(self, chart: Chart, at: datetime) -> Reading[Status] | Missing:
        stated = [f for f in chart.facts(_CODES.name, _NEED.key) if f.status not in ABSENT]
        dated = [(f.when, f) for f in stated if f.when is not None and f.when.first <= at]
        counted = [pair for pair in dated if pair[1].status in COUNTED]
        if not counted:
            undated = any(fact.when is None for fact in stated)
            return Missing("not final" if dated else "no date" if undated else "never recorded")
        when, newest = max(counted, key=lambda pair: (pair[0].last, _issued(pair[1]), pair[1].source))
        return _answer(newest, when, at)


def _issued(fact: Fact) -> float:
    return fact.issued.last.timestamp() if fact.issued else 0.0


def _answer(fact: Fact, when: When, at: datetime) -> Reading[Status] | Missing:
    if fact.problem is not None:
        why: Literal["modified", "not readable"] = "modified" if fact.problem == "modified" else "not readable"
        return Missing("no value" if fact.problem == "no value" else why, when=when.last, source=fact.source)
    means = {status for status in _STATUSES if any(_ANSWERS[status].holds(*known) for known in _coded(fact))}
    if len(means) != 1:
        return Missing("not stated", (fact.text or "").strip()[:60], when.last, fact.source, written=when.written)
    [status] = means
    old = when.first < _LOOK_BACK.before(at)
    if old and status == "current":
        return Missing("too old", status, when.last, fact.source, written=when.written)
    notes = (f"smoking status is of {when.written or day_text(when.last)}",) if old else ()
    return Reading(status, when=when.last, source=fact.source, notes=notes, written=when.written)


_STATUSES: tuple[Status, ...] = get_args(Status)


def _coded(fact: Fact) -> list[tuple[str, str]]:
    """System (short name) and code of each coding of the answer, as far as the system is known."""
    named = [(system_named(coding.system), coding.code) for coding in fact.answer]
    return [(system, code) for system, code in named if system and code]
