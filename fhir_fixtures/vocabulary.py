"""The codes that the stories use, so that a story can say "creatinine" and a resource can say LOINC 2160-0."""

from dataclasses import dataclass

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD10WHO = "http://hl7.org/fhir/sid/icd-10"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
UCUM = "http://unitsofmeasure.org"
HL7 = "http://terminology.hl7.org/CodeSystem/"

Coding = tuple[str, str, str]
"""System, code, display."""


@dataclass(frozen=True)
class Measure:
    """A thing that is measured: its LOINC code and the one unit (UCUM) that the stories' laboratory reports it in."""

    code: str
    display: str
    unit: str
    category: str = "laboratory"


MEASURES: dict[str, Measure] = {
    "creatinine": Measure("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL"),
    "creatinine-si": Measure("14682-9", "Creatinine [Moles/volume] in Serum or Plasma", "umol/L"),
    "creatinine-predialysis": Measure("11042-9", "Creatinine [Mass/volume] in Serum or Plasma --pre dialysis", "mg/dL"),
    "egfr": Measure("98979-8", "eGFR by Creatinine-based formula (CKD-EPI 2021)", "mL/min/{1.73_m2}"),
    "uacr": Measure("9318-7", "Albumin/Creatinine [Mass Ratio] in Urine", "mg/g"),
    "uacr-si": Measure("32294-1", "Albumin/Creatinine [Ratio] in Urine", "mg/mmol"),
    "hba1c": Measure("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%"),
    "sodium": Measure("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "mmol/L"),
    "potassium": Measure("2823-3", "Potassium [Moles/volume] in Serum or Plasma", "mmol/L"),
    "hemoglobin": Measure("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL"),
    "weight": Measure("29463-7", "Body weight", "kg", "vital-signs"),
}

PROBLEMS: dict[str, tuple[Coding, ...]] = {
    "hypertension": ((SNOMED, "59621000", "Essential hypertension"), (ICD10CM, "I10", "Essential hypertension")),
    "diabetes": (
        (SNOMED, "44054006", "Type 2 diabetes mellitus"),
        (ICD10CM, "E11.9", "Type 2 diabetes mellitus without complications"),
    ),
    "diabetic-ckd": (
        (SNOMED, "771000119108", "Chronic kidney disease due to type 2 diabetes mellitus"),
        (ICD10CM, "E11.22", "Type 2 diabetes mellitus with diabetic chronic kidney disease"),
    ),
    "hyperlipidemia": ((SNOMED, "55822004", "Hyperlipidemia"), (ICD10CM, "E78.5", "Hyperlipidemia, unspecified")),
    "osteoarthritis": ((SNOMED, "396275006", "Osteoarthritis"), (ICD10CM, "M19.90", "Osteoarthritis, unspecified")),
    "asthma": ((SNOMED, "195967001", "Asthma"), (ICD10CM, "J45.909", "Unspecified asthma, uncomplicated")),
    "ckd-3a": (
        (SNOMED, "700378005", "Chronic kidney disease stage 3A"),
        (ICD10CM, "N18.31", "Chronic kidney disease, stage 3a"),
    ),
    "ckd-3b": (
        (SNOMED, "700379002", "Chronic kidney disease stage 3B"),
        (ICD10CM, "N18.32", "Chronic kidney disease, stage 3b"),
    ),
    "ckd-3-who": (
        (SNOMED, "433144002", "Chronic kidney disease stage 3"),
        (ICD10WHO, "N18.3", "Chronic kidney disease, stage 3"),
    ),
    "hypertension-who": ((SNOMED, "59621000", "Essential hypertension"), (ICD10WHO, "I10", "Essential hypertension")),
    "ckd-4": (
        (SNOMED, "431857002", "Chronic kidney disease stage 4"),
        (ICD10CM, "N18.4", "Chronic kidney disease, stage 4 (severe)"),
    ),
    "kidney-failure": (
        (SNOMED, "46177005", "End-stage renal disease"),
        (ICD10CM, "N18.6", "End stage renal disease"),
    ),
    "transplanted-kidney": (
        (SNOMED, "737295003", "Transplanted kidney present"),
        (ICD10CM, "Z94.0", "Kidney transplant status"),
    ),
    "on-dialysis": (
        (SNOMED, "105502003", "Dependence on renal dialysis"),
        (ICD10CM, "Z99.2", "Dependence on renal dialysis"),
    ),
    "acute-kidney-injury": (
        (SNOMED, "14669001", "Acute renal failure syndrome"),
        (ICD10CM, "N17.9", "Acute kidney failure, unspecified"),
    ),
}

PROCEDURES: dict[str, Coding] = {
    "kidney-transplant": (SNOMED, "70536003", "Transplant of kidney"),
    "hemodialysis": (SNOMED, "302497006", "Hemodialysis"),
}

DRUGS: dict[str, tuple[str, str | None]] = {
    "lisinopril": ("lisinopril 10 MG Oral Tablet", "314076"),
    "losartan": ("losartan potassium 50 MG Oral Tablet", "979492"),
    "amlodipine": ("amlodipine 5 MG Oral Tablet", "197361"),
    "metformin": ("metformin hydrochloride 500 MG Oral Tablet", "861007"),
    "furosemide": ("furosemide 40 MG Oral Tablet", "313988"),
    # As free text, which real charts hold too: a drug without a code.
    "tacrolimus": ("tacrolimus 1 mg capsule", None),
    "sevelamer": ("sevelamer carbonate 800 mg tablet", None),
}

VISITS: dict[str, tuple[str, str, Coding]] = {
    "AMB": ("ambulatory", "Office visit", (SNOMED, "185349003", "Encounter for check up")),
    "IMP": ("inpatient encounter", "Hospital admission", (SNOMED, "32485007", "Hospital admission")),
}
"""The class of an encounter (HL7 v3 ActCode): its display, what its type says, its type."""
