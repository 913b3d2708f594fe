"""How a row of a story becomes a FHIR R4 resource of the shape that US Core systems send."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from fhir_fixtures.vocabulary import DRUGS, HL7, LOINC, MEASURES, PROBLEMS, PROCEDURES, RXNORM, UCUM, VISITS, Coding

Resource = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """Whose rows these are: the patient's id, and the encounter that took place on each day."""

    patient: str
    encounters: Mapping[str, str]

    def head(self, kind: str, key: str, day: str) -> Resource:
        """The members that every resource about this patient begins with."""
        return {"resourceType": kind, "id": f"{self.patient}-{key}-{day.replace('-', '')}"}

    def reference(self) -> Resource:
        """The subject member."""
        return {"reference": f"Patient/{self.patient}"}

    def encounter(self, day: str) -> Resource:
        """The encounter member, or nothing on a day without an encounter (a specimen brought in by itself)."""
        return {"encounter": {"reference": f"Encounter/{self.encounters[day]}"}} if day in self.encounters else {}


class Row(Protocol):
    """One line of a story."""

    @property
    def day(self) -> str:
        """When: YYYY-MM-DD."""

    def resource(self, of: Subject) -> Resource:
        """The row as FHIR."""


def concept(*codings: Coding, text: str | None = None) -> Resource:
    """A CodeableConcept; its text is the first coding's display unless given."""
    listed = [{"system": system, "code": code, "display": display} for system, code, display in codings]
    return {**({"coding": listed} if listed else {}), "text": text or codings[0][2]}


def hl7(table: str, code: str) -> Resource:
    """A CodeableConcept of one coding from HL7's own tables."""
    return {"coding": [{"system": HL7 + table, "code": code}]}


def moment(day: str, clock: str) -> str:
    """An instant of the stories' hospitals, all on North American Eastern Time; nothing with an hour falls in March."""
    return f"{day}T{clock}:00{'-04:00' if '03-31' < day[5:] < '11-01' else '-05:00'}"


def later(instant: str, **by: int) -> str:
    """The same wall clock, some hours or days on."""
    return (datetime.fromisoformat(instant) + timedelta(**by)).isoformat()


def quantity(value: float, unit: str | None) -> Resource:
    """A Quantity; without a unit when the laboratory sent none."""
    return {"value": value, **({"unit": unit, "system": UCUM, "code": unit} if unit else {})}


@dataclass(frozen=True)
class Visit:
    """An encounter: its class, and how many hours it lasted."""

    day: str
    of_class: str = "AMB"
    hours: int = 1

    def resource(self, of: Subject) -> Resource:
        """The finished Encounter."""
        display, text, kind = VISITS[self.of_class]
        start = moment(self.day, "08:30")
        return of.head("Encounter", "visit", self.day) | {
            "status": "finished",
            "class": {"system": HL7 + "v3-ActCode", "code": self.of_class, "display": display},
            "type": [concept(kind, text=text)],
            "subject": of.reference(),
            "period": {"start": start, "end": later(start, hours=self.hours)},
        }


@dataclass(frozen=True)
class Result:
    """A final measurement. `bare` is a value that came without its unit."""

    day: str
    measure: str
    value: float
    clock: str = "09:10"
    bare: bool = False

    def resource(self, of: Subject) -> Resource:
        """The Observation; issued three hours after the specimen."""
        measure = MEASURES[self.measure]
        taken = moment(self.day, self.clock)
        return of.head("Observation", self.measure, self.day) | {
            "status": "final",
            "category": [hl7("observation-category", measure.category)],
            "code": concept((LOINC, measure.code, measure.display)),
            "subject": of.reference(),
            **of.encounter(self.day),
            "effectiveDateTime": taken,
            "issued": later(taken, hours=3),
            "valueQuantity": quantity(self.value, None if self.bare else measure.unit),
        }


@dataclass(frozen=True)
class Pressure:
    """A blood pressure panel, mm[Hg]."""

    day: str
    systolic: int
    diastolic: int

    def resource(self, of: Subject) -> Resource:
        """The Observation with its two components."""
        taken = moment(self.day, "08:40")
        parts = (
            ("8480-6", "Systolic blood pressure", self.systolic),
            ("8462-4", "Diastolic blood pressure", self.diastolic),
        )
        return of.head("Observation", "bp", self.day) | {
            "status": "final",
            "category": [hl7("observation-category", "vital-signs")],
            "code": concept((LOINC, "85354-9", "Blood pressure panel with all children optional")),
            "subject": of.reference(),
            **of.encounter(self.day),
            "effectiveDateTime": taken,
            "issued": later(taken, hours=0),
            "component": [
                {"code": concept((LOINC, code, text)), "valueQuantity": quantity(value, "mm[Hg]")}
                for code, text, value in parts
            ],
        }


@dataclass(frozen=True)
class Problem:
    """A confirmed condition, dated by its onset; on the problem list unless it is one encounter's diagnosis."""

    day: str
    name: str
    category: str = "problem-list-item"
    resolved: str | None = None

    def resource(self, of: Subject) -> Resource:
        """The Condition."""
        return of.head("Condition", self.name, self.day) | {
            "clinicalStatus": hl7("condition-clinical", "resolved" if self.resolved else "active"),
            "verificationStatus": hl7("condition-ver-status", "confirmed"),
            "category": [hl7("condition-category", self.category)],
            "code": concept(*PROBLEMS[self.name]),
            "subject": of.reference(),
            **(of.encounter(self.day) if self.category == "encounter-diagnosis" else {}),
            "onsetDateTime": self.day,
            **({"abatementDateTime": self.resolved} if self.resolved else {}),
            "recordedDate": self.day,
        }


@dataclass(frozen=True)
class Done:
    """A completed procedure."""

    day: str
    name: str
    hours: int = 4

    def resource(self, of: Subject) -> Resource:
        """The Procedure."""
        start = moment(self.day, "09:00")
        return of.head("Procedure", self.name, self.day) | {
            "status": "completed",
            "code": concept(PROCEDURES[self.name]),
            "subject": of.reference(),
            **of.encounter(self.day),
            "performedPeriod": {"start": start, "end": later(start, hours=self.hours)},
        }


@dataclass(frozen=True)
class Drug:
    """A prescription; active unless stopped."""

    day: str
    name: str
    status: str = "active"
    take: str = "1 by mouth every day"

    def resource(self, of: Subject) -> Resource:
        """The MedicationRequest."""
        text, code = DRUGS[self.name]
        return of.head("MedicationRequest", self.name, self.day) | {
            "status": self.status,
            "intent": "order",
            "medicationCodeableConcept": concept(*([(RXNORM, code, text)] if code else []), text=text),
            "subject": of.reference(),
            **of.encounter(self.day),
            "authoredOn": moment(self.day, "08:50"),
            "dosageInstruction": [{"text": self.take}],
        }
