"""Writes answers and events as FHIR R4 AuditEvents in the shapes of IHE's Basic Audit Log Patterns (R37)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from cds.ledger.events import Event
from cds.ledger.records import AnswerRecord

PATIENT_READ = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"
OURS = "urn:bedside:audit"

_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_AUDIT = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_REST = "http://hl7.org/fhir/restful-interaction"
_ENTITY = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_SOURCE = "http://terminology.hl7.org/CodeSystem/security-source-type"
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"


class _Shape(NamedTuple):
    """Type and subtype as (system, code, display), and the action."""

    type: tuple[str, str, str]
    subtype: tuple[str, str, str] | None
    action: str


_RESTFUL = (_AUDIT, "rest", "RESTful Operation")
_AUTHENTICATION = (_DICOM, "110114", "User Authentication")
_LOGIN = (_DICOM, "110122", "Login")
_ALERT = (_DICOM, "110113", "Security Alert")
_APPLICATION = (_DICOM, "110100", "Application Activity")
_READ = _Shape(_RESTFUL, (_REST, "read", "read"), "R")

_SHAPES: Mapping[str, _Shape] = {
    "token-refused": _Shape(_AUTHENTICATION, _LOGIN, "E"),
    "token-replayed": _Shape(_AUTHENTICATION, _LOGIN, "E"),
    "wrong-patient": _Shape(_ALERT, None, "E"),
    "rate-limited": _Shape(_ALERT, None, "E"),
    "configuration": _Shape(_ALERT, (_DICOM, "110131", "Software Configuration"), "U"),
    "model-activated": _Shape(_ALERT, (_DICOM, "110131", "Software Configuration"), "U"),
    "launch": _Shape(_AUTHENTICATION, _LOGIN, "E"),
    "page-view": _READ,
    "what-if": _READ,
    "save": _Shape(_RESTFUL, (_REST, "create", "create"), "C"),
    "audit-read": _Shape((_DICOM, "110101", "Audit Log Used"), None, "R"),
    "batch-run": _Shape(_APPLICATION, None, "R"),
    "batch-write": _Shape(_RESTFUL, (_REST, "batch", "batch"), "U"),
    "purge": _Shape((_LIFECYCLE, "destroy", "Destroy/Delete Record Lifecycle Event"), None, "D"),
    "chain-begins": _Shape(_APPLICATION, None, "E"),
}
_OUTCOMES = {"success": "0", "refused": "4", "failed": "8"}  # success, minor failure, serious failure


def of_answer(answer: AnswerRecord) -> dict[str, Any]:
    """A computation read the patient's data: who asked, about whom, with which models, and which answer it got."""
    details = {"service": answer.service, "hook": answer.hook, "kind": answer.kind, "request": answer.digest}
    models = [(f"{score.model} {score.version}", score.outcome) for score in answer.scores]
    outcome = "success" if answer.status < 400 else "refused" if answer.status < 500 else "failed"
    return {
        **_head(answer.id, _READ, answer.hook, outcome, answer.recorded_at),
        "agent": _agents(answer.tenant, answer.user, answer.patient),
        "source": _source(),
        "entity": [
            _patient(answer.patient),
            _data(answer.id, [*details.items(), *(("model", f"{name}: {said}") for name, said in models)]),
        ],
    }


def of_event(event: Event) -> dict[str, Any]:
    """Anything else that was noted; an event without a patient has no entity that is one."""
    shape = _SHAPES[event.kind]
    head = _head(str(event.id), shape, event.kind, event.outcome, event.at)
    if event.patient is None:
        head.pop("meta", None)
    entities = [] if event.patient is None else [_patient(event.patient)]
    return {
        **head,
        "agent": _agents(event.tenant, event.who, event.patient),
        "source": _source(),
        "entity": [*entities, _data(str(event.id), sorted(event.detail.items()))],
    }


def _head(name: str, shape: _Shape, ours: str, outcome: str, at: Any) -> dict[str, Any]:
    coded = [] if shape.subtype is None else [_coding(*shape.subtype)]
    profile = {"meta": {"profile": [PATIENT_READ]}} if shape is _READ else {}
    return {
        "resourceType": "AuditEvent",
        "id": name,
        **profile,
        "type": _coding(*shape.type),
        "subtype": [*coded, {"system": OURS, "code": ours}],
        "action": shape.action,
        "recorded": at,
        "outcome": _OUTCOMES[outcome],
    }


def _agents(tenant: str, who: str | None, patient: str | None) -> list[dict[str, Any]]:
    """The EHR that called and ourselves; the person is the requestor, and where none was named, the EHR is."""
    client = {
        "type": _concept(_DICOM, "110153", "Source Role ID"),
        "who": {"identifier": {"system": f"{OURS}:tenant", "value": tenant}},
        "requestor": who is None,
    }
    bedside = {
        "type": _concept(_DICOM, "110152", "Destination Role ID"),
        "who": {"display": "Bedside"},
        "requestor": False,
    }
    if who is None:
        return [client, bedside]
    server, _, _ = (patient or "").rpartition("|")
    kind = _concept(_PARTICIPATION, "IRCP", "information recipient")
    return [client, bedside, {"type": kind, "who": _person(who, server), "requestor": True}]


def _person(who: str, server: str) -> dict[str, Any]:
    """Of a relative reference, the server is the one that the patient comes from."""
    if who.partition("/")[0] in {"Practitioner", "PractitionerRole", "Patient", "RelatedPerson"}:
        return {"reference": reference(f"{server}|{who}" if server else who)}
    return {"identifier": {"system": f"{OURS}:user", "value": who}}


def _source() -> dict[str, Any]:
    return {"observer": {"display": "Bedside"}, "type": [_coding(_SOURCE, "4", "Application Server")]}


def _patient(name: str) -> dict[str, Any]:
    return {
        "what": {"reference": reference(name)},
        "type": _coding(_ENTITY, "1", "Person"),
        "role": _coding(_ROLE, "1", "Patient"),
    }


def reference(patient: str) -> str:
    """The FHIR reference of a patient as the ledger names one: "server|Patient/1" becomes "server/Patient/1"."""
    server, bar, local = patient.rpartition("|")
    return f"{server.rstrip('/')}/{local}" if bar else local


def names(patient: str | None, asked: str) -> bool:
    """Whether somebody who asks for "Patient/1", with or without its server, means this patient."""
    return patient is not None and asked in {patient, reference(patient), patient.rpartition("|")[2]}


def _data(name: str, details: list[tuple[str, str]]) -> dict[str, Any]:
    told = [{"type": key, "valueString": value} for key, value in details if value]
    return {
        "what": {"identifier": {"system": OURS, "value": name}},
        "type": _coding(_ENTITY, "2", "System Object"),
        "role": _coding(_ROLE, "4", "Domain Resource"),
        **({"detail": told} if told else {}),  # FHIR knows no empty list
    }


def _concept(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [_coding(system, code, display)]}


def _coding(system: str, code: str, display: str) -> dict[str, str]:
    return {"system": system, "code": code, "display": display}


def line(audit_event: dict[str, Any]) -> str:
    """One line of NDJSON."""
    return msgspec.json.encode(audit_event).decode()
