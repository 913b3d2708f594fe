"""The requests that every server gets: one patient who needs a referral, with a short and with a long record."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from bench.record import PATIENT, Record

Json = dict[str, Any]
NO_INSTANCE = "00000000-0000-4000-8000-000000000000"  # every request that is sent has a fresh UUID in this place
FIVE_YEAR_PERCENT = "15.6"  # KFRE-4, North America: man of 64, creatinine 2.13 mg/dL (eGFR 33.9), uACR 310 mg/g


@dataclass(frozen=True)
class Length:
    """How many resources of each kind a record has; searches with a `_count` of 100 stay on one page."""

    name: str
    labs: int
    urine: int
    conditions: int
    procedures: int
    encounters: int
    days_between: int


LENGTHS = (
    Length("60 KB", labs=11, urine=3, conditions=6, procedures=5, encounters=7, days_between=28),
    Length("500 KB", labs=100, urine=10, conditions=48, procedures=40, encounters=74, days_between=14),
)


def body(length: Length, at: datetime) -> bytes:
    """One patient-view call in compact JSON, everything prefetched; `NO_INSTANCE` stands for its hookInstance."""
    call = {
        "hook": "patient-view",
        "hookInstance": NO_INSTANCE,
        "context": {"userId": "Practitioner/bench-gp", "patientId": PATIENT, "encounterId": "encounter-0"},
        "prefetch": prefetch(length, Record(at, timedelta(days=length.days_between))),
    }
    return json.dumps(call, separators=(",", ":"), ensure_ascii=False).encode()


def bodies() -> dict[str, bytes]:
    """The benchmark's requests by name, dated from now so that no look-back ages out."""
    now = datetime.now(UTC).replace(microsecond=0)
    return {length.name: body(length, now) for length in LENGTHS}


def fresh(template: bytes) -> bytes:
    """The same call as another one, so that no server may answer it from memory."""
    return template.replace(NO_INSTANCE.encode(), str(uuid4()).encode(), 1)


def prefetch(length: Length, record: Record) -> Json:
    """The prefetch keys of the kidney-failure-risk service."""
    return {
        "patient": record.patient(),
        "creatinine": searchset("Observation", [record.creatinine(i) for i in range(length.labs)]),
        "egfr": searchset("Observation", [record.egfr(i) for i in range(length.labs)]),
        "uacr": searchset("Observation", [record.uacr(i) for i in range(length.urine)]),
        "upcr": searchset("Observation", [record.upcr(i) for i in range(length.urine // 2)]),
        "dialysisLabs": searchset("Observation", []),
        "pregnancyStatus": searchset("Observation", []),
        "conditions": searchset("Condition", [record.condition(i) for i in range(length.conditions)]),
        "procedures": searchset("Procedure", [record.procedure(i) for i in range(length.procedures)]),
        "encounters": searchset("Encounter", [record.encounter(i) for i in range(length.encounters)]),
    }


def searchset(kind: str, found: list[Json]) -> Json:
    """A search's answer with nothing on a next page."""
    base = "https://ehr.example.org/fhir/r4"
    bundle: Json = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(found),
        "link": [{"relation": "self", "url": f"{base}/{kind}?patient={PATIENT}"}],
    }
    if found:  # FHIR has no empty arrays
        bundle["entry"] = [
            {"fullUrl": f"{base}/{kind}/{one['id']}", "resource": one, "search": {"mode": "match"}} for one in found
        ]
    return bundle
