"""The table language of these tests: a chart as a small text table, and an answer as a few words.

A table's first column holds ids and is headed by the resource type; an empty cell leaves the member out:

    Observation | effective  | value | unit
    newest      | 2026-11-01 | 1.4   | mg/dL
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from cds import Missing, Reading, read_code_sets
from cds.features.feature import spell
from cds.features.labs import LAB_CODES
from cds.features.results import Results
from cds.fhir.chart import Chart
from cds.fhir.codes import CodeSet, Entry, Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.resources import Resource, read

__all__ = [
    "AT",
    "ATC",
    "DIALYSIS",
    "LAB_CODES",
    "Json",
    "chart",
    "dated",
    "latest",
    "patient",
    "read_code_sets",
    "told",
]

AT = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
SNOMED = "http://snomed.info/sct"
ATC = "http://www.whocc.no/atc"
ACT_PRIORITY = "http://terminology.hl7.org/CodeSystem/v3-ActPriority"
ADMIT_SOURCE = "http://terminology.hl7.org/CodeSystem/admit-source"
DIALYSIS = CodeSet(
    "dialysis", [Entry("snomed", "265764009"), Entry("icd10cm", "Z99.2", "prefix"), Entry("loinc", "11041-1")]
)

Json = dict[str, Any]
Row = Mapping[str, str]
Writer = Callable[[Json, str], None]


def chart(*tables: str, vocabulary: Vocabulary | None = None, unread: tuple[str, ...] = (), **person: Any) -> Chart:
    """The chart of patient `p` with the resources of the tables; `person` are members of the Patient."""
    resources = [patient(**person), *(resource for table in tables for resource in rows(table))]
    known = vocabulary or Vocabulary([*LAB_CODES.values(), DIALYSIS])
    return Chart.of([(fhir(one), None) for one in resources], Identity("p"), known, unread)


def patient(**members: Any) -> Json:
    return {"resourceType": "Patient", "id": "p", **members}


def fhir(resource: Json) -> Resource:
    """The resource as it comes off the wire."""
    return read(json.dumps(resource))


def rows(table: str) -> Iterator[Json]:
    """Each line of a table below its header as a FHIR resource."""
    header, *lines = [[cell.strip() for cell in line.split(" |")] for line in table.splitlines() if line.strip()]
    for line in lines:
        cells = dict(zip(header[1:], line[1:], strict=True))
        yield resource_of(header[0], line[0], cells)


def resource_of(kind: str, id_: str, cells: Row) -> Json:
    resource: Json = {"resourceType": kind, "id": id_, "subject": {"reference": "Patient/p"}, **DEFAULTS[kind]}
    for column, cell in cells.items():
        if cell:
            WRITERS[column](resource, cell)
    return resource


def concept(*cells: str) -> Json:
    """A CodeableConcept of codes, each `system|code` or a LOINC code, separated by a blank in one cell."""
    pairs = [(cell.split("|") if "|" in cell else [LOINC, cell]) for text in cells for cell in text.split(" ")]
    return {"coding": [{"system": system, "code": code} for system, code in pairs]}


DEFAULTS: dict[str, Json] = {
    "Observation": {"status": "final", "code": concept("2160-0")},
    "Condition": {"code": concept(f"{SNOMED}|265764009")},
    "Procedure": {"status": "completed", "code": concept(f"{SNOMED}|265764009")},
    "Encounter": {"status": "finished", "class": {"code": "AMB"}},
    "Medication": {"code": concept(f"{ATC}|C10AA05"), "subject": None},
    "MedicationRequest": {
        "status": "active", "intent": "order", "authoredOn": "2026-09-01",
        "medicationCodeableConcept": concept(f"{ATC}|C10AA05"),
    },
    "MedicationStatement": {
        "status": "active", "dateAsserted": "2026-09-01", "medicationCodeableConcept": concept(f"{ATC}|C10AA05"),
    },
}  # fmt: skip
"""What a row has where its table has no such column; "-" in a cell takes it away."""


def _member(name: str) -> Writer:
    return lambda resource, cell: resource.update({name: None if cell in ("null", "-") else cell})


def _inside(name: str, inner: str, make: Callable[[str], Any] = str) -> Writer:
    return lambda resource, cell: resource.setdefault(name, {}).update({inner: make(cell)})


def _quantity(inner: str, make: Callable[[str], Any] = str) -> Writer:
    return _inside("valueQuantity", inner, make)


def _code(name: str) -> Writer:
    return lambda resource, cell: resource.update({name: concept(cell if "|" in cell else f"any|{cell}")})


def _refer(resource: Json, cell: str) -> None:
    """A reference instead of the code; with a code after it, to a Medication that the resource itself contains."""
    reference, _, code = cell.partition(" ")
    resource.update(medicationCodeableConcept=None, medicationReference={"reference": reference})
    if code:
        medication = {"resourceType": "Medication", "id": reference.removeprefix("#"), "code": concept(code)}
        resource["contained"] = [medication]


def _dose(side: str) -> Writer:
    """Doses that begin or end on these days, each of its own; "open" for one that does not say."""

    def write(resource: Json, cell: str) -> None:
        bounds = [{} if day == "open" else {side: day} for day in cell.split(" ")]
        resource["dosageInstruction"] = [{"timing": {"repeat": {"boundsPeriod": one}}} for one in bounds]

    return write


WRITERS: dict[str, Writer] = {
    "code": lambda resource, cell: resource.update(code=concept(cell)),
    "effective": _member("effectiveDateTime"),
    "instant": _member("effectiveInstant"),
    "from": _inside("effectivePeriod", "start"),
    "to": _inside("effectivePeriod", "end"),
    "issued": _member("issued"),
    "status": _member("status"),
    "value": _quantity("value", float),
    "unit": _quantity("unit"),
    "ucum": lambda resource, cell: (_quantity("code")(resource, cell), _quantity("system")(resource, UCUM))[0],
    "unit code": _quantity("code"),
    "comparator": _quantity("comparator"),
    "text": _member("valueString"),
    "integer": lambda resource, cell: resource.update(valueInteger=int(cell)),
    "answer": _code("valueCodeableConcept"),
    "absent": _code("dataAbsentReason"),
    "modifier": lambda resource, cell: resource.update(modifierExtension=[{"url": cell, "valueBoolean": True}]),
    "focus": lambda resource, cell: resource.update(focus=[{"reference": cell}]),
    "encounter": _inside("encounter", "reference"),
    "onset": _member("onsetDateTime"),
    "recorded": _member("recordedDate"),
    "clinical": _code("clinicalStatus"),
    "verification": _code("verificationStatus"),
    "performed": _member("performedDateTime"),
    "started": _inside("performedPeriod", "start"),
    "ended": _inside("performedPeriod", "end"),
    "begin": _inside("period", "start"),
    "end": _inside("period", "end"),
    "part of": lambda resource, cell: resource.update(partOf={"reference": f"Encounter/{cell}"}),
    "priority": lambda resource, cell: resource.update(priority=concept(f"{ACT_PRIORITY}|{cell}")),
    "admitted from": lambda resource, cell: resource.update(
        hospitalization={"admitSource": concept(f"{ADMIT_SOURCE}|{cell}")}
    ),
    "service": lambda resource, cell: resource.update(serviceType=concept(cell)),
    "class": lambda resource, cell: resource.update({"class": {"code": cell}}),
    "type": lambda resource, cell: resource.update(type=[concept(cell)]),
    "medication": lambda resource, cell: resource.update(medicationCodeableConcept=concept(cell)),
    "refers to": _refer,
    "intent": _member("intent"),
    "authored": _member("authoredOn"),
    "asserted": _member("dateAsserted"),
    "do not perform": lambda resource, cell: resource.update(doNotPerform=cell == "true"),
    "dose from": _dose("start"),
    "dose until": _dose("end"),
    "dispense until": lambda resource, cell: resource.update(dispenseRequest={"validityPeriod": {"end": cell}}),
}


def told(answer: Reading[Any] | Missing | Results) -> str:
    """An answer in few words: `1.4 mg/dL from newest`, or why there is none."""
    if isinstance(answer, Results):
        return ", ".join(result.source.rpartition("/")[2] for result in answer.counted) or answer.none().why
    if isinstance(answer, Missing):
        return answer.why
    value = spell(answer.value) if isinstance(answer.value, float) else str(answer.value)
    return " ".join(filter(None, (value, answer.unit, "from", answer.source.rpartition("/")[2])))


def latest(table: str, feature: Any, at: datetime = AT, **options: Any) -> str:
    """What a feature answers about a table, told."""
    return told(feature.read(chart(table, **options), at))


def dated(text: str) -> datetime:
    """An instant of the tables, for asking at another time."""
    return datetime.fromisoformat(text)
