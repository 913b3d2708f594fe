"""The lines of the generated export as templates of bytes, shaped like what Synthea and Epic write."""

import json
import re
from dataclasses import dataclass

from bench.record import ICD10, LOINC, SNOMED, TERMINOLOGY, US_CORE, Json, coded, quantity

PATIENT_ID = b"@patient@"
"""Stands for the patient's id in the lines that are not formatted but only get their owner."""

CATEGORY = f"{TERMINOLOGY}/observation-category"
LABORATORY, VITALS, SURVEY = "laboratory", "vital-signs", "survey"
ENCOUNTERS = 3
"""Of each patient: two visits and, for a few, a stay in hospital."""

CLINICIANS, SITES = 5, 3


def template(resource: Json) -> bytes:
    """One line with `%(name)s` where the resource says "#name", a number without quotes, or "#name#" within a text."""
    text = json.dumps(resource, separators=(",", ":"), ensure_ascii=False).replace("%", "%%")
    bare = re.sub(r'"#(\w+)"', r"%(\1)s", text)
    return re.sub(r"#(\w+)#", r"%(\1)s", bare).encode() + b"\n"


def meta(profile: str, when: str) -> Json:
    return {"versionId": "1", "lastUpdated": when, "source": "#ehr-feed", "profile": [f"{US_CORE}/{profile}"]}


def clinician(number: int) -> Json:
    return {"reference": f"Practitioner/practitioner-{number}", "display": f"Generated Clinician {number}, MD"}


def site(number: int) -> Json:
    return {"reference": f"Organization/organization-{number}", "display": f"Generated Medical Center {number}"}


PATIENT = template({
    "resourceType": "Patient",
    "id": "#id#",
    "meta": meta("us-core-patient", "2026-11-01T03:00:00Z"),
    "extension": [
        {
            "url": f"{US_CORE}/us-core-race",
            "extension": [
                {"url": "ombCategory", "valueCoding": coded("urn:oid:2.16.840.1.113883.6.238", "2106-3", "White")},
                {"url": "text", "valueString": "White"},
            ],
        },
        {"url": f"{US_CORE}/us-core-birthsex", "valueCode": "#letter#"},
    ],
    "identifier": [
        {
            "use": "usual",
            "type": {
                "coding": [coded(f"{TERMINOLOGY}/v2-0203", "MR", "Medical Record Number")],
                "text": "Medical Record Number",
            },
            "system": "urn:oid:1.2.36.146.595.217.0.1",
            "value": "MRN-#number#",
        }
    ],
    "active": True,
    "name": [{"use": "official", "family": "Generated#number#", "given": ["Test", "Q."], "prefix": ["Mx."]}],
    "telecom": [{"system": "phone", "value": "555-0100", "use": "home"}],
    "gender": "#gender#",
    "birthDate": "#birth#",
    "deceasedDateTime": "#deceased#",
    "address": [
        {"use": "home", "line": ["1 Loopback Street"], "city": "Springfield", "state": "MA", "postalCode": "01101"}
    ],
    "maritalStatus": {"coding": [coded(f"{TERMINOLOGY}/v3-MaritalStatus", "M", "Married")], "text": "Married"},
    "communication": [{"language": {"coding": [coded("urn:ietf:bcp:47", "en-US", "English")], "text": "English"}}],
    "generalPractitioner": [clinician(1)],
    "managingOrganization": site(1),
})  # fmt: skip
"""With a date of death; `living` takes it out."""


def living(patient: bytes) -> bytes:
    return re.sub(rb'"deceasedDateTime":"[^"]*",', b"", patient)


ENCOUNTER = template({
    "resourceType": "Encounter",
    "id": "#id#.e#number#",
    "meta": meta("us-core-encounter", "#day#T18:00:00Z"),
    "identifier": [{"system": "https://ehr.example.org/visit", "value": "VISIT-#id#-#number#"}],
    "status": "finished",
    "class": {"system": f"{TERMINOLOGY}/v3-ActCode", "code": "#class#"},
    "type": [{"coding": [coded(SNOMED, "390906007", "Follow-up encounter (procedure)")], "text": "Follow-up"}],
    "subject": {"reference": "Patient/#id#"},
    "participant": [
        {
            "type": [{"coding": [coded(f"{TERMINOLOGY}/v3-ParticipationType", "PPRF", "primary performer")]}],
            "individual": clinician(2),
        }
    ],
    "period": {"start": "#day#T09:00:00+00:00", "end": "#day#T09:40:00+00:00"},
    "reasonCode": [{"coding": [coded(SNOMED, "185349003", "Encounter for check up (procedure)")]}],
    "serviceProvider": site(2),
})  # fmt: skip

CONDITION = template({
    "resourceType": "Condition",
    "id": "#id#.c#number#",
    "meta": meta("us-core-condition-problems-health-concerns", "#day#T12:00:00Z"),
    "clinicalStatus": {"coding": [coded(f"{TERMINOLOGY}/condition-clinical", "active", "Active")]},
    "verificationStatus": {"coding": [coded(f"{TERMINOLOGY}/condition-ver-status", "confirmed", "Confirmed")]},
    "category": [{"coding": [coded(f"{TERMINOLOGY}/condition-category", "problem-list-item", "Problem List Item")]}],
    "code": {"coding": [coded(SNOMED, "#snomed#", "#display#"), coded(ICD10, "#icd#", "#display#")]},
    "subject": {"reference": "Patient/#id#"},
    "encounter": {"reference": "Encounter/#id#.e0"},
    "onsetDateTime": "#day#",
    "recordedDate": "#day#T12:00:00+00:00",
    "recorder": clinician(3),
})  # fmt: skip

PROCEDURE = template({
    "resourceType": "Procedure",
    "id": "#id#.p#number#",
    "meta": meta("us-core-procedure", "#day#T18:00:00Z"),
    "status": "completed",
    "code": {"coding": [coded(SNOMED, "#snomed#", "#display#")], "text": "#display#"},
    "subject": {"reference": "Patient/#id#"},
    "encounter": {"reference": "Encounter/#id#.e0"},
    "performedPeriod": {"start": "#day#T09:10:00+00:00", "end": "#day#T09:30:00+00:00"},
    "performer": [{"actor": clinician(4), "onBehalfOf": site(3)}],
})  # fmt: skip


@dataclass(frozen=True)
class Test:
    """What is measured or asked: LOINC code, display, unit and range in which a well person's values lie."""

    loinc: str
    display: str
    unit: str
    low: float
    high: float
    category: str = LABORATORY


def observed(test: Test, subject: str, number: str, encounter: str, when: str) -> Json:
    """An Observation of a test without its value; the arguments are texts or "#names#" to be formatted."""
    category = coded(CATEGORY, test.category, test.category.replace("-", " ").title())
    profile = "us-core-observation-lab" if test.category == LABORATORY else "us-core-vital-signs"
    return {
        "resourceType": "Observation",
        "id": f"{subject}.o{number}",
        "meta": meta(profile, f"{when}T14:30:00Z"),
        "status": "final",
        "category": [{"coding": [category], "text": category["display"]}],
        "code": {"coding": [coded(LOINC, test.loinc, test.display)], "text": test.display},
        "subject": {"reference": f"Patient/{subject}"},
        "encounter": {"reference": f"Encounter/{subject}.e{encounter}"},
        "effectiveDateTime": f"{when}T09:20:00+00:00",
        "issued": f"{when}T12:41:07.398+00:00",
        "performer": [clinician(5)],
    }


def laboratory(test: Test) -> bytes:
    """A result to be formatted with id, number, encounter, day and value."""
    line = observed(test, "#id#", "#number#", "#encounter#", "#day#")
    return template({**line, "valueQuantity": {**quantity(0, test.unit), "value": "#value"}, **interpreted(test)})


def interpreted(test: Test) -> Json:
    """The laboratory's range, with an interpretation."""
    return {
        "interpretation": [{"coding": [coded(f"{TERMINOLOGY}/v3-ObservationInterpretation", "N", "Normal")]}],
        "referenceRange": [{"low": quantity(test.low, test.unit), "high": quantity(test.high, test.unit)}],
    }


CREATININE_MG = laboratory(Test("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", 0.6, 1.3))
CREATININE_UMOL = laboratory(Test("14682-9", "Creatinine [Moles/volume] in Serum or Plasma", "umol/L", 53, 115))
UACR = laboratory(Test("9318-7", "Albumin/Creatinine [Mass Ratio] in Urine", "mg/g", 0, 30))
EGFR = laboratory(Test("98979-8", "eGFR by Creatinine-based formula (CKD-EPI 2021)", "mL/min/{1.73_m2}", 60, 120))


def small(kind: str, number: int) -> bytes:
    """A Practitioner or an Organization that other lines name."""
    one: Json = {"resourceType": kind, "id": f"{kind.lower()}-{number}", "active": True}
    name = [{"family": f"Clinician {number}", "given": ["Generated"]}] if kind == "Practitioner" else f"Center {number}"
    return template(one | {"name": name})
