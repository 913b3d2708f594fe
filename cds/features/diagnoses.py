"""Whether a diagnosis stands in the chart, by closed code sets that several models share."""

from collections.abc import Iterable
from datetime import datetime
from importlib.resources import files

from msgspec import structs

from cds.features.feature import Missing, Reading
from cds.features.kinds import ACTIVE, CONDITIONS, PROCEDURES, Ever, newest_of, recorded
from cds.fhir.chart import Chart
from cds.fhir.code_files import CodeSets
from cds.fhir.facts import Fact

CONDITION_CODES = CodeSets(files("cds.fhir") / "vocabulary" / "conditions.csv")
"""Code sets of diagnoses: every line has its source in `note`, or is UNVERIFIED."""


PROCEDURE_CODES = CodeSets(files("cds.fhir") / "vocabulary" / "procedures.csv")
"""Code sets of operations that prove a diagnosis; sources as for CONDITION_CODES."""


class Diagnosis(Ever):
    """Whether a diagnosis was recorded; that it is provisional, where nothing firmer is recorded, is noted."""

    cautions = True

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        held = [
            fact
            for fact in recorded(chart, self.codes, self.needs(), at)
            if self.holds is None or self.holds(chart, fact, at)
        ]
        found = newest_of(chart, held)
        if isinstance(found, Missing) or not unsure(held):
            return found
        what = " or ".join(codes.name.replace("_", " ") for codes in self.codes)
        return structs.replace(found, notes=(*found.notes, f"{what}: only a provisional or differential diagnosis"))


def unsure(facts: Iterable[Fact]) -> bool:
    """Whether none of the diagnoses is more than a suspicion. One that says nothing of it is more."""
    return all(fact.verification in ("provisional", "differential", "unconfirmed") for fact in facts)


def diagnosed(*sets: str, active: bool = True) -> Diagnosis:
    """Whether a Condition of any of the named sets was recorded, and is `active` unless that does not matter.

    A Condition counts unless it is refuted or entered in error; one without a clinical status is active (what of a
    status cannot be understood does not say "over"). Its reading has the date of the newest. "never recorded" means
    that the Conditions were read and none is there; unread, the question raises DataUnavailable.
    """
    codes = tuple(CONDITION_CODES[name] for name in sets)
    return Diagnosis(*codes, holds=_active if active else _whatever, needs=(CONDITIONS,))


def diagnosed_or_treated(diagnosis: str, operation: str) -> Ever:
    """Whether a diagnosis was ever recorded, or an operation that nobody has without it.

    Either may stand in a Condition ("after a bypass") or in a Procedure that was at least begun.
    """
    codes = (CONDITION_CODES[diagnosis], PROCEDURE_CODES[operation])
    return Ever(*codes, holds=_diagnosis_or_operation, needs=(CONDITIONS, PROCEDURES))


def _diagnosis_or_operation(_chart: Chart, fact: Fact, _at: datetime) -> bool:
    return fact.kind in ("Condition", "Procedure")


def _whatever(_chart: Chart, fact: Fact, _at: datetime) -> bool:
    return fact.kind == "Condition"


def _active(_chart: Chart, fact: Fact, _at: datetime) -> bool:
    return fact.kind == "Condition" and fact.clinical_status in ACTIVE
