"""Patients of a hospital to ask about: their vital signs, their stay, and what a laboratory found in it."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from cds.settings import read_settings
from cds.site import load_site
from tests.cdshooks.charts import AT, ID, Json
from tests.cdshooks.desk import Desk

VITALS = {
    "rr": ("9279-1", 16, "/min"),
    "spo2": ("59408-5", 97, "%"),
    "flow": ("3151-8", 0, "L/min"),
    "sbp": ("8480-6", 120, "mm[Hg]"),
    "pulse": ("8867-4", 70, "/min"),
    "gcs": ("9269-2", 15, "{score}"),
    "temp": ("8310-5", 37.0, "Cel"),
}
PRIORITY = "http://terminology.hl7.org/CodeSystem/v3-ActPriority"
SERVICES = "http://mimic.mit.edu/fhir/mimic/CodeSystem/mimic-services"
PCS = "http://www.cms.gov/Medicare/Coding/ICD10"


def ward_desk(open_desk: Callable[..., Desk], service: str, **settings: Any) -> Desk:
    """A server where one service is live."""
    services = {service: {"stage": "live", **settings}}
    return open_desk(load_site(settings=read_settings(services=services, answer_seconds=20.0)))


def at(*, days: float = 0, hours: float = 0) -> str:
    return (AT - timedelta(days=days, hours=hours)).isoformat()


def vital(name: str, value: float | None = None, hours: float = 0.5, **members: Any) -> Json:
    code, usual, unit = VITALS[name]
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{ID}"},
        "effectiveDateTime": at(hours=hours),
        "valueQuantity": {"value": usual if value is None else value, "unit": unit},
        **members,
    }


def vitals(*without: str, hours: float = 0.5, **values: float) -> list[Json]:
    """A set that gives no point, but for the values given and without the parameters named."""
    return [vital(name, values.get(name), hours) for name in VITALS if name not in without]


def encounter(id_: str, class_: str, begin: str, end: str | None = None, **members: Any) -> Json:
    period = {"start": begin} | ({"end": end} if end else {})
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "finished" if end else "in-progress",
        "class": {"code": class_},
        "subject": {"reference": f"Patient/{ID}"},
        "period": period,
        **members,
    }


def coded(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def admitted(days: float, priority: str | None = "EM", service: str | None = None) -> Json:
    """The stay that is about to end."""
    said: Json = {"priority": coded(PRIORITY, priority)} if priority else {}
    said |= {"serviceType": coded(SERVICES, service)} if service else {}
    return encounter("now", "IMP", at(days=days), **said)


def emergency_visits(count: int) -> Iterable[Json]:
    return [encounter(f"ed{n}", "EMER", at(days=40 + 3 * n), at(days=40 + 3 * n - 0.2)) for n in range(count)]


def admissions(count: int) -> Iterable[Json]:
    return [encounter(f"imp{n}", "IMP", at(days=60 + 20 * n), at(days=55 + 20 * n)) for n in range(count)]


def operation(days: float = 1) -> Json:
    return {
        "resourceType": "Procedure",
        "id": "op",
        "status": "completed",
        "code": coded(PCS, "0DTJ4ZZ"),
        "subject": {"reference": f"Patient/{ID}"},
        "performedDateTime": at(days=days),
    }
