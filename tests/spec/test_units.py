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
    sent = sum(analyte.plausible) / 2 / float(row["factor"])
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
}


@pytest.fixture(scope="session")
def features(shared_data: Path) -> dict[str, dict[str, object]]:
    loaded = yaml.safe_load((shared_data / "models" / "features.yaml").read_text(encoding="utf-8"))
    return {str(name): feature for name, feature in loaded["features"].items()}


@pytest.mark.parametrize("name", sorted(analytes()))
def test_the_unit_table_agrees_with_the_published_one(name: str, features: dict[str, dict[str, object]]) -> None:
    analyte, published = analytes()[name], features[RENAMED.get(name, name)]
    factors = {
        spelling: unit["factor_to_canonical"]
        for unit in published["units"].values()  # type: ignore[attr-defined]
        for spelling in unit["spellings"]
    }
    accepted = {spelling: factor for spelling, factor in factors.items() if factor is not None}
    assert {s: pytest.approx(c.factor, rel=1e-12) for s, c in analyte.spellings.items()} == accepted
    assert analyte.unit == published["canonical_unit"]
    assert analyte.plausible == tuple(published["plausible_canonical"])  # type: ignore[arg-type]
    assert analyte.accepted == tuple(published["reject_outside_canonical"])  # type: ignore[arg-type]


def test_d4_one_molar_mass_for_creatinine_everywhere() -> None:
    assert analytes()["creatinine"].spellings["umol/L"].factor == pytest.approx(113.12e-4, rel=1e-12)
    assert analytes()["uacr"].spellings["mg/mmol"].factor == pytest.approx(1000 / 113.12, rel=1e-12)
