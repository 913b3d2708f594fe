"""What a number means: its unit must be known, agree with its code, and be possible (D4, D9, H1)."""

import csv
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from cds import Latest, Reading, lab_series, months
from cds.features.labs import LAB_CODES
from cds.fhir.units import analytes
from tests.spec.charts import AT, chart, latest

CREATININE = Latest(lab_series("creatinine"), within=months(12))
ACR = Latest(lab_series("uacr"), within=months(24))


def one(**cells: str) -> str:
    columns = {"effective": "2026-11-01"} | {name.replace("_", " "): cell for name, cell in cells.items()}
    return f"Observation | {' | '.join(columns)}\none | {' | '.join(columns.values())}"


@pytest.mark.feature("Latest")
@pytest.mark.parametrize(
    ("cells", "answer"),
    [
        ({"value": "1.4", "unit": "mg/dL"}, "1.4 mg/dL from one"),
        ({"value": "1.4", "ucum": "mg/dL"}, "1.4 mg/dL from one"),
        ({"value": "1.4", "unit": "mg/dl", "ucum": "mg/dL"}, "1.4 mg/dL from one"),
        ({"value": "1.4", "unit": "MG/DL", "unit_code": "mg/dL"}, "1.4 mg/dL from one"),
        ({"value": "100", "unit": "µmol/L", "ucum": "umol/L"}, "1.1312 mg/dL from one"),  # micro sign
        ({"value": "100", "unit": "μmol/L", "ucum": "umol/L"}, "1.1312 mg/dL from one"),  # Greek mu
        ({"value": "14", "unit": "mg/L"}, "1.4 mg/dL from one"),
        ({"value": "1.4", "unit": "umol/L", "ucum": "mg/dL"}, "unit not accepted"),  # they disagree
        ({"value": "1.4", "unit": "milligrams", "ucum": "mg/dL"}, "unit not accepted"),
        ({"value": "1.4", "unit": "mg/dL", "ucum": "mg"}, "unit not accepted"),
        ({"value": "1.4", "unit": "mg/dL", "unit_code": "258797006"}, "unit not accepted"),  # a code, but not UCUM's
        ({"value": "1.4", "unit": "Mg/dL"}, "unit not accepted"),  # megagrams
        ({"value": "1.4"}, "unit not accepted"),
        ({"value": "1.4", "ucum": "1"}, "unit not accepted"),
        ({"value": "1.4", "unit": "g/L"}, "unit not accepted"),
    ],
)
def test_d9_unit_and_code_must_both_be_known_and_agree(cells: dict[str, str], answer: str) -> None:
    assert latest(one(**cells), CREATININE) == answer


def test_h1_an_acr_in_mg_mmol_is_not_one_in_mg_g() -> None:
    answers = [latest(one(code="9318-7", value="35", unit=unit), ACR) for unit in ("mg/g", "mg/mmol")]
    assert answers == ["35 mg/g from one", "309.4059406 mg/g from one"]


@pytest.mark.feature("Latest")
@pytest.mark.parametrize(
    ("value", "answer", "flagged"),
    [
        ("0.0999", "implausible", False),
        ("0.1", "0.1 mg/dL from one", True),
        ("0.2999", "0.2999 mg/dL from one", True),
        ("0.3", "0.3 mg/dL from one", False),
        ("15", "15 mg/dL from one", False),
        ("15.001", "15.001 mg/dL from one", True),
        ("20", "20 mg/dL from one", True),
        ("20.001", "implausible", False),
        ("-1", "implausible", False),
        ("0", "implausible", False),
        ("-0", "implausible", False),
    ],
)
def test_d9_outside_plausible_is_flagged_and_outside_possible_refused(value: str, answer: str, flagged: bool) -> None:
    table = one(value=value, unit="mg/dL")
    assert latest(table, CREATININE) == answer
    read = CREATININE.read(chart(table), AT)
    notes = read.notes if isinstance(read, Reading) else ()
    assert any("is unusual" in note for note in notes) is flagged


SPELLINGS = list(csv.DictReader((files("cds.fhir") / "vocabulary" / "units.csv").read_text("utf-8").splitlines()))
CODES = {name: sets.entries[0].code for name, sets in LAB_CODES.items()}


@pytest.mark.parametrize("row", SPELLINGS, ids=lambda row: f"{row['analyte']}-{row['spelling']}")
@pytest.mark.parametrize("member", ["unit", "ucum"])
def test_every_spelling_converts_by_its_factor(row: dict[str, str], member: str) -> None:
    analyte = analytes()[row["analyte"]]
    sent = (sum(analyte.plausible) / 2 - float(row["offset"])) / float(row["factor"])
    table = one(code=CODES[analyte.name], value=repr(sent), **{member: row["spelling"]})
    answer = Latest(lab_series(analyte.name), within=months(12)).read(chart(table), AT)
    assert isinstance(answer, Reading)
    assert answer.unit == analyte.unit
    assert answer.value == sent * float(row["factor"]) + float(row["offset"])


RENAMED = {
    "creatinine": "serum_creatinine",
    "egfr": "egfr_reported",
    "albumin": "serum_albumin",
    "calcium": "calcium_total",
    "bilirubin": "bilirubin_total",
    "gcs": "consciousness",
}
OWN = {"alp", "body_height", "body_weight", "ldl_cholesterol", "oxygen_concentration", "oxygen_flow"}
"""Analytes for which nothing is published beside their codes: their lines are marked so."""
SEEN = {"beats/minute", "breaths/minute", "μmol/L", "μkat/L"}
"""Spellings that real charts hold besides the published ones: of MIMIC, and the Greek letter for the micro sign."""


@pytest.fixture(scope="session")
def features(shared_data: Path) -> dict[str, dict[str, object]]:
    loaded = yaml.safe_load((shared_data / "models" / "features.yaml").read_text(encoding="utf-8"))
    return {str(name): feature for name, feature in loaded["features"].items()}


@pytest.mark.parametrize("name", sorted(analytes().keys() - OWN))
def test_the_unit_table_agrees_with_the_published_one(name: str, features: dict[str, dict[str, object]]) -> None:
    analyte, published = analytes()[name], features[RENAMED.get(name, name)]
    conversions: dict[str, tuple[float, float]] = {}
    for unit, said in published["units"].items():  # type: ignore[attr-defined]
        affine = published.get("affine", {}).get(unit)  # type: ignore[attr-defined]
        factor, offset = (affine["scale"], affine["offset"]) if affine else (said["factor_to_canonical"], 0)
        if factor is not None:
            conversions |= {spelling.removesuffix(" (fraction)"): (factor, offset) for spelling in said["spellings"]}
    ours = {s: (c.factor, c.offset) for s, c in analyte.spellings.items() if s in conversions or s not in SEEN}
    assert {s: pytest.approx(c, rel=1e-9) for s, c in ours.items()} == conversions
    assert analyte.unit == published["canonical_unit"]
    assert analyte.plausible == tuple(published["plausible_canonical"])  # type: ignore[arg-type]
    assert analyte.accepted == tuple(published["reject_outside_canonical"])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(analytes().keys() - OWN))
def test_every_published_code_is_read_or_kept_out(name: str, features: dict[str, dict[str, object]]) -> None:
    published = features[RENAMED.get(name, name)]
    ours = {entry.code: entry for set_ in LAB_CODES.values() for entry in set_.entries if entry.match != "never"}
    barred = {entry.code for set_ in LAB_CODES.values() for entry in set_.entries if entry.match == "never"}
    answers = {"80288-4", "67775-7"}  # alert, voice, pain, unresponsive: no number
    for code in published["loinc"]:  # type: ignore[attr-defined]
        assert code["code"] in ours.keys() | barred | answers
    if name not in ("egfr", "uacr"):  # which gates.yaml sorts anew
        entries = [entry for entry in LAB_CODES[name].entries if entry.match == "never"]
        excluded = {code["code"] for code in published.get("exclude_loinc", [])}  # type: ignore[attr-defined]
        assert excluded <= {entry.code for entry in entries}


TRAPS = [
    ("inr", "6301-6", {"value": "2.5"}, "2.5 {INR} from one"),
    ("inr", "6301-6", {"integer": "2"}, "2 {INR} from one"),
    ("inr", "6301-6", {"value": "2.5", "ucum": "1"}, "2.5 {INR} from one"),
    ("inr", "6301-6", {"value": "2.5", "unit": "s"}, "unit not accepted"),
    ("inr", "5902-2", {"value": "2.5"}, "never recorded"),
    ("hba1c", "4548-4", {"value": "7", "ucum": "%"}, "7 % from one"),
    ("hba1c", "59261-8", {"value": "53", "ucum": "mmol/mol"}, "7.00044 % from one"),
    ("hba1c", "59261-8", {"value": "7", "ucum": "%"}, "unit not accepted"),  # 5.3 % of the IFCC is 7 % of the NGSP
    ("hba1c", "59261-8", {"value": "53"}, "unit not accepted"),
    ("hba1c", "41995-2", {"value": "0.9", "ucum": "g/dL"}, "never recorded"),
    ("hba1c", "4548-4 41995-2", {"value": "7", "ucum": "%"}, "other test"),
    ("platelets", "777-3", {"value": "150", "unit": "K/uL"}, "150 10*9/L from one"),  # in UCUM, kelvin
    ("platelets", "777-3", {"value": "150000", "unit": "/uL"}, "150 10*9/L from one"),
    ("platelets", "777-3", {"value": "150"}, "unit not accepted"),
    ("bun", "3094-0", {"value": "20", "ucum": "mg/dL"}, "20 mg/dL from one"),
    ("bun", "22664-7", {"value": "7", "ucum": "mmol/L"}, "19.6098 mg/dL from one"),
    ("bun", "22664-7", {"value": "42", "ucum": "mg/dL"}, "unit not accepted"),  # of urea: 19.6 of urea nitrogen
    ("bun", "3091-6", {"value": "42", "ucum": "mg/dL"}, "never recorded"),
    ("bilirubin", "14631-6", {"value": "34.2", "ucum": "umol/L"}, "1.999532273 mg/dL from one"),
    ("bilirubin", "1968-7", {"value": "1", "ucum": "mg/dL"}, "never recorded"),
    ("bilirubin", "1975-2 1968-7", {"value": "1", "ucum": "mg/dL"}, "other test"),
    ("spo2", "59408-5", {"value": "0.97", "ucum": "1"}, "97 % from one"),
    ("spo2", "59408-5", {"value": "97", "ucum": "1"}, "implausible"),
    ("spo2", "2708-6", {"value": "97", "ucum": "%"}, "97 % from one"),
    ("oxygen_concentration", "3150-6", {"value": "21", "ucum": "%"}, "21 % from one"),
    ("oxygen_concentration", "3150-6", {"value": "0.4", "ucum": "%"}, "implausible"),  # a fraction, called a percentage
    ("oxygen_concentration", "3150-6", {"value": "0.4", "ucum": "1"}, "unit not accepted"),
    ("temperature", "8310-5", {"value": "98.6", "unit": "F", "ucum": "[degF]"}, "37 Cel from one"),
    ("temperature", "8310-5", {"value": "98.6", "ucum": "Cel"}, "implausible"),
    ("temperature", "8310-5", {"value": "37"}, "unit not accepted"),
    ("sbp", "85354-9", {"value": "120", "ucum": "mm[Hg]"}, "unit not accepted"),  # of the panel itself
    ("dbp", "55284-4", {"value": "120", "ucum": "mm[Hg]"}, "unit not accepted"),
    ("sbp", "8480-6", {"value": "16", "unit": "kPa"}, "120.00992 mm[Hg] from one"),
    ("total_cholesterol", "14647-2", {"value": "5.172", "ucum": "mmol/L"}, "200 mg/dL from one"),
    ("gcs", "9269-2", {"value": "15", "ucum": "{score}"}, "15 score from one"),
    ("gcs", "9269-2", {"value": "16", "ucum": "{score}"}, "implausible"),
]  # fmt: skip


@pytest.mark.feature("Latest")
@pytest.mark.parametrize(("analyte", "code", "cells", "answer"), TRAPS)
def test_what_a_code_and_a_unit_may_not_say_together(
    analyte: str, code: str, cells: dict[str, str], answer: str
) -> None:
    assert latest(one(code=code, **cells), Latest(lab_series(analyte), within=months(12))) == answer


def test_d4_one_molar_mass_for_creatinine_everywhere() -> None:
    assert analytes()["creatinine"].spellings["umol/L"].factor == pytest.approx(113.12e-4, rel=1e-12)
    assert analytes()["uacr"].spellings["mg/mmol"].factor == pytest.approx(1000 / 113.12, rel=1e-12)
