"""Which urine albumin is used: bounds, strings, zeros, ages, and protein in its place (D6, D7, D9)."""

import pytest

from cds import Missing, Reading
from models._kidney.equation import acr_from_pcr
from tests.charts import (
    ACTIVE,
    AT,
    RESOLVED,
    Json,
    acr,
    ago,
    chart,
    condition,
    creatinine,
    lab,
    model,
    outcome,
    patient,
    reason,
    risk,
    said,
)  # fmt: skip

CREATININE = creatinine(2.0, ago(30))
MG_G, MOLAR = "mg/g", "mg/mmol"


def chosen(*resources: Json, limit: float | None = None, who: Json | None = None) -> str:
    """What albumin a score uses: bound, value in mg/g and method, or why there is none."""
    predictors = model(acr_detection_limit=limit).predictors
    answer = predictors.read(chart(CREATININE, *resources, who=who), AT).acr  # type: ignore[attr-defined]
    if isinstance(answer, Missing):
        return answer.why
    return f"{answer.bound or 'exactly'} {answer.value:.4g}, {answer.method}"


@pytest.mark.proves("R35", "< and > on urine albumin, coded or as text: a bound is used only where it proves something")
@pytest.mark.parametrize(
    ("resources", "answer"),
    [
        ([acr(100, ago(30))], "exactly 100, spot urine"),
        ([acr(10, ago(30), MOLAR)], "exactly 88.4, spot urine"),
        ([lab("14585-4", 10, "mmol/mol", ago(30))], "exactly 5879, spot urine"),
        ([lab("32294-1", 10, None, ago(30))], "unit not accepted"),
        ([lab("32294-1", 10, "mg/L", ago(30))], "unit not accepted"),
        ([lab("13705-9", 100, MG_G, ago(30))], "exactly 100, timed collection"),
        ([lab("44292-1", 100, MG_G, ago(30))], "exactly 100, timed collection"),
        *(([lab(code, 100, MG_G, ago(30))], "never recorded") for code in ("30001-2", "14957-5", "1754-1", "2889-4")),
        ([acr(25001, ago(1)), acr(100, ago(30))], "implausible"),
        ([acr(0.05, ago(1))], "implausible"),
        # Bounds below.
        ([acr("<30", ago(30))], "at most 30, spot urine"),
        ([acr("<5", ago(30))], "at most 5, spot urine"),
        ([acr("<31", ago(30))], "comparator"),
        ([acr("<3.4", ago(30), MOLAR)], "at most 30.06, spot urine"),
        ([acr("<3.5", ago(30), MOLAR)], "comparator"),
        ([acr("<=30", ago(30))], "comparator"),
        # Bounds above.
        ([acr(">300", ago(30))], "at least 300, spot urine"),
        ([acr(">299", ago(30))], "comparator"),
        ([acr(">30", ago(30), MOLAR)], "at least 265.2, spot urine"),
        ([acr(">29", ago(30), MOLAR)], "comparator"),
        ([acr(">=300", ago(30))], "comparator"),
        # The same as a string of exactly that form.
        ([said("<30 mg/g", ago(30))], "at most 30, spot urine"),
        ([said(" < 30 mg/g ", ago(30))], "at most 30, spot urine"),
        ([said("<3.4 mg/mmol", ago(30))], "at most 30.06, spot urine"),
        ([said(">300 mg/g", ago(30))], "at least 300, spot urine"),
        ([said("<31 mg/g", ago(30))], "comparator"),
        ([said("<30", ago(30))], "unit not accepted"),
        ([said("<3", ago(30))], "unit not accepted"),
        ([said("<3.3.3 mg/g", ago(30))], "no value"),
        ([said("<30 mg", ago(30))], "unit not accepted"),
        ([said("<0 mg/g", ago(30))], "not calculable"),
        ([said(">99999 mg/g", ago(30))], "implausible"),
        ([said("100 mg/g", ago(30))], "no value"),
        ([said("negative", ago(30)), acr(100, ago(40))], "no value"),
        ([said("approx <30 mg/g", ago(30))], "no value"),
        # Nothing measured.
        ([acr(0, ago(30))], "not calculable"),
        ([acr(0, ago(30), "mg/dL")], "unit not accepted"),
        ([said("not calculable", ago(30))], "not calculable"),
        ([said("Not Calculable", ago(30))], "not calculable"),
        ([acr(0, ago(1)), acr(100, ago(30))], "not calculable"),
        # Two years, and the newest decides.
        ([acr(100, "2024-11-22T12:00:00Z")], "exactly 100, spot urine"),
        ([acr(100, "2024-11-22T11:59:59Z")], "too old"),
        ([acr(100, ago(30), status="preliminary")], "not final"),
        ([acr(100, ago(30)), acr(50, ago(1), status="cancelled")], "exactly 100, spot urine"),
    ],
)
def test_d7_which_albumin(resources: list[Json], answer: str) -> None:
    assert chosen(*resources) == answer


@pytest.mark.parametrize(
    ("resource", "answer"),
    [
        (acr(0, ago(30)), "at most 3, spot urine"),
        (said("not calculable", ago(30)), "at most 3, spot urine"),
        (acr("<0", ago(30)), "at most 3, spot urine"),
        (acr(0, ago(30), "mg/dL"), "unit not accepted"),
        (acr(0, ago(30), modifierExtension=[{"url": "http://example.org/not"}]), "modified"),
        (acr(2, ago(30)), "exactly 2, spot urine"),
    ],
)
def test_d7_the_assay_s_limit_stands_for_zero_where_the_site_names_it(resource: Json, answer: str) -> None:
    assert chosen(resource, limit=3.0) == answer


@pytest.mark.parametrize(
    ("when", "labels"),
    [
        (ago(30), []),
        (ago(210), []),
        (ago(211), ["apart"]),
        ("2025-11-22T12:00:00Z", ["apart"]),
        ("2025-11-22T11:59:59Z", ["old", "apart"]),
    ],
)
def test_d6_labels_of_age(when: str, labels: list[str]) -> None:
    texts = {
        "old": "the urine albumin-creatinine ratio is more than 12 months old",
        "apart": "urine albumin and creatinine were measured more than 180 days apart",
    }
    cautions = risk(CREATININE, acr(100, when)).cautions
    assert [name for name, text in texts.items() if text in cautions] == labels


@pytest.mark.parametrize(
    ("value", "scr", "answer"),
    [
        (">300", 2.0, "scored"),  # 11.7 % and more: may raise
        (">300", 1.4, "acr-above-range"),  # 2.2 % and more: may not reassure
        ("<30", 2.0, "scored"),
        ("<30", 1.4, "scored"),
    ],
)
def test_d7_a_bound_above_never_reassures(value: str, scr: float, answer: str) -> None:
    assert reason(creatinine(scr, ago(30)), acr(value, ago(30))) == answer


def pcr(value: float | str, when: str, unit: str | None = "mg/g", **members: object) -> Json:
    return lab("2890-2", value, unit, when, **members)


FROM_500 = acr_from_pcr(500, female=False, diabetes=False, hypertension=False)


@pytest.mark.parametrize(
    ("resources", "answer"),
    [
        ([pcr(500, ago(30))], "exactly 193.6, converted from PCR"),
        ([pcr(0.5, ago(30), "mg/mg")], "exactly 193.6, converted from PCR"),
        ([pcr(500, ago(30)), acr(100, ago(700))], "exactly 100, spot urine"),
        ([pcr(500, ago(30)), acr(100, ago(800))], "exactly 193.6, converted from PCR"),
        ([pcr(500, ago(30)), acr(100, ago(1), status="preliminary")], "exactly 193.6, converted from PCR"),
        ([pcr(500, ago(30)), acr(0, ago(700))], "not calculable"),  # an albumin that is there, though it says little
        ([pcr(500, "2025-11-22T12:00:00Z")], "exactly 193.6, converted from PCR"),
        ([pcr(500, "2025-11-22T11:59:59Z")], "never recorded"),
        ([pcr(0.5, ago(30), None)], "unit not accepted"),
        ([pcr(0.5, ago(30), "ratio")], "unit not accepted"),
        ([pcr("<50", ago(30))], "comparator"),
        ([pcr(40001, ago(30))], "implausible"),
        ([pcr(0.5, ago(1), None), pcr(500, ago(30))], "unit not accepted"),
        ([lab("5804-0", 2, "mg/g", ago(30))], "never recorded"),
    ],
)
def test_d6_protein_stands_in_only_without_albumin(resources: list[Json], answer: str) -> None:
    assert chosen(*resources) == answer


def test_d6_the_conversion_knows_sex_diabetes_and_hypertension() -> None:
    ill = (condition("icd10cm|E11.9", clinical=ACTIVE), condition("icd10cm|I10"))
    well = (condition("icd10cm|E11.9", clinical=RESOLVED), condition("icd10cm|I10", verification="refuted"))
    woman = patient(gender="female")
    assert chosen(pcr(500, ago(30)), *ill, who=woman) == "exactly 220.3, converted from PCR"
    assert chosen(pcr(500, ago(30)), *well) == "exactly 193.6, converted from PCR"


def test_d6_a_converted_ratio_is_named_and_flagged_below_50() -> None:
    named = "converted from a protein-creatinine ratio"
    flagged = "the protein-creatinine ratio is below 50 mg/g, where the conversion is uncertain"
    assert {named, flagged} <= set(risk(CREATININE, pcr(49.9, ago(30))).cautions)
    assert flagged not in risk(CREATININE, pcr(50, ago(30))).cautions


def test_a_protein_ratio_that_cannot_serve_is_called_by_its_name() -> None:
    answer = outcome(CREATININE, pcr(0.5, ago(30), None))
    assert getattr(answer, "text", "") == "urine PCR 0.5 (23 Oct 2026) has no unit"


def test_a_timed_collection_is_named() -> None:
    cautions = risk(CREATININE, lab("13705-9", 100, MG_G, ago(30))).cautions
    assert "the urine albumin-creatinine ratio is from a timed collection" in cautions


EARLIER = (creatinine(1.8, ago(150)), acr(80, ago(160)))


@pytest.mark.parametrize(
    ("resources", "known"),
    [
        ([*EARLIER], True),
        ([creatinine(1.8, ago(120)), acr(80, ago(160))], True),
        ([creatinine(1.8, ago(119)), acr(80, ago(160))], False),  # less than 90 days before
        ([creatinine(1.8, ago(150)), acr("<30", ago(160))], False),  # a bound is no earlier number
        ([creatinine(1.8, ago(150))], False),
        ([*EARLIER, creatinine(1.2, ago(155))], False),  # acute injury on that day
        ([*EARLIER, condition("icd10cm|N17.9", ago(200))], False),
        ([*EARLIER, lab("11041-1", 4.0, "mg/dL", ago(200))], False),  # on dialysis on that day
        ([lab("98979-8", 40, "mL/min/{1.73_m2}", ago(150)), acr(80, ago(160))], False),  # another method
    ],
)
def test_d17_the_earlier_risk_is_of_the_same_equation_and_method(resources: list[Json], known: bool) -> None:
    row = risk(CREATININE, acr(100, ago(30)), *resources).row
    assert isinstance(row.earlier, Reading) is known  # type: ignore[attr-defined]
