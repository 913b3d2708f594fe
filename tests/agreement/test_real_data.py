"""On data that nobody here wrote, two independent readings of the rules give every patient the same answer."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cds import Missing, NotScored, Outcome, Risk
from cds.risk.scoring import score
from tests.agreement import oracle
from tests.agreement.datasets import Records, records
from tests.charts import model, site

FIXED, LATEST, EVERY, LAST_ENCOUNTER = "2026-11-22T00:00:00+00:00", "latest", "every", "last-encounter"
"""When to ask: one day for all, a day after a patient's latest or every creatinine, or after the last encounter."""
ONE_IN = {("pysynthea-ndjson", EVERY): 7}
"""Only one in so many instants is asked of the oracle where it takes a tenth of a second each."""

EXPECTED: dict[str, dict[str, dict[str, int]]] = {
    "carebundle-ckd_stage3": {
        FIXED: {"risk": 60},
        LATEST: {"risk": 60},
        EVERY: {"risk": 60},
    },
    "carebundle-mixed": {
        FIXED: {"egfr-60-or-above": 58, "risk": 2},
        LATEST: {"egfr-60-or-above": 58, "risk": 2},
        EVERY: {"egfr-60-or-above": 58, "risk": 2},
    },
    "mimic4-demo-fhir": {
        FIXED: {"age": 50},  # its dates are shifted: nobody is born yet
        LAST_ENCOUNTER: {"egfr-never-recorded": 32, "deceased": 8, "aki": 7, "dialysis": 3},
    },
    "pysynthea-ndjson": {
        FIXED: {"deceased": 13, "egfr-too-old": 3, "creatinine-rise": 2, "aki": 1, "risk": 1},
        LATEST: {"egfr-60-or-above": 4, "aki": 3, "kidney-transplant": 3, "creatinine-rise": 2},
        EVERY: {
            "dialysis": 190, "egfr-60-or-above": 102, "aki": 45, "risk": 34, "kidney-transplant": 31,
            "creatinine-rise": 20, "acr-never-recorded": 10, "acr-too-old": 5, "pregnancy": 1,
        },
    },
    "sample-bulk-10-patients": {
        FIXED: {"egfr-never-recorded": 9, "deceased": 3, "age": 1},
        LAST_ENCOUNTER: {"egfr-never-recorded": 7, "deceased": 3, "age": 2, "pregnancy": 1},
    },
    "synthea-2019-bundles": {
        FIXED: {"egfr-never-recorded": 8, "age": 3, "deceased": 1, "egfr-too-old": 1},
        LATEST: {"egfr-60-or-above": 1, "risk": 1},
        EVERY: {"egfr-60-or-above": 7, "risk": 4},
    },
    "synthea-2019-ndjson": {
        FIXED: {"egfr-never-recorded": 33, "egfr-too-old": 31, "deceased": 26, "age": 9},
        LATEST: {
            "egfr-60-or-above": 31, "acr-never-recorded": 9, "risk": 7, "creatinine-rise": 3, "aki": 2, "pregnancy": 1,
        },
        EVERY: {
            "egfr-60-or-above": 282, "acr-never-recorded": 95, "risk": 86, "creatinine-rise": 32, "aki": 13,
            "pregnancy": 7,
        },
    },
}  # fmt: skip
"""How many answers of each kind, by data set and by the instants asked about: a changed number is a changed rule."""


@cache
def patients(folder: Path) -> list[tuple[Records, Any, Any]]:
    """Every patient of a data set: as records, as our chart, as the oracle reads it."""
    return [(one, one.chart(site().vocabulary), one.plain()) for one in records(folder)]


def family(reason: str) -> str:
    """Our reason in the oracle's words."""
    return _FAMILIES.get(reason, reason.replace("-", "_"))


_FAMILIES = {
    "scored": "risk",
    "creatinine-rise": "aki_rise",
    "egfr-60-or-above": "egfr",
    "acr-above-range": "uacr_above_range",
    **{
        f"{ours}-{slug}": f"{theirs}_missing:{why}"
        for ours, theirs in (("egfr", "egfr"), ("acr", "uacr"))
        for slug, why in (
            ("never-recorded", "none"),
            ("too-old", "old"),
            ("hospital-values-only", "hospital_only"),
            ("method-not-accepted", "refused_code"),
            ("unit-not-accepted", "unit"),
            ("not-calculable", "zero"),
            ("no-value", "no_value"),
            ("comparator", "comparator"),
            ("implausible", "implausible"),
        )
    },
}


def told(outcome: Outcome) -> dict[str, Any]:
    """Our outcome as the oracle tells its own."""
    row: Any = outcome.row
    egfr, acr = row.egfr, row.acr
    reason = family(outcome.reason) if isinstance(outcome, NotScored) else "risk"
    return {
        "reason": reason,
        "egfr": None if isinstance(egfr, Missing) else egfr.value,
        "egfr_from": None if isinstance(egfr, Missing) else egfr.source.removeprefix("Observation/"),
        "uacr_mg_g": None if isinstance(acr, Missing) else acr.value,
        "uacr_from": None if isinstance(acr, Missing) else acr.source.removeprefix("Observation/"),
        "chronic": not any(c.startswith("one eGFR") for c in outcome.cautions),
        **dict(zip(("risk_2y", "risk_5y"), _risks(outcome), strict=True)),
    }


def _risks(outcome: Outcome) -> tuple[float | None, float | None]:
    if isinstance(outcome, Risk):
        return outcome.within(2).probability, outcome.within(5).probability
    return None, None


EXPLAINED = {
    (
        "egfr_missing:none",
        "egfr_missing:refused_code",
    ): "an eGFR by a refused equation, a year old, is no result",
}
"""(ours, the oracle's): where the pages leave the wording of a reason open. Nothing here is about a number.

Where the readings differ and no data set has a case: an eGFR reported in hospital serves no more here than a creatinine
taken there (the oracle's A14), and an estimated date of delivery ends with the delivery (A10).
"""


def difference(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Names of what differs, of all that the oracle came to before it stopped."""
    said = [] if (ours["reason"], theirs["reason"]) in EXPLAINED else [*_unlike(ours, theirs, "reason")]
    reached = [name for name in ours if name != "reason" and theirs[name] is not None]
    return said + [name for name in reached for name in _unlike(ours, theirs, name)]


def _unlike(ours: dict[str, Any], theirs: dict[str, Any], name: str) -> Iterator[str]:
    a, b = ours[name], theirs[name]
    same = abs(a - b) <= 1e-12 * max(1.0, abs(b)) if isinstance(a, float) and isinstance(b, float) else a == b
    if not same:
        yield name


def instants(plain: list[dict[str, Any]], mode: str, rules: Path) -> list[datetime]:
    found: list[datetime] = oracle.instants(plain, mode, str(rules))
    return found


CASES = [(folder, mode) for folder, modes in EXPECTED.items() for mode in modes]


@pytest.mark.parametrize(("folder", "mode"), CASES)
def test_d5_to_d11_two_readings_agree(folder: str, mode: str, shared_data: Path) -> None:
    step = ONE_IN.get((folder, mode), 1)
    differences: list[tuple[str, str, list[str]]] = []
    for one, chart, plain in patients(shared_data / "data" / folder):
        for at in instants(plain, mode, shared_data)[::step]:
            [outcome] = score(model(), [chart], at)
            theirs = oracle.answer(plain, at, "north-america", str(shared_data))
            if unlike := difference(told(outcome), theirs):
                differences.append((one.patient_id, at.isoformat(), unlike))
    assert differences == []


@pytest.mark.parametrize(("folder", "mode"), CASES)
def test_the_counts_are_known(folder: str, mode: str, shared_data: Path) -> None:
    counts: Counter[str] = Counter()
    for _, chart, plain in patients(shared_data / "data" / folder):
        for at in instants(plain, mode, shared_data):
            [outcome] = score(model(), [chart], at)
            counts[outcome.reason if isinstance(outcome, NotScored) else "risk"] += 1
    assert dict(counts) == EXPECTED[folder][mode]


def codes_found(folder: Path, code_set: str) -> set[tuple[str, str]]:
    """(last part of the system, code as sent) of every fact of a code set."""
    facts = (fact for _, chart, _ in patients(folder) for fact in chart.facts(code_set))
    return {(str(fact.coding.system).rpartition("/")[2], str(fact.coding.code)) for fact in facts}


@pytest.mark.parametrize(
    ("folder", "code_set", "codes"),
    [
        ("mimic4-demo-fhir", "dialysis_status", {
            "diagnosis-icd10 Z992", "diagnosis-icd9 V4511", "diagnosis-icd9 V4512"}),
        ("mimic4-demo-fhir", "dialysis_procedure", {
            "procedure-icd10 5A1D00Z", "procedure-icd10 5A1D60Z", "procedure-icd10 5A1D70Z", "procedure-icd9 3995"}),
        ("mimic4-demo-fhir", "esrd", {"diagnosis-icd10 N186", "diagnosis-icd9 5856"}),
        ("mimic4-demo-fhir", "aki", {
            "diagnosis-icd10 N170", "diagnosis-icd10 N179", "diagnosis-icd10 K767", "diagnosis-icd9 5845",
            "diagnosis-icd9 5849"}),
        ("mimic4-demo-fhir", "ckd_stage_3_to_5", {
            "diagnosis-icd10 N183", "diagnosis-icd10 N184", "diagnosis-icd9 5853"}),
        ("pysynthea-ndjson", "dialysis_procedure", {"sct 265764009"}),
        ("pysynthea-ndjson", "dialysis_labs", {"loinc.org 74006-8"}),
        ("pysynthea-ndjson", "kidney_transplant", {"sct 161665007", "sct 70536003"}),
        ("pysynthea-ndjson", "palliative_care", {"sct 385763009"}),
        ("sample-bulk-10-patients", "dialysis_procedure", {"sct 265764009"}),
        ("synthea-2019-ndjson", "pregnancy", {"sct 72892002", "sct 79586000"}),
    ],
)  # fmt: skip
def test_d11_codes_as_hospitals_send_them(folder: str, code_set: str, codes: set[str], shared_data: Path) -> None:
    """ICD without dots, ICD-9 beside ICD-10, and the dialysis procedure that Synthea sends instead of its parent."""
    found = codes_found(shared_data / "data" / folder, code_set)
    assert {f"{system.removeprefix('mimic-')} {code}" for system, code in found} == codes


def test_a_condition_without_a_date_takes_its_encounter_s(shared_data: Path) -> None:
    """MIMIC dates no diagnosis: each of its gates stands on the date of the stay."""
    charts = [chart for _, chart, _ in patients(shared_data / "data" / "mimic4-demo-fhir")]
    facts = [(chart, fact) for chart in charts for fact in chart.facts("aki") if fact.kind == "Condition"]
    assert facts
    assert all(fact.when is None and chart.when(fact) is not None for chart, fact in facts)


def test_hospital_stays_are_known_in_bundles_of_urns(shared_data: Path) -> None:
    """In a transaction Bundle a result names its encounter by fullUrl, and is found all the same."""
    charts = [chart for _, chart, _ in patients(shared_data / "data" / "synthea-2019-bundles")]
    facts = [(chart, fact) for chart in charts for fact in chart.facts("creatinine")]
    assert facts
    assert all((fact.encounter or "").startswith("urn:uuid:") for _, fact in facts)
    assert all(chart.encounter_of(fact) is not None for chart, fact in facts)
