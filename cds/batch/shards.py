"""Scores the patients of one shard: their kept resources become charts, and each chart goes through the one door."""

from collections.abc import Iterable, Mapping, Set
from datetime import datetime

from msgspec import Struct, field, json

from cds.batch.answers import Answer, Rejected, answer, bases_of
from cds.batch.kept import DELETED, Reject, framed, is_mark, marked, named, shard_of, unframed
from cds.batch.ownership import Merged
from cds.batch.rows import Row, rows
from cds.batch.scorers import Scorers
from cds.batch.written import Written, assessed, decoded, encoded, newest, taken_back
from cds.errors import DataUnavailable, WrongPatient
from cds.fhir.chart import Chart, Located
from cds.fhir.identity import Identity
from cds.fhir.resources import Resource, expanded
from cds.risk.estimate import NotScored, Risk
from cds.risk.model import RiskModel

Blocks = Iterable[tuple[int, bytes]]
"""Blocks of kept resources, each with the number of the range it came from, in the order of the ranges."""
EARLIER = -1
"""In place of a range's number: what an earlier run kept."""
Counts = dict[str, dict[str, dict[str, int]]]
"""Patients by model, outcome and reason ("" for a risk)."""

_ROWS_A_BATCH = 2048
_NO_PATIENT = "its patient is not in the data"
_DOUBTFUL = "it is unclear which of several records stands for this patient"
_CAME_BACK = "this patient was deleted and came back: only a run over a whole export, without --prior, scores them"
_UNREAD = "a line of this patient's could not be read"


class Scored(Struct):
    """What came of a shard; resources are JSON."""

    patients: int = 0
    counts: Counts = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    packed: list[bytes] = field(default_factory=list)
    """Earlier rows, as Arrow batches: as Python values a shard's would take ten times the room of its charts."""
    assessments: list[bytes] = field(default_factory=list)
    """RiskAssessments of every answer that is new."""
    retracted: list[bytes] = field(default_factory=list)
    """RiskAssessments of earlier runs that do not hold any more, as entered in error."""
    rejects: list[Reject] = field(default_factory=list)
    kept: list[bytes] = field(default_factory=list)
    written: list[bytes] = field(default_factory=list)
    """Framed, for the next run: the resources of each patient, and all that was written of them."""

    def pack(self) -> None:
        if self.rows:
            from cds.batch.columns import packed  # pyarrow: a scan does without its 60 MB

            self.packed.append(packed(self.rows))
            self.rows.clear()


class _Record(Struct):
    """One patient's: (range, line, condensed resource), and what earlier runs wrote."""

    kept: list[tuple[int, int, bytes]] = field(default_factory=list)
    written: list[Written] = field(default_factory=list)


class Shard:
    """One shard's patients with their kept resources."""

    def __init__(self, number: int, shards: int, merged: Merged) -> None:
        self._number, self._shards, self._merged = number, shards, merged
        self._records: dict[bytes, _Record] = {}
        self._earlier: set[int] = set()
        self._seen: set[int] = set()

    def add(self, blocks: Blocks) -> None:
        """Take what belongs to this shard's patients, from blocks of this shard or of any other."""
        for number, block in blocks:
            for key, line, resource in unframed(block):
                if (record := self._record(key)) is not None:
                    record.kept.append((number, line, resource))
                    if number == EARLIER:
                        self._earlier.add(line)

    def see(self, names: bytes) -> None:
        """Take note of resources that came again, in whatever shard and whoever they are about now."""
        self._seen |= self._earlier.intersection(memoryview(names).cast("Q"))

    def add_written(self, block: bytes) -> None:
        """Take what earlier runs wrote of this shard's patients."""
        for key, _, written in unframed(block):
            if (record := self._record(key)) is not None:
                record.written.append(decoded(written))

    def _record(self, key: bytes) -> _Record | None:
        """The record of the patient that stands for `key`; None when it is another shard's."""
        known = self._records.get(key)
        if known is not None and not self._merged.root:
            return known
        owner = self._merged.owner(key)
        if shard_of(owner, self._shards) != self._number:
            return None
        return self._records.setdefault(owner, _Record())

    def scored(self, scorers: Scorers, at: datetime, deleted: frozenset[str] = frozenset()) -> Scored:
        """Score every patient at `at`, in the order of their ids. `deleted`: references of what a server deleted."""
        found = Scored()
        for key in sorted(self._records):
            record = self._records.pop(key)
            record.kept.sort()
            doubt = WrongPatient(_DOUBTFUL) if key in self._merged.doubtful else None
            _Patient(key, record, deleted, self._seen).score_into(found, scorers, at, doubt)
            if len(found.rows) >= _ROWS_A_BATCH:
                found.pack()
        found.pack()
        return found


class _Patient:
    """One patient's resources as they stand now, new ones in place of earlier versions."""

    def __init__(self, key: bytes, record: _Record, deleted: frozenset[str], seen: Set[int]) -> None:
        """`seen`: earlier resources that came again; one that did not come again for this patient is not theirs now."""
        self._key, self._id, self._record = key, key.decode(), record
        found, marks = list[tuple[int, int, bytes, Resource]](), list[tuple[int, int, bytes]]()
        for one in record.kept:
            if is_mark(one[2]):
                marks.append(one)
            else:
                found.append((*one, expanded(one[2])))
        if record.kept[:1] and record.kept[0][0] == EARLIER:
            new = {_reference(resource) for number, _, _, resource in found if number != EARLIER}
            again = {_reference(resource) for number, line, _, resource in found if number == EARLIER and line in seen}
            deleted |= again - new - {marked(data) for _, _, data in marks}
            gone = new | deleted
            found = [one for one in found if one[0] != EARLIER or not (one[3].id and _reference(one[3]) in gone)]
            unread = {data for number, _, data in marks if number != EARLIER}
            marks = [m for m in marks if m[2] in unread or not (m[1] in seen or marked(m[2]) in gone)]
        self._deleted = deleted
        if f"Patient/{self._id}" in deleted and not any(one[3].resource_type == "Patient" for one in found):
            found = [one for one in found if one[0] != EARLIER]
            marks = [(EARLIER, 0, DELETED)]
        self._found = found
        self._resources = [one[3] for one in found]
        self._marks = {data for _, _, data in marks}

    def score_into(self, found: Scored, scorers: Scorers, at: datetime, doubt: DataUnavailable | None) -> None:
        written, retracted = self._still_written()
        if not any(resource.resource_type == "Patient" for resource in self._resources):
            new = ((number, line) for number, line, _, _ in self._found if number != EARLIER)
            found.rejects += [Reject(number, line, _NO_PATIENT) for number, line in new]
        else:
            found.patients += 1
            chart = doubt or self._unavailable() or self._chart(scorers)
            for model in scorers.models:
                said = answer(model, chart, at)
                _count(found.counts.setdefault(model.id, {}), said)
                last = self._assessment(found, written, said, model) if isinstance(said, Risk) else None
                found.rows += rows(self._id, model, said, at, last)
        again = {one.id for one in written}  # asked as of the same instant, the new answer stands under the same id
        found.retracted += [one.retracted() for one in retracted if one.id not in again]
        self._keep(found, written)

    def _unavailable(self) -> DataUnavailable | None:
        if not self._marks:
            return None
        return DataUnavailable(_CAME_BACK if DELETED in self._marks else _UNREAD)

    def _still_written(self) -> tuple[list[Written], list[Written]]:
        """What earlier runs wrote and still holds, and what is to be retracted; both in the order of the runs."""
        if not self._record.written:
            return [], []
        gone = set(taken_back(self._resources, self._deleted))
        holds, fallen = list[Written](), list[Written]()
        for one in self._record.written:
            (fallen if one.basis & gone else holds).append(one)
        return holds, fallen

    def _chart(self, scorers: Scorers) -> Chart | DataUnavailable:
        located: list[Located] = [(resource, None) for resource in self._resources]
        try:
            return Chart.of(located, Identity(self._id, bases_of(located)), scorers.vocabulary)
        except DataUnavailable as error:
            return error

    def _assessment(self, found: Scored, written: list[Written], risk: Risk, model: RiskModel) -> str:
        """The id of the RiskAssessment with this answer: an earlier one, when nothing of it has changed."""
        now, last = assessed(risk, model, self._id), newest(written, model.id)
        if last is not None and last.identifier == now.identifier:
            return last.id
        found.assessments.append(json.encode(now.assessment))
        written[:] = [*(one for one in written if one.id != now.id), now]
        return now.id

    def _keep(self, found: Scored, written: list[Written]) -> None:
        found.kept += [framed(self._key, named(r.resource_type, r.id), data) for _, _, data, r in self._found]
        for mark in sorted(self._marks):  # until that resource comes again
            found.kept.append(framed(self._key, _number(mark), mark))
        found.written += [framed(self._key, 0, encoded(one)) for one in written]


def _number(mark: bytes) -> int:
    kind, _, own = (marked(mark) or "").partition("/")
    return named(kind, own)


def _reference(resource: Resource) -> str:
    return f"{resource.resource_type}/{resource.id}"


def _count(counts: dict[str, dict[str, int]], said: Answer) -> None:
    outcome = "rejected" if isinstance(said, Rejected) else "not-scored" if isinstance(said, NotScored) else "risk"
    reasons = counts.setdefault(outcome, {})
    reason = "" if isinstance(said, Risk) else said.reason
    reasons[reason] = reasons.get(reason, 0) + 1


def foreign_shards(merged: Merged, shards: int) -> Mapping[int, set[int]]:
    """For a shard, the others in which resources of its patients lie because a record was replaced."""
    found: dict[int, set[int]] = {}
    for old, new in merged.root.items():
        here, there = shard_of(new, shards), shard_of(old, shards)
        if here != there:
            found.setdefault(here, set()).add(there)
    return found
