"""Whether a patient takes a medication, by closed code sets, from prescriptions and from what was stated."""

from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files

from msgspec import structs

from cds.features.feature import Feature, Missing, Need, Reading, Why, stamp
from cds.fhir.chart import Chart
from cds.fhir.code_files import CodeSets
from cds.fhir.codes import CodeSet
from cds.fhir.facts import Fact
from cds.fhir.prescriptions import NOT_ORDERED, UNNAMED
from cds.fhir.times import LookBack, When, months
from cds.fhir.unlisted import UNLISTED_MEDICATION

MEDICATION_CODES = CodeSets(files("cds.fhir") / "vocabulary" / "medications.csv")
"""Code sets of medications: every line has its source in `note`, or is UNVERIFIED."""

MEDICATIONS = Need("medications", "MedicationRequest", include="medication")
"""Every prescription: FHIR has no search by class of drug, so no codes, no dates and all pages."""
STATEMENTS = Need("medication_statements", "MedicationStatement", include="medication", required=False)
"""What patients and relatives say they take; many servers have none, so a model does well without."""
_UNNAMED, _UNLISTED = CodeSet(UNNAMED, ()), CodeSet(UNLISTED_MEDICATION, ())

_DENIED = frozenset({"not-taken", "stopped", "completed"})
"""Statuses of a MedicationStatement by which the medication is no longer taken."""
_CLOSED = _DENIED | {"cancelled", "ended", "draft", "intended", "entered-in-error"}
"""Statuses by which nothing is taken; any other than these and "active" leaves it open."""


class Taking(Feature[Reading[bool] | Missing]):
    """Whether a medication of any of the named sets is taken at `at`.

    It is when a MedicationRequest (other than a proposal, a plan or an option) or a MedicationStatement is active, was
    written or stated `within` the look-back, has begun and has not ended, and no later statement of the same code says
    that it was stopped, completed or not taken. The newest gives date and source; `method` is "prescribed" or "stated",
    `as_sent` the code. "never recorded" means that everything was read and says no such thing; on hold, of unknown
    status, no longer to be dispensed, or of a name that is not in the chart, is another reason. Nothing here ever says
    "not taking". Where `statements` are not asked for, prescriptions alone are read. Noted is how many
    current medications no list here knows: one of them may be it.
    """

    cautions = True

    def __init__(self, *sets: str, within: LookBack | None = None, statements: bool = True) -> None:
        self.sets = tuple(MEDICATION_CODES[name] for name in sets)
        self.codes = (*self.sets, _UNNAMED, _UNLISTED)
        self.within = within or months(12)
        self._needs = (MEDICATIONS, STATEMENTS) if statements else (MEDICATIONS,)

    def needs(self) -> tuple[Need, ...]:
        return self._needs

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        for need in self.needs():
            if need.required or need.key not in chart.unread:
                chart.facts("", need.key)  # what could not be read is not absent
        known = [fact for codes in self.sets for fact in _recorded(chart, codes.name, at)]
        current = [fact for fact in known if _doubtful(fact, at, self.within) is None and not _denied(fact, known, at)]
        if current:
            newest = max(current, key=_order)
            return _reading(newest, sorted({f.source for f in current} - {newest.source}))
        return structs.replace(self._why_not(known, chart, at), notes=self._unlisted(chart, at))

    def _unlisted(self, chart: Chart, at: datetime) -> tuple[str, ...]:
        current = [f for f in _recorded(chart, UNLISTED_MEDICATION, at) if _doubtful(f, at, self.within) is None]
        many = "medication has a code" if len(current) == 1 else "medications have codes"
        return (f"{len(current)} current {many} that no list here knows, and did not count",) if current else ()

    def _why_not(self, known: list[Fact], chart: Chart, at: datetime) -> Missing:
        """Why the newest thing that might have counted does not."""
        doubts = [(f, _doubtful(f, at, self.within)) for f in known if not _denied(f, known, at)]
        unnamed = [(f, _doubtful(f, at, self.within)) for f in _recorded(chart, UNNAMED, at)]
        # Of what nobody can name, an old one says nothing; otherwise it may be the one.
        doubts += [(fact, "not readable") for fact, why in unnamed if why not in ("never recorded", "too old")]
        for fact, why in sorted(doubts, key=lambda doubt: _order(doubt[0]), reverse=True):
            if why and why != "never recorded":
                when = _said(fact)
                return Missing(why, _shown(fact), stamp(when), fact.source, written=when.written if when else "")
        unread = any(need.key in chart.unread for need in self._needs)
        return Missing("not read" if unread else "never recorded")


def _recorded(chart: Chart, code_set: str, at: datetime) -> list[Fact]:
    """Facts of a set that stand at `at`: MedicationRequests and -Statements that are ordered or stated, and begun."""
    facts = [f for f in chart.facts(code_set) if f.kind in ("MedicationRequest", "MedicationStatement")]
    begun = [f for f in facts if _by(f.when, at) and _by(f.issued, at) and _by(f.began, at)]
    return [f for f in begun if f.category not in NOT_ORDERED]


def _by(moment: When | None, at: datetime) -> bool:
    return moment is None or moment.first <= at


def _doubtful(fact: Fact, at: datetime, within: LookBack) -> Why | None:
    """Why a fact does not say that the medication is taken, or None when it does."""
    if not _open(fact, at):
        return "never recorded"
    said = _said(fact)
    if said is None:
        return "no date"
    expired = fact.moment is not None and fact.moment.last < at
    if expired or said.first < within.before(at):
        return "too old"
    if fact.problem is not None:
        return "modified" if fact.problem == "modified" else "not readable"
    return None if fact.status == "active" else "not stated"


def _open(fact: Fact, at: datetime) -> bool:
    """Whether it is taken still, as far as its status, if it were known, and its end may say."""
    over = fact.ended is not None and fact.ended.last < at
    return not over and fact.status not in _CLOSED


def _said(fact: Fact) -> When | None:
    """When it was written, or stated last."""
    moments = [moment for moment in (fact.when, fact.issued) if moment is not None]
    return max(moments, key=lambda moment: moment.last, default=None)


def _denied(fact: Fact, known: Sequence[Fact], at: datetime) -> bool:
    """Whether a later statement of the same code says that it was stopped or is not taken.

    One that cannot be understood denies nothing: its modifier may turn it round.
    """
    said = _said(fact)
    return said is not None and any(
        other.kind == "MedicationStatement"
        and other.status in _DENIED
        and other.problem is None
        and other.coding == fact.coding
        and (later := _over_since(other, at)) is not None
        and later.last > said.last
        for other in known
    )


def _over_since(statement: Fact, at: datetime) -> When | None:
    """When a statement was made or, if that is later, the end of which it tells."""
    moments = [_said(statement), statement.ended if _by(statement.ended, at) else None]
    return max((moment for moment in moments if moment is not None), key=lambda moment: moment.last, default=None)


def _order(fact: Fact) -> tuple[bool, float, str]:
    said = _said(fact)
    return (said is not None, said.last.timestamp() if said else 0.0, fact.source)


def _shown(fact: Fact) -> str:
    return " ".join(filter(None, (fact.status, fact.coding.code)))


def _reading(fact: Fact, also: Sequence[str]) -> Reading[bool]:
    said = _said(fact)
    return Reading(
        True,
        when=stamp(said),
        source=fact.source,
        as_sent=fact.coding.code or "",
        method="prescribed" if fact.kind == "MedicationRequest" else "stated",
        also=tuple(also),
        written=said.written if said else "",
    )
