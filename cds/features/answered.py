"""What charts do not code and somebody has to answer: an explicit yes or no, or nothing."""

from collections.abc import Iterable
from datetime import datetime

from cds.features.feature import Feature, Missing, Need, Reading
from cds.features.results import ABSENT, COUNTED
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet, Entry
from cds.fhir.facts import Fact
from cds.fhir.times import LookBack

YES = frozenset({"373066001", "LA33-6", "Y"})
NO = frozenset({"373067005", "LA32-8", "N"})
"""SNOMED CT, LOINC and HL7 version 2 answers."""


class Answered(Feature[Reading[bool] | Missing]):
    """The newest explicit answer within a look-back: an Observation of code `urn:bedside:feature|NAME`, or of a code
    that the site maps to NAME, whose value is a coded yes or no. No answer is Missing, and never a no. A newer one that
    is not final is not used, and that is said.
    """

    def __init__(self, name: str, within: LookBack, *, also: Iterable[CodeSet] = ()) -> None:
        self.name = name
        own = CodeSet(name, (Entry("bedside", name),))
        self.codes = (own, *also)
        self.within = within
        self.need = Need("answers", "Observation", self.codes, count=100, series=True, required=False)

    def needs(self) -> tuple[Need, ...]:
        return (self.need,)

    def read(self, chart: Chart, at: datetime) -> Reading[bool] | Missing:
        if self.need.key in chart.unread:
            return Missing("not read")
        dated = [
            (fact.when.last, fact.source, fact)
            for codes in self.codes
            for fact in chart.facts(codes.name, self.need.key)
            if fact.status not in ABSENT and fact.when is not None and fact.when.first <= at
        ]
        given = [one for one in dated if one[2].status in COUNTED]
        if not given:
            return Missing("never recorded")
        last, source, newest = max(given, key=lambda one: one[:2])
        pending = [fact for when, _, fact in dated if when > last]
        if newest.when is None or newest.when.first < self.within.before(at):
            return Missing("too old", when=last, source=source)
        yes = _yes(newest)
        if yes is None:
            return Missing("not readable", when=last, source=source, written=newest.when.written)
        notes = (f"a newer answer ({self.name.replace('_', ' ')}) is not final and was not used",) if pending else ()
        return Reading(yes, when=last, source=source, written=newest.when.written, notes=notes)


def _yes(fact: Fact) -> bool | None:
    said = {coding.code for coding in fact.answer}
    if fact.problem is not None or bool(said & YES) == bool(said & NO):
        return None
    return bool(said & YES)
