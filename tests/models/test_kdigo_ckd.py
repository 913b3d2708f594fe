"""Staging of chronic kidney disease: the three equations, every cell of the heat map, the slope, and every refusal."""

import csv
import math
from fractions import Fraction
from importlib.resources import files
from random import Random
from typing import Any, Literal

import pytest

from cds import NotScored, Reading, Risk, Score
from models._kidney.equation import (
    egfr_ckd_epi_2021,
    egfr_combined_2021,
    egfr_cystatin_2012,
    g_stage,
    heat,
)
from models._kidney.slope import least_squares
from models.kdigo_ckd.model import COMBINED, CYSTATIN, EGFR, SLOPE, standing
from tests.charts import (
    AT,
    Json,
    acr,
    ago,
    chart,
    condition,
    creatinine,
    during,
    encounter,
    lab,
    model,
    outcome,
    patient,
    procedure,
)

EXACT = 1e-9
Row = dict[str, str]


def rows() -> list[Row]:
    with (files("models.kdigo_ckd") / "reference.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def cystatin(value: float | str, when: str, unit: str = "mg/L", **members: Any) -> Json:
    return lab("33863-2", value, unit, when, **members)


def answer(*resources: Json, **how: Any) -> Risk | NotScored:
    return outcome(*resources, variant="kdigo-ckd", **how)


def staged(*resources: Json, **how: Any) -> Risk:
    found = answer(*resources, **how)
    assert isinstance(found, Risk), found.text
    return found


def number(risk: Risk, name: str) -> Score:
    [found] = [e for e in risk.estimates if e.outcome == name]
    assert isinstance(found, Score)
    return found


def names(risk: Risk) -> list[str]:
    return [e.outcome for e in risk.estimates]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["id"])
def test_the_three_equations(row: Row) -> None:
    sex: Literal["female", "male"] = "female" if row["sex"] == "F" else "male"
    age, scr, cys = int(row["age"]), float(row["creatinine"]), float(row["cystatin_c"])
    found = (
        egfr_ckd_epi_2021(scr, age, sex),
        egfr_cystatin_2012(cys, age, sex),
        egfr_combined_2021(scr, cys, age, sex),
    )
    expected = [float(row[name]) for name in ("egfr", "egfr_cystatin", "egfr_both")]
    assert found == pytest.approx(expected, abs=EXACT, rel=0)
    assert g_stage(found[0]) == row["g_stage"]


def test_no_row_was_lost() -> None:
    assert len(rows()) == 14


def test_the_shared_rows_are_these(shared_data: Any) -> None:
    with (shared_data / "models" / "egfr_reference.csv").open(encoding="utf-8") as lines:
        theirs = {
            r["id"]: (r["ckdepi2021_cr"], r["ckdepi2012_cys"], r["ckdepi2021_crcys"]) for r in csv.DictReader(lines)
        }
    assert {r["id"]: (r["egfr"], r["egfr_cystatin"], r["egfr_both"]) for r in rows()} == theirs


HEAT = """
G1  green  yellow orange
G2  green  yellow orange
G3a yellow orange red
G3b orange red    red
G4  red    red    red
G5  red    red    red
"""
CELLS = [
    (g, f"A{n}", colour)
    for g, *colours in (line.split() for line in HEAT.strip().splitlines())
    for n, colour in enumerate(colours, start=1)
]
WORDS = {
    "green": "low risk",
    "yellow": "moderately increased risk",
    "orange": "high risk",
    "red": "very high risk",
}


@pytest.mark.parametrize(("g", "a", "colour"), CELLS)
def test_every_cell_of_the_heat_map(g: str, a: str, colour: str) -> None:
    assert heat(g, a) == f"{colour} ({WORDS[colour]})"


@pytest.mark.parametrize(
    ("egfr", "acr_value", "band"),
    [
        (89.5, 29.9, "KDIGO G1 A1, green (low risk)"),
        (89.49, 30, "KDIGO G2 A2, yellow (moderately increased risk)"),
        (59.5, 300, "KDIGO G2 A2, yellow (moderately increased risk)"),
        (59.49, 300.1, "KDIGO G3a A3, red (very high risk)"),
        (44.5, 30, "KDIGO G3a A2, orange (high risk)"),
        (44.49, 29.9, "KDIGO G3b A1, orange (high risk)"),
        (44.49, 30, "KDIGO G3b A2, red (very high risk)"),
        (29.5, 1, "KDIGO G3b A1, orange (high risk)"),
        (29.49, 1, "KDIGO G4 A1, red (very high risk)"),
        (14.49, 1, "KDIGO G5 A1, red (very high risk)"),
    ],
)
def test_bands_on_both_sides_of_their_edges(egfr: float, acr_value: float, band: str) -> None:
    assert standing(egfr, Reading(acr_value)) == band


@pytest.mark.parametrize(
    ("scr", "band"), [(1.9, "KDIGO G3b, A not known"), (3.0, "KDIGO G4, A not known, red (very high risk)")]
)
def test_without_urine_albumin_its_category_is_not_known(scr: float, band: str) -> None:
    risk = staged(creatinine(scr, ago(30)))
    assert number(risk, EGFR).band == band
    assert any(c.startswith("albuminuria category not known: no urine albumin") for c in risk.cautions)


@pytest.mark.parametrize("unusable", [acr(35, ago(20), None), acr(35, ago(20), "mg/L"), acr(35, ago(800))])
def test_an_unusable_urine_albumin_gives_no_category(unusable: Json) -> None:
    assert ", A not known" in number(staged(creatinine(1.9, ago(30)), unusable), EGFR).band


@pytest.mark.parametrize(("sent", "a"), [("<30", "A1"), (">300", "A3")])
def test_a_bound_gives_the_category_that_it_proves(sent: str, a: str) -> None:
    assert f"KDIGO G3b {a}," in number(staged(creatinine(1.9, ago(30)), acr(sent, ago(20))), EGFR).band


@pytest.mark.parametrize(
    ("value", "unit", "a"),
    [
        (2.9, "mg/mmol", "A1"),
        (3, "mg/mmol", "A2"),
        (3.2, "mg/mmol", "A2"),
        (3000, "ug/mmol", "A2"),
        (30, "mg/mmol", "A2"),
        (31, "mg/mmol", "A3"),
        (28.3, "mg/g", "A1"),
        (274, "mg/g", "A2"),
    ],
)
def test_albuminuria_is_banded_in_the_unit_that_was_sent(value: float, unit: str, a: str) -> None:
    """KDIGO's bands of the two units are each a little different: 3 mg/mmol are 26.5 mg/g."""
    risk = staged(creatinine(1.9, ago(30)), acr(value, ago(20), unit))
    assert f"KDIGO G3b {a}," in number(risk, EGFR).band
    kfre = outcome(creatinine(1.9, ago(30)), acr(value, ago(20), unit))
    assert isinstance(kfre, Risk)
    assert model("kfre-4").standing(kfre.row) == f"KDIGO G3b, {a}"
    [told] = [line for line in model("kdigo-ckd").inputs(risk.row) if line.name.startswith("Urine ACR")]
    assert told.note == (f"{a} by the bands for mg/mmol, as sent" if value in (3, 3.2, 3000, 31) else "")


@pytest.mark.parametrize(
    ("apart", "combined"), [(0.0, True), (30.0, True), (30.1, False)], ids=["same day", "30 days", "more than 30"]
)
def test_cystatin_c_is_combined_with_a_creatinine_of_within_thirty_days(apart: float, combined: bool) -> None:
    risk = staged(creatinine(1.5, ago(40)), cystatin(1.6, ago(40 + apart)))
    assert names(risk) == [EGFR, *([COMBINED] if combined else []), CYSTATIN]
    assert any("more than 30 days apart" in c for c in risk.cautions) is not combined


def test_cystatin_c_alone_keeps_its_mark() -> None:
    risk = staged(creatinine(1.5, ago(40)), cystatin(1.6, ago(40)))
    assert "UNVERIFIED" in number(risk, CYSTATIN).band
    assert any("UNVERIFIED" in caution for caution in risk.cautions)
    assert any("no second source" in line for line in model("kdigo-ckd").card.unverified)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (cystatin(1.6, ago(40), "mg"), "cystatin C not used: unit not accepted"),
        (cystatin("<1.6", ago(40)), "cystatin C not used: comparator"),
    ],
)
def test_an_unusable_cystatin_c_is_said_and_no_older_one_stands_in(found: Json, said: str) -> None:
    risk = staged(creatinine(1.5, ago(40)), found, cystatin(1.6, ago(60)))
    assert names(risk) == [EGFR]
    assert said in risk.cautions


def test_cystatin_c_of_a_ward_is_not_used() -> None:
    ward = encounter("e1", "IMP", ago(41))
    assert names(staged(creatinine(1.5, ago(40)), ward, cystatin(1.6, ago(40), **during("e1")))) == [EGFR]


def test_age_is_that_of_the_specimen() -> None:
    who = patient(birthDate="1960-11-01")  # 66 at AT, 65 on the day of the specimens
    risk = staged(creatinine(1.5, ago(40)), cystatin(1.6, ago(40)), who=who)
    assert number(risk, EGFR).value == egfr_ckd_epi_2021(1.5, 65, "male")
    assert number(risk, COMBINED).value == egfr_combined_2021(1.5, 1.6, 65, "male")


def series(*values: tuple[float, float]) -> list[Json]:
    return [creatinine(value, ago(days)) for days, value in values]


@pytest.mark.parametrize(
    ("values", "has_slope"),
    [
        ([(30, 1.9), (200, 1.7), (395, 1.5)], True),
        ([(30, 1.9), (200, 1.7), (394.9, 1.5)], False),  # less than a year
        ([(30, 1.9), (400, 1.5)], False),  # two
        ([(30, 1.9), (30.01, 1.9), (400, 1.5)], False),  # two days
        ([(30, 1.9), (200, 1.7), (1830, 1.5)], False),  # the third is older than five years
    ],
)
def test_a_slope_needs_three_days_over_a_year(values: list[tuple[float, float]], has_slope: bool) -> None:
    assert (SLOPE in names(staged(*series(*values)))) is has_slope


def test_a_slope_leaves_out_what_was_taken_in_hospital() -> None:
    ward = encounter("e1", "IMP", ago(201))
    inside = creatinine(1.7, ago(200), **during("e1"))
    assert SLOPE not in names(staged(*series((30, 1.9), (400, 1.5)), ward, inside))


OPERATION, TRANSPLANTED = "snomed|70536003", "icd10cm|Z94.0"


@pytest.mark.parametrize(
    ("transplant", "has_slope"),
    [
        ([procedure(OPERATION, ago(500))], False),  # two results of the new kidney
        ([procedure(OPERATION, ago(900))], True),
        ([condition(TRANSPLANTED, ago(500))], False),
        ([condition(TRANSPLANTED, ago(100)), procedure(OPERATION, ago(900))], True),  # noted long after
        ([condition(TRANSPLANTED, ago(100)), condition(TRANSPLANTED, ago(900))], True),  # at every visit
        ([condition(TRANSPLANTED)], False),  # at any time
    ],
)
def test_a_slope_is_of_one_kidney(transplant: list[Json], has_slope: bool) -> None:
    values = series((30, 1.9), (430, 1.7), (800, 6.0))
    assert SLOPE in names(staged(*values))
    assert (SLOPE in names(staged(*values, *transplant))) is has_slope


def test_a_fall_is_of_one_kidney() -> None:
    values = series((5, 2.6), (30, 2.5), (330, 1.5))
    fell = any(c.startswith("eGFR fell") for c in staged(*values).cautions)
    since = any(c.startswith("eGFR fell") for c in staged(*values, procedure(OPERATION, ago(200))).cautions)
    assert (fell, since) == (True, False)


def test_rapid_progression_is_a_decline_of_more_than_five_a_year() -> None:
    kidney = model("kdigo-ckd")
    row = kidney.predictors.given(AT, age=60, sex="male", egfr=Reading(40.0, method="CKD-EPI 2021"))
    for slope, band in ((-5.01, "rapid progression"), (-5.0, ""), (2.0, "")):
        given = kidney.predictors.given(AT, **{**row.answers(), "slope": Reading(slope, "mL/min/1.73 m² per year")})
        [found] = [e for e in kidney.predict(given) if isinstance(e, Score) and e.outcome == SLOPE]
        assert (found.value, found.band) == (slope, band)


def test_the_slope_is_that_of_the_values() -> None:
    days = ((30.0, 2.2), (230.0, 1.9), (430.0, 1.6))
    risk = staged(*series(*days))
    birthday_before = (66, 66, 65)
    points = [
        (-ago_days / 365.25, egfr_ckd_epi_2021(value, age, "male"))
        for (ago_days, value), age in zip(days, birthday_before, strict=True)
    ]
    assert number(risk, SLOPE).value == pytest.approx(least_squares(points), abs=1e-9)
    assert number(risk, SLOPE).band == "rapid progression"


def test_least_squares_against_exact_fractions() -> None:
    random = Random(20261122)
    for _ in range(1000):
        points = [(random.uniform(0, 5), random.uniform(5, 120)) for _ in range(random.randint(3, 12))]
        exact = [(Fraction(x), Fraction(y)) for x, y in points]
        n = len(exact)
        sum_x, sum_y = sum(x for x, _ in exact), sum(y for _, y in exact)
        slope = (n * sum(x * y for x, y in exact) - sum_x * sum_y) / (n * sum(x * x for x, _ in exact) - sum_x**2)
        assert least_squares(points) == pytest.approx(float(slope), rel=1e-9, abs=1e-9)


def test_the_equations_against_a_second_way_of_writing_them() -> None:
    """On the logarithm, by branches, with the coefficients of the tables of the papers."""
    from math import exp, log

    random = Random(7)
    for _ in range(1000):
        scr, cys, age = random.uniform(0.2, 12), random.uniform(0.3, 8), random.randint(18, 100)
        female = random.random() < 0.5
        sex: Literal["female", "male"] = "female" if female else "male"
        k = 0.7 if female else 0.9
        low = scr <= k
        cr = log(142) + (-1.2 if not low else -0.241 if female else -0.302) * log(scr / k) + age * log(0.9938)
        cr += log(1.012) if female else 0
        both = log(135) + (-0.544 if not low else -0.219 if female else -0.144) * log(scr / k) + age * log(0.9961)
        both += (-0.323 if cys <= 0.8 else -0.778) * log(cys / 0.8) + (log(0.963) if female else 0)
        alone = log(133) + (-0.499 if cys <= 0.8 else -1.328) * log(cys / 0.8) + age * log(0.996)
        alone += log(0.932) if female else 0
        assert egfr_ckd_epi_2021(scr, age, sex) == pytest.approx(exp(cr), rel=1e-12)
        assert egfr_combined_2021(scr, cys, age, sex) == pytest.approx(exp(both), rel=1e-12)
        assert egfr_cystatin_2012(cys, age, sex) == pytest.approx(exp(alone), rel=1e-12)


@pytest.mark.parametrize(
    ("resources", "who", "reason"),
    [
        ([], patient(deceasedDateTime="2026-01-01"), "deceased"),
        ([], patient(birthDate="2010-01-01"), "age"),
        ([], patient(birthDate=None), "age"),
        ([], patient(gender="unknown"), "sex"),
        ([condition("icd10cm|Z99.2", ago(100), "active")], None, "dialysis"),
        ([condition("icd10cm|Z34.0", ago(40), "active")], None, "pregnancy"),
        ([condition("icd10cm|N17.9", ago(40), "active")], None, "aki"),
        ([creatinine(3.0, ago(3)), creatinine(1.5, ago(6))], None, "aki"),
        ([creatinine(3.2, ago(3)), creatinine(1.5, ago(200))], None, "creatinine-rise"),
        ([creatinine(1.5, ago(20), "mmol")], None, "egfr-unit-not-accepted"),
        ([creatinine("<1.5", ago(20))], None, "egfr-comparator"),
    ],
)
def test_who_is_not_staged(resources: list[Json], who: Json | None, reason: str) -> None:
    found = answer(creatinine(1.5, ago(30)), *resources, who=who)
    assert isinstance(found, NotScored)
    assert found.reason == reason
    assert found.text


def test_nobody_is_staged_from_nothing_old_or_from_a_ward() -> None:
    ward = encounter("e1", "EMER", ago(21))
    for found, reason in (
        (answer(), "egfr-never-recorded"),
        (answer(creatinine(1.5, ago(400))), "egfr-too-old"),
        (answer(ward, creatinine(1.5, ago(20), **during("e1"))), "egfr-hospital-values-only"),
    ):
        assert isinstance(found, NotScored)
        assert found.reason == reason


def test_a_transplant_is_staged_and_said() -> None:
    risk = staged(creatinine(1.5, ago(30)), procedure("snomed|70536003", ago(2000)))
    assert any("KDIGO adds T" in caution for caution in risk.cautions)


def test_one_low_value_is_not_yet_chronic() -> None:
    one = "one eGFR, not yet confirmed chronic"
    assert one in staged(creatinine(1.9, ago(30))).cautions
    assert one not in staged(creatinine(1.9, ago(30)), creatinine(1.8, ago(130))).cautions
    assert any("three months" in caution for caution in staged(creatinine(0.8, ago(30))).cautions)


def test_the_explanation_multiplies_to_the_egfr() -> None:
    kidney = model("kdigo-ckd")
    risk = staged(creatinine(1.9, ago(30)))
    told = kidney.explanation(risk.row)
    assert told is not None
    assert [(term.name, term.scale) for term in told.contributions] == [
        ("Creatinine and sex", "log value"),
        ("Age", "log value"),
    ]
    product = egfr_ckd_epi_2021(0.7, 40, "female") * math.prod(term.multiplier for term in told.contributions)
    assert product == pytest.approx(number(risk, EGFR).value, rel=1e-12)
    first, age = told.contributions
    years = next(one.value for one in kidney.inputs(risk.row) if one.name == "Age")
    assert age.multiplier == pytest.approx(0.9938 ** (float(years.split()[0]) - 40), rel=1e-9)
    assert (first.words, first.direction) == ("lowers it", "lowers")


def test_the_course_is_every_outpatient_value() -> None:
    found = model("kdigo-ckd").measured(chart(*series((30, 1.9), (200, 1.7))), AT)
    assert found is not None
    assert [point.shown for point in found.points] == ["44", "38"]


@pytest.mark.parametrize(("repeated", "reason"), [((), "creatinine-rise"), (((0.2, 3.0),), "aki")])
def test_a_repeated_creatinine_does_not_explain_the_rise(
    repeated: tuple[tuple[float, float], ...], reason: str
) -> None:
    found = answer(*series(*repeated, (1.5, 3.0), (60, 1.0), (200, 1.0)))
    assert isinstance(found, NotScored)
    assert found.reason == reason
