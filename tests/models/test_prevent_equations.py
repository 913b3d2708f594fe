"""The PREVENT equations against reference rows, an independent package, and a second writing of the formula."""

import csv
import json
import math
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any, get_args

import pyprevent  # type: ignore[import-untyped]
import pytest
from msgspec import structs

from models.prevent.equation import (
    ADDED,
    Outcome,
    Predicted,
    Sex,
    Variant,
    coefficients,
    log_odds,
    reference,
    risk,
)

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
VARIANTS: tuple[Variant, ...] = get_args(Variant)
SEXES: tuple[Sex, ...] = get_args(Sex)
Row = dict[str, str]


def rows() -> list[Row]:
    with (files("models.prevent") / "reference.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def described(row: Row) -> Predicted:
    columns = {"acr": "uacr", "hba1c": "hba1c", "sdi": "sdi"}
    number = {name: float(row[column]) if row[column] else None for name, column in columns.items()}
    age, total, hdl, sbp, bmi, egfr = (float(row[name]) for name in ("age", "tc", "hdl", "sbp", "bmi", "egfr"))
    dm, smoke, treated, statin = (row[name] == "1" for name in ("dm", "smoke", "bptx", "statin"))
    sex: Sex = "female" if row["sex"] == "female" else "male"
    return Predicted(sex, age, total, hdl, sbp, bmi, egfr, dm, smoke, treated, statin, **number)


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['pid']}-{row['model']}-{row['years']}")
def test_reference_rows(row: Row) -> None:
    variant: Any = row["model"]
    found = [risk(variant, int(row["years"]), outcome, described(row)) for outcome in OUTCOMES]
    assert found == pytest.approx([float(row[outcome]) for outcome in OUTCOMES], abs=1e-12, rel=0)


def test_no_row_was_lost_and_every_variant_and_horizon_has_some() -> None:
    assert len(rows()) == 104
    assert {(row["model"], row["years"]) for row in rows()} == {(v, y) for v in VARIANTS for y in ("10", "30")}


def anybody(random: Random, oldest: int = 79) -> Predicted:
    """A person within the domain, at its edges every now and then, as a chart gives numbers."""

    def among(low: float, high: float, digits: int) -> float:
        return random.choice((low, high)) if random.random() < 0.05 else round(random.uniform(low, high), digits)

    return Predicted(
        sex=random.choice(SEXES),
        age=random.randint(30, oldest),
        total_cholesterol=among(130, 320, 1),
        hdl_cholesterol=among(20, 100, 1),
        sbp=among(90, 200, 0),
        bmi=among(18.5, 39.9, 1),
        egfr=among(15, 140, 3),
        diabetes=random.random() < 0.3,
        smoking=random.random() < 0.3,
        antihypertensive=random.random() < 0.4,
        statin=random.random() < 0.3,
        acr=random.choice((None, among(0.1, 25000, 1))),
        hba1c=random.choice((None, among(4.5, 15, 1))),
        sdi=random.choice((None, *range(1, 11))),
    )


@pytest.mark.parametrize("years", [10, 30])
@pytest.mark.parametrize(
    ("outcome", "package"), [("total_cvd", "cvd"), ("ascvd", "ascvd"), ("heart_failure", "heart_failure")]
)
def test_a_thousand_people_agree_with_pyprevent(outcome: Outcome, package: str, years: int) -> None:
    random = Random(f"{outcome} {years}")
    oracle = getattr(pyprevent, f"calculate_{years}_yr_{package}_risk")
    for _ in range(1000):
        who = anybody(random, 79 if years == 10 else 59)
        expected = oracle(
            who.sex, who.age, who.total_cholesterol, who.hdl_cholesterol, who.sbp, who.diabetes, who.smoking, who.bmi,
            who.egfr, who.antihypertensive, who.statin,
        )  # fmt: skip
        assert risk("base", years, outcome, who) == pytest.approx(expected / 100, abs=1e-9, rel=0)


def again(beta: Any, who: Predicted) -> float:
    """The risk as the supplement describes it, written once more: each variable with its pieces and interactions."""
    decade = who.age / 10 - 5.5
    mmol_hdl = 0.02586 * who.hdl_cholesterol
    other = 0.02586 * who.total_cholesterol - mmol_hdl - 3.5
    logit = beta["const"] + decade * beta["age"] + decade**2 * beta.get("age2", 0)
    logit += other * (beta["nonhdl"] + decade * beta["age_nonhdl"] + (beta["statin_nonhdl"] if who.statin else 0))
    logit += (mmol_hdl - 1.3) / 0.3 * (beta["hdl"] + decade * beta["age_hdl"])
    if who.sbp < 110:
        logit += (who.sbp - 110) / 20 * beta["sbp_lo"]
    above = (who.sbp - 130 if who.sbp > 110 else -20) / 20
    logit += above * (beta["sbp_hi"] + decade * beta["age_sbp_hi"])
    if who.antihypertensive:
        logit += beta["bptx"] + above * beta["bptx_sbp_hi"]
    logit += beta["statin"] if who.statin else 0
    logit += beta["dm"] + decade * beta["age_dm"] if who.diabetes else 0
    logit += beta["smoke"] + decade * beta["age_smoke"] if who.smoking else 0
    logit += ((min(30, who.bmi)) - 25) / 5 * beta["bmi_lo"]
    if who.bmi > 30:
        logit += (who.bmi - 30) / 5 * (beta["bmi_hi"] + decade * beta["age_bmi_hi"])
    if who.egfr < 60:
        logit += (60 - who.egfr) / 15 * (beta["egfr_lo"] + decade * beta["age_egfr_lo"])
    logit += (90 - (max(60, who.egfr))) / 15 * beta["egfr_hi"]
    logit += _further(beta, who)
    return math.exp(logit) / (1 + math.exp(logit))


def _further(beta: Any, who: Predicted) -> float:
    more = 0.0
    if "ln_uacr" in beta:
        more += beta["uacr_missing"] if who.acr is None else beta["ln_uacr"] * math.log(who.acr)
    if "hba1c_dm" in beta:
        slope = beta["hba1c_dm" if who.diabetes else "hba1c_nodm"]
        more += beta["hba1c_missing"] if who.hba1c is None else slope * (who.hba1c - 5.3)
    if "sdi_4_6" in beta:
        groups = {4: "sdi_4_6", 5: "sdi_4_6", 6: "sdi_4_6", 7: "sdi_7_10", 8: "sdi_7_10", 9: "sdi_7_10", 10: "sdi_7_10"}
        more += beta["sdi_missing"] if who.sdi is None else beta.get(groups.get(int(who.sdi), "none"), 0)
    return more


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("years", [10, 30])
def test_a_thousand_people_agree_with_the_formula_written_again(variant: Variant, years: int) -> None:
    random = Random(f"{variant} {years}")
    for _ in range(1000):
        who = anybody(random, 79 if years == 10 else 59)
        for outcome in OUTCOMES:
            expected = again(coefficients(variant, years, who.sex, outcome), who)
            assert risk(variant, years, outcome, who) == pytest.approx(expected, abs=1e-12, rel=0)


def test_the_hundred_equations_are_those_of_the_source(shared_data: Path) -> None:
    source = json.loads((shared_data / "models" / "prevent_coefficients.json").read_text(encoding="utf-8"))["models"]
    count = 0
    for variant in VARIANTS:
        for years in (10, 30):
            for sex in SEXES:
                for outcome in OUTCOMES:
                    assert coefficients(variant, years, sex, outcome) == source[variant][f"{years}y"][sex][outcome]
                    count += 1
    assert count == 100


def test_every_variant_has_terms_for_what_it_asks_and_for_not_knowing_it() -> None:
    terms = {"acr": {"ln_uacr", "uacr_missing"}, "hba1c": {"hba1c_dm", "hba1c_nodm", "hba1c_missing"}}
    terms["sdi"] = {"sdi_4_6", "sdi_7_10", "sdi_missing"}
    base = set(coefficients("base", 10, "female", "stroke"))
    for variant, added in ADDED.items():
        more = set(coefficients(variant, 10, "female", "stroke")) - base
        assert more == set().union(*(terms[name] for name in added))


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_reference_is_where_every_term_is_zero(variant: Variant, outcome: Outcome) -> None:
    for sex in SEXES:
        for years in (10, 30):
            constant = coefficients(variant, years, sex, outcome)["const"]
            assert log_odds(variant, years, outcome, reference(sex)) == pytest.approx(constant, abs=1e-12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_body_mass_moves_heart_failure_alone(variant: Variant) -> None:
    random = Random(variant)
    who = anybody(random, 59)
    heavy, light = structs.replace(who, bmi=39.0), structs.replace(who, bmi=20.0)
    moved = {outcome for outcome in OUTCOMES if risk(variant, 10, outcome, heavy) != risk(variant, 10, outcome, light)}
    assert moved == {"heart_failure"}
