"""The closed code lists themselves: every system, a source on every line, and no UNVERIFIED lost."""

import csv
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from cds import CONDITION_CODES, MEDICATION_CODES, Reading, diagnosed
from cds.fhir.codes import Vocabulary
from tests.spec.charts import AT, LAB_CODES, SNOMED, chart

VOCABULARY = files("cds.fhir") / "vocabulary"
SYSTEMS = {"icd10cm", "icd10who", "icd9cm", "snomed"}
SYSTEM_URIS = {
    "snomed": SNOMED,
    "icd10who": "http://hl7.org/fhir/sid/icd-10",
    "icd10cm": "http://hl7.org/fhir/sid/icd-10-cm",
    "icd9cm": "http://hl7.org/fhir/sid/icd-9-cm",
}


def lines(name: str) -> list[dict[str, str]]:
    with (VOCABULARY / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", sorted(CONDITION_CODES))
def test_every_condition_set_speaks_every_system(name: str) -> None:
    """A diagnosis is not absent because it came in another country's code system."""
    meant = {entry.system for entry in CONDITION_CODES[name].entries if entry.match in ("exact", "prefix", "range")}
    assert meant >= SYSTEMS


@pytest.mark.parametrize("file", ["conditions.csv", "charlson.csv", "medications.csv", "smoking.csv"])
def test_every_line_has_a_source_or_says_that_it_has_none(file: str) -> None:
    assert [line for line in lines(file) if not line["note"]] == []


def codes_of(node: Any) -> Iterator[tuple[str, str]]:
    """Every code of the page of features with what it says about its source."""
    if isinstance(node, dict):
        if "code" in node and "grounded" in node:
            yield str(node["code"]), str(node["grounded"])
        for inner in node.values():
            yield from codes_of(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from codes_of(inner)


def test_what_the_page_calls_unverified_stays_unverified(shared_data: Path) -> None:
    page = yaml.safe_load((shared_data / "models" / "features.yaml").read_text(encoding="utf-8"))
    unverified = {code for code, source in codes_of(page) if "UNVERIFIED" in source}
    said = {line["code"]: line["note"] for line in lines("labs.csv") if line["match"] == "exact"}
    assert unverified & set(said)
    assert {code for code in unverified & set(said) if "UNVERIFIED" not in said[code]} == set()


def recorded(name: str, code: str) -> bool:
    """Whether a Condition with this code, `system|code`, is of the set."""
    system, _, value = code.partition("|")
    table = f"Condition | code | onset\nc | {SYSTEM_URIS[system]}|{value} | 2026-05-01"
    known = Vocabulary([*LAB_CODES.values(), CONDITION_CODES[name]])
    return isinstance(diagnosed(name).read(chart(table, vocabulary=known), AT), Reading)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("diabetes", "icd10who|E10.9"),
        ("diabetes", "icd10who|E11"),
        ("diabetes", "icd10who|E14.2"),
        ("diabetes", "snomed|46635009"),
        ("diabetes", "icd9cm|249.00"),
        ("hypertension", "icd10who|I10"),
        ("hypertension", "icd10who|I15.0"),
        ("hypertension", "icd9cm|402.91"),
        ("hypertension", "icd9cm|404.10"),
        ("hypertension", "icd9cm|405.99"),
    ],
)
def test_the_diagnosis_is_found(name: str, code: str) -> None:
    assert recorded(name, code)


@pytest.mark.parametrize(("name", "code"), [("diabetes", "icd10who|O24.4"), ("hypertension", "icd9cm|416.0")])
def test_another_diagnosis_is_not(name: str, code: str) -> None:
    assert not recorded(name, code)


@pytest.mark.parametrize(
    "code",
    [
        "icd10cm|I82.611",
        "icd10cm|I82.1",
        "icd10cm|I82.712",
        "icd10cm|I82.811",
        "icd10who|I82.1",
        "icd9cm|453.71",
        "icd9cm|453.81",
        "icd9cm|453.1",
    ],
)
def test_a_superficial_vein_is_no_deep_one(code: str) -> None:
    assert not recorded("venous_thromboembolism", code)


@pytest.mark.parametrize("code", ["icd10cm|I82.621", "icd10cm|I82.401", "icd10who|I82.9", "icd9cm|453.82"])
def test_a_deep_vein_is(code: str) -> None:
    assert recorded("venous_thromboembolism", code)


@pytest.mark.parametrize("code", ["icd9cm|V45.81", "icd9cm|V45.82"])
def test_an_old_revascularisation_is_a_history_of_vascular_disease(code: str) -> None:
    assert recorded("ascvd_history", code)


@pytest.mark.parametrize("name", ["clopidogrel 32968", "prasugrel 613391"])
def test_an_antiplatelet_is_known_by_its_ingredient(name: str) -> None:
    assert MEDICATION_CODES["antiplatelet"].holds("rxnorm", name.split()[1])


@pytest.mark.parametrize("name", ["enalapril 3827", "ramipril 35296", "atenolol 1202", "bisoprolol 19484"])
def test_an_antihypertensive_is_known_by_its_ingredient(name: str) -> None:
    assert MEDICATION_CODES["antihypertensive"].holds("rxnorm", name.split()[1])
