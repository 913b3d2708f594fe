"""The published equations against independently computed rows, to the ninth digit (D4, D5, D6)."""

import csv
import math
from importlib.resources import files

import pytest

from cds import Estimate
from models._kidney.equation import a_stage, acr_from_pcr, egfr_ckd_epi_2021, g_stage
from tests.charts import model

EXACT = 1e-9
SHARED = "models._kidney"
Row = dict[str, str]


def rows(name: str, package: str = "models.kfre") -> list[Row]:
    with (files(package) / name).open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("row", rows("reference.csv"), ids=lambda row: row["id"])
def test_kidney_failure_risk(row: Row) -> None:
    scorer = model(f"kfre-{row['variables']}", region=row["region"])
    reference = scorer.reference_row(row)
    assert reference is not None
    found = {e.horizon_years: e.probability for e in scorer.predict(reference.row) if isinstance(e, Estimate)}
    assert found == pytest.approx({2: float(row["risk_2y"]), 5: float(row["risk_5y"])}, abs=EXACT, rel=0)


@pytest.mark.parametrize("row", rows("egfr_reference.csv", SHARED), ids=lambda row: row["id"])
def test_ckd_epi_2021(row: Row) -> None:
    value = egfr_ckd_epi_2021(float(row["creatinine"]), int(row["age"]), "female" if row["sex"] == "F" else "male")
    assert value == pytest.approx(float(row["egfr"]), abs=EXACT, rel=EXACT)
    assert g_stage(value) == row["g_stage"]


@pytest.mark.parametrize("row", rows("pcr_reference.csv", SHARED), ids=lambda row: "-".join(row.values()))
def test_albumin_from_protein(row: Row) -> None:
    who = {name: row[name] == "1" for name in ("female", "diabetes", "hypertension")}
    assert acr_from_pcr(float(row["pcr"]), **who) == pytest.approx(float(row["acr"]), rel=EXACT)


@pytest.mark.parametrize(
    ("package", "name", "count"),
    [("models.kfre", "reference.csv", 80), (SHARED, "egfr_reference.csv", 14), (SHARED, "pcr_reference.csv", 18)],
)
def test_no_row_was_lost(package: str, name: str, count: int) -> None:
    assert len(rows(name, package)) == count


def test_which_variants_and_regions_have_rows() -> None:
    covered = {(row["variables"], row["region"]) for row in rows("reference.csv")}
    assert covered == {("4", "north-america"), ("4", "elsewhere"), ("6", "elsewhere"), ("8", "north-america")}


@pytest.mark.parametrize(
    ("variables", "region", "known", "unknown"),
    [
        ("6", "north-america", (0.9830, 0.9370), (0.9750, 0.9240)),
        ("8", "elsewhere", (0.9780, 0.9301), (0.9827, 0.9245)),
    ],
)
def test_the_other_region_differs_by_its_baseline_alone(
    variables: str, region: str, known: tuple[float, float], unknown: tuple[float, float]
) -> None:
    """Two baselines have no rows of their own; each follows from the rows of the region that has."""
    scorer = model(f"kfre-{variables}", region=region)
    for row in (row for row in rows("reference.csv") if row["variables"] == variables):
        reference = scorer.reference_row(row)
        assert reference is not None
        powers = (math.log(new) / math.log(old) for new, old in zip(unknown, known, strict=True))
        risks = (float(row["risk_2y"]), float(row["risk_5y"]))
        expected = [1 - (1 - risk) ** power for risk, power in zip(risks, powers, strict=True)]
        found = [e.probability for e in scorer.predict(reference.row) if isinstance(e, Estimate)]
        assert found == pytest.approx(expected, abs=EXACT)


@pytest.mark.parametrize(
    ("egfr", "stage"), [(14.49, "G5"), (14.5, "G4"), (29.5, "G3b"), (44.5, "G3a"), (59.5, "G2"), (89.5, "G1")]
)
def test_stages_are_those_of_the_integer_that_is_shown(egfr: float, stage: str) -> None:
    assert g_stage(egfr) == stage


@pytest.mark.parametrize(("acr", "stage"), [(29.9, "A1"), (30, "A2"), (300, "A2"), (300.1, "A3")])
def test_albuminuria_categories(acr: float, stage: str) -> None:
    assert a_stage(acr) == stage
