"""The Charlson comorbidity groups of a chart, weighed as a model's own publication weighs them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files

from cds.features.diagnoses import CONDITION_CODES, unsure
from cds.features.feature import Feature, Need, Reading
from cds.features.kinds import ACTIVE, CONDITIONS, ENCOUNTERS, recorded
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet, read_code_sets
from cds.fhir.facts import Fact
from cds.fhir.unlisted import UNLISTED_CONDITION

_PREFIX = "charlson_"
_LISTED_TOO = {
    "myocardial_infarction": "myocardial_infarction",
    "cerebrovascular": "stroke_tia_te",
    "heart_failure": "heart_failure",
    "diabetes_uncomplicated": "diabetes",
    "mild_liver": "cirrhosis",
    "tumour": "active_cancer",
    "connective_tissue": "rheumatological",
}
"""The set of diagnoses whose SNOMED CT codes a group has as well; of two degrees of one thing the heavier counts."""


def _united(name: str, codes: CodeSet) -> CodeSet:
    listed = _LISTED_TOO.get(name.removeprefix(_PREFIX))
    also = CONDITION_CODES[listed].entries if listed else ()
    return CodeSet(name, (*codes.entries, *(entry for entry in also if entry.system == "snomed")))


CHARLSON_CODES: dict[str, CodeSet] = {
    name.removeprefix(_PREFIX): _united(name, codes)
    for name, codes in read_code_sets(files("cds.fhir") / "vocabulary" / "charlson.csv").items()
}
"""Closed code lists by group: "heart_failure", "diabetes_complicated" … ICD-10 and ICD-9 as Quan et al. coded them.

SNOMED CT, which the publication does not have, is in charlson.csv and in the sets of diagnoses that mean the same.
"""
_ONLY_ACTIVE = frozenset({"tumour", "metastatic"})
"""A cancer that is over is none; every other disease counts whenever it was diagnosed."""


class Charlson(Feature[Reading[int]]):
    """The sum of the weights of the groups that were ever diagnosed; `method` names them with their weights.

    `weights` are by group. Groups of one tuple of `once` are degrees of one thing: the heaviest of them counts alone.
    A Condition search that was read and holds none of them gives 0; one that was not read raises DataUnavailable.
    Noted are groups of which there is only a suspicion, and how many diagnoses no list here knows.
    """

    cautions = True

    def __init__(self, weights: Mapping[str, int], once: tuple[tuple[str, ...], ...]) -> None:
        self.weights = dict(weights)
        self.once = once
        self.codes = (*(CHARLSON_CODES[group] for group in weights), CodeSet(UNLISTED_CONDITION, ()))

    def needs(self) -> tuple[Need, ...]:
        return (CONDITIONS, ENCOUNTERS)

    def read(self, chart: Chart, at: datetime) -> Reading[int]:
        known = {group: facts for group in self.weights if (facts := self._diagnosed(group, chart, at))}
        held = {group: facts[0].source for group, facts in known.items()}
        counted = [group for group in held if not self._lighter(group, held)]
        told = ", ".join(f"{group.replace('_', ' ')} {self.weights[group]}" for group in counted)
        sources = tuple(held[group] for group in counted)
        points = sum(self.weights[group] for group in counted)
        notes = (*(note for group in counted for note in _suspected(known[group], group)), *_unlisted(chart, at))
        return Reading(points, source=next(iter(sources), ""), method=told, also=sources[1:], notes=notes)

    def _diagnosed(self, group: str, chart: Chart, at: datetime) -> list[Fact]:
        facts = recorded(chart, (CHARLSON_CODES[group],), self.needs(), at)
        return [f for f in facts if f.kind == "Condition" and _still(group, f)]

    def _lighter(self, group: str, held: Mapping[str, str]) -> bool:
        """Whether another degree of the same thing counts instead: a heavier one, or of two alike the first."""
        degrees = next((degrees for degrees in self.once if group in degrees), (group,))
        rival = max((one for one in degrees if one in held), key=lambda one: self.weights[one])
        return rival != group


def _suspected(facts: Sequence[Fact], group: str) -> tuple[str, ...]:
    return (f"{group.replace('_', ' ')}: only a provisional or differential diagnosis",) if unsure(facts) else ()


def _unlisted(chart: Chart, at: datetime) -> tuple[str, ...]:
    found = recorded(chart, (CodeSet(UNLISTED_CONDITION, ()),), (CONDITIONS,), at)
    many = "diagnosis has a code" if len(found) == 1 else "diagnoses have codes"
    return (f"{len(found)} {many} that no list here knows, and did not count",) if found else ()


def _still(group: str, fact: Fact) -> bool:
    return group not in _ONLY_ACTIVE or fact.clinical_status in ACTIVE
