"""The benchmark patient's resources, as full as a hospital that follows US Core sends them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

Json = dict[str, Any]
PATIENT = "bench-refer"
LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition"

DIAGNOSES = (
    ("700379002", "Chronic kidney disease stage 3B", "N18.32"),
    ("38341003", "Hypertensive disorder", "I10"),
    ("44054006", "Diabetes mellitus type 2", "E11.22"),
    ("55822004", "Hyperlipidemia", "E78.5"),
    ("235595009", "Gastroesophageal reflux disease", "K21.9"),
    ("396275006", "Osteoarthritis", "M19.90"),
    ("78275009", "Obstructive sleep apnea syndrome", "G47.33"),
)
PROCEDURES = (
    ("73761001", "Colonoscopy", "45378"),
    ("430193006", "Medication reconciliation", "1111F"),
    ("29303009", "Electrocardiographic procedure", "93000"),
    ("171207006", "Depression screening", "G0444"),
)


class Test(NamedTuple):
    """A laboratory test: its codes, its unit and range, and the age in days of the newest result."""

    key: str
    loinc: str
    display: str
    local: str
    unit: str
    low: float
    high: float
    newest: int


CREATININE = Test(
    "creatinine", "2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "Creatinine, serum", "mg/dL", 0.74, 1.35, 6
)
EGFR = Test(
    "egfr", "98979-8", "eGFR by Creatinine-based formula (CKD-EPI 2021)", "eGFR", "mL/min/{1.73_m2}", 60, 120, 6
)
UACR = Test("uacr", "9318-7", "Albumin/Creatinine [Mass Ratio] in Urine", "Albumin/creatinine", "mg/g", 0, 30, 12)
UPCR = Test("upcr", "2890-2", "Protein/Creatinine [Mass Ratio] in Urine", "Protein/creatinine", "mg/g", 0, 150, 40)


@dataclass(frozen=True)
class Record:
    """One patient's resources counted back from `at`: number 0 is the newest, the next is `between` older."""

    at: datetime
    between: timedelta

    def day(self, number: int, start: int) -> datetime:
        """When the resource of this number happened; `start` is the age in days of the newest."""
        return self.at - timedelta(days=start) - self.between * number

    def patient(self) -> Json:
        """A man of 64 years and a half."""
        return {
            "resourceType": "Patient",
            "id": PATIENT,
            "meta": meta(self.at, "us-core-patient"),
            "identifier": [{"use": "usual", "system": "urn:oid:1.2.36.146.595.217.0.1", "value": "MRN-0047110815"}],
            "active": True,
            "name": [{"use": "official", "family": "Benchmark", "given": ["Refer", "T."]}],
            "telecom": [{"system": "phone", "value": "+1-555-0100", "use": "home"}],
            "gender": "male",
            "birthDate": (self.at - timedelta(days=23_557)).date().isoformat(),
            "address": [{"use": "home", "line": ["1 Loopback Way"], "city": "Winnipeg", "country": "CA"}],
            "generalPractitioner": [{"reference": "Practitioner/bench-gp", "display": "Dr. General Practice"}],
        }

    def creatinine(self, number: int) -> Json:
        """Slowly rising, never fast enough for acute kidney injury."""
        return self.result(CREATININE, number, round(2.13 - 0.004 * number, 2))

    def egfr(self, number: int) -> Json:
        """What the laboratory reports with each creatinine, as a whole number."""
        return self.result(EGFR, number, 34 + number // 12)

    def uacr(self, number: int) -> Json:
        """Urine albumin to creatinine, on another day than the creatinine."""
        return self.result(UACR, number, 310 - 4 * number)

    def upcr(self, number: int) -> Json:
        """Urine protein to creatinine, which nobody needs beside an albumin to creatinine ratio."""
        return self.result(UPCR, number, 520 - 5 * number)

    def result(self, test: Test, number: int, value: float) -> Json:
        """A laboratory result of about 1.3 KB: LOINC code, display and local text, value in UCUM, reference range."""
        taken = self.day(number, test.newest)
        laboratory = {"system": f"{TERMINOLOGY}/observation-category", "code": "laboratory", "display": "Laboratory"}
        return {
            "resourceType": "Observation",
            "id": f"{test.key}-{number}",
            "meta": meta(taken, "us-core-observation-lab"),
            "status": "final",
            "category": [{"coding": [laboratory], "text": "Laboratory"}],
            "code": {"coding": [coded(LOINC, test.loinc, test.display)], "text": test.local},
            "subject": {"reference": f"Patient/{PATIENT}"},
            "encounter": {"reference": f"Encounter/encounter-{number}"},
            "effectiveDateTime": instant(taken),
            "issued": instant(taken + timedelta(hours=3)),
            "performer": [{"reference": "Organization/bench-lab", "display": "Loopback Clinical Laboratory"}],
            "valueQuantity": quantity(value, test.unit),
            "interpretation": [{"coding": [coded(f"{TERMINOLOGY}/v3-ObservationInterpretation", "A", "Abnormal")]}],
            "specimen": {"reference": f"Specimen/specimen-{test.key}-{number}"},
            "referenceRange": [{"low": quantity(test.low, test.unit), "high": quantity(test.high, test.unit)}],
        }

    def condition(self, number: int) -> Json:
        """Problem-list entries at least a year old; none of them stops a kidney score."""
        snomed, display, icd = DIAGNOSES[number % len(DIAGNOSES)]
        since = self.day(number, 400)
        return {
            "resourceType": "Condition",
            "id": f"condition-{number}",
            "meta": meta(since, "us-core-condition-problems-health-concerns"),
            "clinicalStatus": {"coding": [coded(f"{TERMINOLOGY}/condition-clinical", "active", "Active")]},
            "verificationStatus": {"coding": [coded(f"{TERMINOLOGY}/condition-ver-status", "confirmed", "Confirmed")]},
            "category": [
                {"coding": [coded(f"{TERMINOLOGY}/condition-category", "problem-list-item", "Problem List Item")]}
            ],
            "code": {"coding": [coded(SNOMED, snomed, display), coded(ICD10, icd, display)], "text": display},
            "subject": {"reference": f"Patient/{PATIENT}", "display": "Benchmark, Refer T."},
            "onsetDateTime": instant(since),
            "recordedDate": instant(since),
            "recorder": {"reference": "Practitioner/bench-gp", "display": "Dr. General Practice"},
        }

    def procedure(self, number: int) -> Json:
        """Completed outpatient procedures, none of them dialysis or a transplant."""
        snomed, display, cpt = PROCEDURES[number % len(PROCEDURES)]
        done = self.day(number, 30)
        return {
            "resourceType": "Procedure",
            "id": f"procedure-{number}",
            "meta": meta(done, "us-core-procedure"),
            "status": "completed",
            "code": {
                "coding": [coded(SNOMED, snomed, display), coded("http://www.ama-assn.org/go/cpt", cpt, display)],
                "text": display,
            },
            "subject": {"reference": f"Patient/{PATIENT}", "display": "Benchmark, Refer T."},
            "encounter": {"reference": f"Encounter/encounter-{number}"},
            "performedPeriod": {"start": instant(done), "end": instant(done + timedelta(minutes=40))},
            "performer": [{"actor": {"reference": "Practitioner/bench-gp", "display": "Dr. General Practice"}}],
            "location": {"reference": "Location/bench-clinic", "display": "Loopback Clinic"},
        }

    def encounter(self, number: int) -> Json:
        """Finished outpatient visits, to which the laboratory results point."""
        start = self.day(number, 6)
        visit = coded(SNOMED, "390906007", "Follow-up encounter (procedure)")
        role = coded(f"{TERMINOLOGY}/v3-ParticipationType", "PPRF", "primary performer")
        return {
            "resourceType": "Encounter",
            "id": f"encounter-{number}",
            "meta": meta(start, "us-core-encounter"),
            "identifier": [{"system": "https://ehr.example.org/visit", "value": f"VISIT-{number:08d}"}],
            "status": "finished",
            "class": coded(f"{TERMINOLOGY}/v3-ActCode", "AMB", "ambulatory"),
            "type": [{"coding": [visit], "text": "Office visit"}],
            "subject": {"reference": f"Patient/{PATIENT}", "display": "Benchmark, Refer T."},
            "participant": [{"type": [{"coding": [role]}], "individual": {"reference": "Practitioner/bench-gp"}}],
            "period": {"start": instant(start), "end": instant(start + timedelta(minutes=30))},
            "location": [{"location": {"reference": "Location/bench-clinic", "display": "Loopback Clinic"}}],
            "serviceProvider": {"reference": "Organization/bench-clinic", "display": "Loopback Clinic"},
        }


def meta(updated: datetime, profile: str) -> Json:
    """Version, time and profile, as servers stamp them."""
    return {"versionId": "1", "lastUpdated": instant(updated), "profile": [f"{US_CORE}/{profile}"]}


def coded(system: str, code: str, display: str) -> Json:
    """A Coding."""
    return {"system": system, "code": code, "display": display}


def quantity(value: float, unit: str) -> Json:
    """A Quantity in UCUM."""
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def instant(when: datetime) -> str:
    """A FHIR instant to the second, always of one length so that the request's size does not depend on the day."""
    return when.strftime("%Y-%m-%dT%H:%M:%S+00:00")
