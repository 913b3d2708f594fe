"""The gates: which record stops a kidney score, for how long, and which only looks like one (D11)."""

from typing import Any

import pytest

from cds import Reading
from models._kidney.codes import CODES
from tests.charts import (
    AT,
    SCORED,
    Json,
    acr,
    ago,
    condition,
    creatinine,
    day,
    egfr,
    lab,
    outcome,
    patient,
    procedure,
    reason,
    resource,
    risk,
)  # fmt: skip

ACTIVE, RESOLVED = "active", "resolved"
PROBLEM, DIAGNOSIS = "problem-list-item", "encounter-diagnosis"

REASON_OF_SET = {
    "kidney_transplant": "kidney-transplant",
    "dialysis_status": "dialysis",
    "dialysis_procedure": "dialysis",
    "dialysis_labs": "dialysis",
    "esrd": "esrd",
    "aki": "aki",
    "pregnancy": "pregnancy",
    "delivery": "pregnancy",
}
AROUND_BIRTH = ("O90.41", "O90.49", "O90.4", "O08.4")
"""Acute kidney injury around childbirth: pregnancy is asked first, and both gates are closed."""
ROWS = [(name, entry) for name in REASON_OF_SET for entry in CODES[name].entries]


def recorded(system: str, code: str, when: str) -> Json:
    """The resource in which a hospital sends such a code."""
    if system == "loinc":
        return lab(code, 1.0, "mg/dL", when)
    if system in ("cpt", "hcpcs", "icd10pcs", "icd9proc"):
        return procedure(f"{system}|{code}", when)
    return condition(f"{system}|{code}", when, ACTIVE)


@pytest.mark.parametrize(("name", "entry"), ROWS, ids=[f"{n}|{e.system}|{e.code}" for n, e in ROWS])
def test_every_code_of_the_table_closes_its_gate(name: str, entry: Any) -> None:
    first, _, last = entry.code.partition("-") if entry.match == "range" else (entry.code, "", "")
    earlier = "pregnancy" if entry.code in AROUND_BIRTH else "dialysis" if entry.system == "hcpcs" else None
    expected = earlier if name == "aki" and earlier else REASON_OF_SET[name]
    for code in filter(None, (first, last, first.replace(".", ""), first.lower())):
        assert reason(*SCORED, recorded(entry.system, code, ago(10))) == expected


NOT_THIS_GATE = [
    *(condition(f"snomed|{code}", ago(10), ACTIVE) for code in ("698306007", "137971000119104", "938911000000100")),
    *(condition(f"snomed|{code}", ago(10), ACTIVE) for code in ("433146000", "161744009", "127013003", "709044004")),
    *(
        procedure(f"snomed|{code}", ago(10))
        for code in ("428830000", "175899003", "711446003", "385972005", "252160004")
    ),
    *(procedure(f"cpt|{code}", ago(10)) for code in ("50380", "90989", "90997", "90950", "90971")),
    procedure("icd9proc|39.27", ago(10)),
    *(condition(f"icd10cm|{code}", ago(10), ACTIVE) for code in ("Z76.82", "Z52.4", "Z49.0", "N18.5", "N18.9", "N19")),
    *(condition(f"icd10cm|{code}", ago(10), ACTIVE) for code in ("I12.0", "I13.11", "I13.2", "Z38", "Z32.0", "Z91.15")),
    *(condition(f"icd10who|{code}", ago(10), ACTIVE) for code in ("Z49.0", "N18.5", "N18.6")),
    condition("icd9cm|403", ago(10), ACTIVE),  # hypertensive kidney disease here, an excision in ICD-9 procedures
    procedure("opcs4|M01", ago(10)),
    procedure("http://fhir.de/CodeSystem/bfarm/ops|8-854", ago(10)),
    condition("http://example.org/local|N18.6", ago(10), ACTIVE),
    condition("cpt|Z94.0", ago(10), ACTIVE),
]


@pytest.mark.parametrize("record", NOT_THIS_GATE, ids=lambda r: r["code"]["coding"][0]["code"])
def test_what_only_looks_like_a_gate_is_scored(record: Json) -> None:
    assert reason(*SCORED, record) == "scored"


@pytest.mark.parametrize(
    ("record", "answer"),
    [
        (condition("icd10cm|Z94.0", verification="confirmed"), "kidney-transplant"),
        (condition("icd10cm|Z94.0", verification="provisional"), "kidney-transplant"),
        (condition("icd10cm|Z94.0", verification="refuted"), "scored"),
        (condition("icd10cm|Z94.0", verification="entered-in-error"), "scored"),
        (condition("icd10cm|Z94.0", ago(9000), RESOLVED), "kidney-transplant"),
        (condition("icd10cm|Z94.0", ago(-1), ACTIVE), "scored"),
        (condition("icd10cm|R52 icd10cm|Z940", ago(1)), "kidney-transplant"),
        (procedure("snomed|70536003", ago(1), "completed"), "kidney-transplant"),
        (procedure("snomed|70536003", ago(1), "in-progress"), "kidney-transplant"),
        (procedure("snomed|70536003", ago(1), "stopped"), "kidney-transplant"),
        (procedure("snomed|70536003", ago(1), "preparation"), "scored"),
        (procedure("snomed|70536003", ago(1), "on-hold"), "scored"),
        (procedure("snomed|70536003", ago(1), "not-done"), "scored"),
        (procedure("snomed|70536003", ago(1), "entered-in-error"), "scored"),
        (procedure("snomed|70536003", ago(1), "unknown"), "scored"),
        (condition("icd10cm|N18.6", ago(4000), RESOLVED), "esrd"),
        (condition("icd10cm|N18.6", None, "inactive"), "esrd"),
        (condition("icd10who|N18.0", None, ACTIVE), "esrd"),
        (condition("icd10cm|N18.0", None, ACTIVE), "scored"),
    ],
)
def test_which_records_count(record: Json, answer: str) -> None:
    assert reason(*SCORED, record) == answer


@pytest.mark.parametrize("code", ["46177005", "161665007", "105502003", "14669001", "77386006", "302497006"])
def test_a_question_after_a_diagnosis_is_no_diagnosis(code: str) -> None:
    """An Observation's code asks; whether the answer is yes stands in its value, which is no of all here."""
    answered = resource("Observation", f"snomed|{code}", {"status": "final", "effectiveDateTime": ago(1)})
    assert reason(*SCORED, answered | {"valueBoolean": False}) == "scored"


def test_requests_goals_and_family_history_are_never_read() -> None:
    kinds = ("ServiceRequest", "Goal", "FamilyMemberHistory", "CarePlan")
    others = [resource(kind, "icd10cm|Z99.2", {"status": "active"}) for kind in kinds]
    assert reason(*SCORED, *others) == "scored"


@pytest.mark.parametrize(
    ("records", "answer"),
    [
        # Status codes: a problem list's entry while active, an encounter's diagnosis for a year.
        ([condition("icd10cm|Z99.2", ago(3000), ACTIVE, category=PROBLEM)], "dialysis"),
        ([condition("icd10cm|Z99.2", ago(3000), "relapse", category=PROBLEM)], "dialysis"),
        ([condition("icd10cm|Z99.2", ago(3000), ACTIVE)], "dialysis"),
        ([condition("icd10cm|Z99.2", ago(10), RESOLVED, category=PROBLEM)], "scored"),
        ([condition("icd10cm|Z99.2", ago(365), ACTIVE, category=DIAGNOSIS)], "dialysis"),
        ([condition("icd10cm|Z99.2", ago(366), ACTIVE, category=DIAGNOSIS)], "scored"),
        ([condition("icd10cm|Z99.2", ago(364), RESOLVED, category=DIAGNOSIS)], "dialysis"),
        ([condition("icd10cm|Z99.2", None, None, category=DIAGNOSIS)], "dialysis"),
        ([condition("icd10cm|Z99.2", ago(364))], "dialysis"),
        ([condition("icd10cm|Z99.2", ago(366))], "scored"),
        ([condition("icd10cm|Z99.2")], "dialysis"),
        # Procedures: one within 90 days, or two 28 days apart with the last within a year.
        ([procedure("snomed|265764009", ago(90))], "dialysis"),
        ([procedure("snomed|265764009", ago(91))], "scored"),
        ([procedure("snomed|265764009", ago(120)), procedure("snomed|302497006", ago(148))], "dialysis"),
        ([procedure("snomed|265764009", ago(120)), procedure("snomed|302497006", ago(147))], "scored"),
        ([procedure("cpt|90960", ago(365)), procedure("cpt|90935", ago(2000))], "dialysis"),
        ([procedure("cpt|90960", ago(366)), procedure("cpt|90935", ago(2000))], "scored"),
        ([procedure("cpt|90960", "2026-05")], "scored"),  # one procedure of an unknown day is not two
        ([procedure("cpt|90960")], "scored"),
        ([procedure("cpt|90960", performedPeriod={"start": ago(400), "end": ago(89)})], "dialysis"),
        ([procedure("cpt|90960", performedPeriod={"start": ago(89)})], "dialysis"),
        # Creatinine before or after dialysis.
        ([lab("11041-1", 4.0, "mg/dL", ago(90))], "dialysis"),
        ([lab("11042-9", 4.0, "mg/dL", ago(91))], "scored"),
        ([lab("11042-9", 4.0, "mg/dL", ago(1), status="preliminary")], "scored"),
        ([lab("74006-8", 2.0, "kg", ago(1))], "dialysis"),
    ],
)
def test_dialysis(records: list[Json], answer: str) -> None:
    assert reason(*SCORED, *records) == answer


@pytest.mark.parametrize(
    "record", [procedure("snomed|265764009", ago(400)), condition("icd10cm|Z99.2", ago(400), RESOLVED)]
)
def test_dialysis_of_the_past_is_said_beside_the_number(record: Json) -> None:
    assert f"dialysis recorded {AT.replace(year=2025, month=10, day=18):%-d %b %Y}" in risk(*SCORED, record).cautions


@pytest.mark.parametrize(
    ("records", "answer"),
    [
        ([condition("icd10cm|N17.9", ago(90), ACTIVE)], "aki"),
        ([condition("icd10cm|N17.9", ago(90), RESOLVED)], "aki"),
        ([condition("icd10cm|N17.9", ago(91), ACTIVE)], "scored"),
        ([condition("icd10cm|N17.9", None, ACTIVE)], "aki"),
        ([condition("icd10cm|N17.9", None, None)], "aki"),
        ([condition("icd10cm|N17.9", None, RESOLVED)], "scored"),
        ([condition("icd10cm|N17.9", recordedDate=day(91))], "scored"),
        ([condition("icd10cm|N17.9", recordedDate=day(90))], "aki"),
        ([procedure("hcpcs|G0491", ago(100))], "scored"),
    ],
)
def test_acute_kidney_injury_by_diagnosis(records: list[Json], answer: str) -> None:
    assert reason(*SCORED, *records) == answer


def status(value: str, when: str) -> Json:
    return lab(
        "82810-3",
        None,
        None,
        when,
        valueCodeableConcept={"coding": [{"system": "http://snomed.info/sct", "code": value}]},
    )


def due(on: str, when: str) -> Json:
    return lab("11778-8", None, None, when, valueDateTime=on)


@pytest.mark.parametrize(
    ("records", "answer"),
    [
        ([condition("snomed|77386006", ago(294), ACTIVE)], "pregnancy"),
        ([condition("snomed|77386006", ago(295), ACTIVE)], "scored"),
        ([condition("icd10cm|O24.4", ago(200))], "pregnancy"),
        ([condition("icd10cm|O80", ago(84))], "pregnancy"),
        ([condition("icd10cm|O80", ago(85))], "scored"),
        ([condition("icd10cm|O90.3", ago(85))], "scored"),  # the puerperium, though its chapter is pregnancy's
        ([condition("icd10cm|Z37.0", ago(85))], "scored"),
        ([condition("snomed|77386006", ago(200)), condition("icd10cm|Z37.0", ago(85))], "scored"),
        ([condition("snomed|77386006", ago(80)), condition("icd10cm|Z37.0", ago(85))], "pregnancy"),
        ([status("77386006", ago(200))], "pregnancy"),
        ([status("146799005", ago(200))], "pregnancy"),
        ([status("60001007", ago(1))], "scored"),
        ([status("77386006", ago(200)), status("60001007", ago(1))], "scored"),
        ([status("60001007", ago(200)), status("77386006", ago(1))], "pregnancy"),
        ([condition("snomed|77386006", ago(100)), status("60001007", day(100))], "pregnancy"),  # perhaps no later
        ([due(day(84), ago(300))], "pregnancy"),
        ([due(day(85), ago(300))], "scored"),
        ([due(day(-301), ago(1))], "pregnancy"),
        ([due(day(-302), ago(1))], "scored"),
        ([due(day(-10), ago(200)), condition("icd10cm|O80", ago(85))], "scored"),
        ([condition("snomed|77386006")], "scored"),  # undated, and the patient is 66
        ([condition("icd10cm|O80")], "scored"),
    ],
)
def test_pregnancy(records: list[Json], answer: str) -> None:
    assert reason(*SCORED, *records) == answer


@pytest.mark.parametrize(
    ("born", "answer"), [("1966-11-22", "pregnancy"), ("1965-11-22", "scored"), ("1990-01-01", "pregnancy")]
)
def test_an_undated_pregnancy_counts_to_the_age_of_60(born: str, answer: str) -> None:
    undated = (condition("snomed|77386006"), condition("icd10cm|O80", ago(2000)))
    assert reason(*SCORED, *undated, who=patient(birthDate=born, gender="female")) == answer


EVERY_GATE: list[tuple[str, Json, list[Json]]] = [
    ("deceased", {"deceasedBoolean": True}, []),
    ("age", {"birthDate": "2020-01-01"}, []),
    ("sex", {"gender": "other"}, []),
    ("kidney-transplant", {}, [condition("icd10cm|Z94.0")]),
    ("dialysis", {}, [condition("icd10cm|Z99.2")]),
    ("esrd", {}, [condition("icd10cm|N18.6")]),
    ("pregnancy", {}, [condition("icd10cm|O09", ago(10))]),
    ("aki", {}, [condition("icd10cm|N17", ago(10))]),
    ("egfr-60-or-above", {}, [creatinine(0.8, ago(1))]),
    ("acr-too-old", {}, [acr(100, ago(800), id="acr")]),
]


@pytest.mark.parametrize("first", range(len(EVERY_GATE)), ids=[name for name, _, _ in EVERY_GATE])
def test_the_gates_are_asked_in_their_order(first: int) -> None:
    closed = EVERY_GATE[first:]
    person = {name: value for _, members, _ in closed for name, value in members.items()}
    records = [record for _, _, found in closed for record in found]
    assert reason(SCORED[0], *records, who=patient(**person)) == EVERY_GATE[first][0]


@pytest.mark.parametrize(
    ("member", "answer"),
    [
        ({"birthDate": "2008-11-22"}, "egfr-not-precise-enough"),  # of age, but not when the creatinine was taken
        ({"birthDate": "2008-11-23"}, "age"),
        ({"birthDate": "1915-11-23"}, "scored"),
        ({"birthDate": "1915-11-22"}, "age"),
        ({"birthDate": "1960"}, "age"),
        ({"birthDate": "1960-11"}, "age"),
        ({"birthDate": "1960-10"}, "egfr-not-precise-enough"),  # 66 today, but perhaps 65 when it was taken
        ({"birthDate": "1960-09"}, "scored"),
        ({"birthDate": None}, "age"),
        ({"gender": "unknown"}, "sex"),
        ({"gender": None}, "sex"),
        ({"deceasedDateTime": day(1)}, "deceased"),
        ({"deceasedDateTime": day(-1)}, "scored"),
        ({"deceasedBoolean": False}, "scored"),
    ],
)
def test_the_person(member: Json, answer: str) -> None:
    assert reason(*SCORED, who=patient(**member)) == answer


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([condition("snomed|28728008")], True),
        ([condition("icd10cm|Q61.2", ago(4000), RESOLVED)], True),
        ([condition("icd9cm|753.13")], True),
        ([condition("icd10cm|Q61.3")], False),
        ([condition("icd10cm|Q61.2", verification="refuted")], False),
    ],
)
def test_a_disease_with_its_own_equation_is_scored_and_named(records: list[Json], said: bool) -> None:
    cautions = risk(*SCORED, *records).cautions
    assert ("a disease-specific equation is preferred (KDIGO 2024)" in cautions) is said


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (condition("icd10cm|Z51.5", ago(4000), ACTIVE), True),
        (condition("icd10cm|Z51.5", ago(365), RESOLVED), True),
        (condition("icd10cm|Z51.5", ago(366), RESOLVED), False),
        (procedure("snomed|385765002", ago(365)), True),
        (procedure("snomed|385765002", ago(366)), False),
    ],
)
def test_palliative_care_keeps_the_score_and_is_known(record: Json, found: bool) -> None:
    assert isinstance(risk(*SCORED, record).row.palliative, Reading) is found  # type: ignore[attr-defined]


def test_esrd_alone_beside_a_good_egfr_is_called_a_conflict() -> None:
    esrd, transplant = condition("icd10cm|N18.6", ago(400)), condition("icd10cm|Z94.0", ago(400))
    conflict = "record conflicts with eGFR 36; check the problem list"
    assert conflict in outcome(*SCORED, esrd).cautions
    assert conflict not in outcome(*SCORED, esrd, transplant).cautions
    assert not outcome(creatinine(4.0, ago(30)), acr(100, ago(30)), esrd).cautions[1:]
    assert conflict in outcome(egfr(36, ago(20)), acr(100, ago(30)), esrd).cautions
