"""Small charts to ask about: a person, laboratory results, diagnoses, and the prefetch that a client would send."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from fhir_fixtures.search import prefetch
from models._kidney.equation import egfr_ckd_epi_2021

Json = dict[str, Any]
AT = datetime(2026, 11, 22, 14, 2, tzinfo=UTC)
ID = "p1"
CREATININE, UACR, UPCR, EGFR = "2160-0", "9318-7", "2890-2", "98979-8"


def person(age: int = 64, gender: str | None = "male", of: str = ID, **members: Any) -> Json:
    """A patient whose birthday was on the first of January."""
    resource = {"resourceType": "Patient", "id": of, "birthDate": f"{AT.year - age}-01-01", **members}
    return resource | ({"gender": gender} if gender else {})


def day(ago: int) -> str:
    return f"{(AT - timedelta(days=ago)).date().isoformat()}T09:00:00Z"


def lab(code: str, value: float | str | None, unit: str | None, ago: int = 20, of: str = ID, **members: Any) -> Json:
    """A final result of so many days ago; a string stands in valueString."""
    measured: Json = {"valueString": value} if isinstance(value, str) else {}
    if isinstance(value, int | float):
        measured = {"valueQuantity": {"value": value} | ({"unit": unit} if unit else {})}
    return {
        "resourceType": "Observation",
        "id": members.pop("id", f"{code}-{ago}"),
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{of}"},
        "effectiveDateTime": day(ago),
        **measured,
        **members,
    }


def creatinine_for(egfr: float, age: int = 64, sex: Literal["female", "male"] = "male") -> float:
    """The creatinine in mg/dL whose CKD-EPI 2021 eGFR this is."""
    low, high = 0.2, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if egfr_ckd_epi_2021(middle, age, sex) > egfr else (low, middle)
    return round(low, 6)


def condition(code: str, system: str = "http://snomed.info/sct", ago: int = 400, **members: Any) -> Json:
    return {
        "resourceType": "Condition",
        "id": f"c-{code}",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": {"reference": f"Patient/{ID}"},
        "onsetDateTime": day(ago),
        **members,
    }


def kidney(
    egfr: float = 34,
    acr: float | str | None = 310,
    *more: Json,
    age: int = 64,
    sex: Literal["female", "male"] = "male",
    chronic: bool = True,
    of: str = ID,
    unit: str | None = "mg/g",
    **acr_members: Any,
) -> list[Json]:
    """A patient with one creatinine, one urine albumin, and, when chronic, a creatinine as low half a year before."""
    resources = [person(age, sex, of), lab(CREATININE, creatinine_for(egfr, age, sex), "mg/dL", of=of)]
    if chronic:
        resources.append(lab(CREATININE, creatinine_for(min(egfr, 59), age, sex), "mg/dL", ago=220, of=of))
    if acr is not None:
        resources.append(lab(UACR, acr, unit, of=of, **acr_members))
    return [*resources, *more]


def request(
    resources: Iterable[Json] = (),
    templates: Json | None = None,
    *,
    of: str = ID,
    hook: str = "patient-view",
    **members: Any,
) -> Json:
    """A hook call; with templates, all of its prefetch."""
    context = {"userId": "Practitioner/doc", "patientId": of} | members.pop("context", {})
    call = {"hook": hook, "hookInstance": str(uuid.uuid4()), "context": context}
    if templates is not None:
        call["prefetch"] = prefetch(resources, templates, context)
    return call | members
