"""The published equations and categories that kidney models share: eGFR, urine albumin from protein, stages."""

import math
from typing import Literal

Sex = Literal["female", "male"]


def egfr_ckd_epi_2021(creatinine: float, age: int, sex: Sex) -> float:
    """eGFR in mL/min/1.73 m² from serum creatinine in mg/dL and completed years of age at the specimen's date.

    CKD-EPI 2021 creatinine equation, without race: Inker et al., N Engl J Med 2021;385:1737.
    """
    kappa, alpha, factor = (0.7, -0.241, 1.012) if sex == "female" else (0.9, -0.302, 1.0)
    ratio = creatinine / kappa
    return float(142 * min(ratio, 1.0) ** alpha * max(ratio, 1.0) ** -1.200 * 0.9938**age * factor)


def egfr_cystatin_2012(cystatin: float, age: int, sex: Sex) -> float:
    """eGFR in mL/min/1.73 m² from cystatin C in mg/L, standardised to ERM-DA471.

    CKD-EPI 2012 cystatin C equation: Inker et al., N Engl J Med 2012;367:20. No second implementation confirmed the
    rows against which it is tested.
    """
    ratio = cystatin / 0.8
    return float(
        133 * min(ratio, 1.0) ** -0.499 * max(ratio, 1.0) ** -1.328 * 0.996**age * (0.932 if sex == "female" else 1.0)
    )


def egfr_combined_2021(creatinine: float, cystatin: float, age: int, sex: Sex) -> float:
    """eGFR in mL/min/1.73 m² from serum creatinine in mg/dL and cystatin C in mg/L.

    CKD-EPI 2021 creatinine-cystatin C equation, without race: Inker et al., N Engl J Med 2021;385:1737.
    """
    kappa, alpha, factor = (0.7, -0.219, 0.963) if sex == "female" else (0.9, -0.144, 1.0)
    ratio, cys = creatinine / kappa, cystatin / 0.8
    of_creatinine = min(ratio, 1.0) ** alpha * max(ratio, 1.0) ** -0.544
    of_cystatin = min(cys, 1.0) ** -0.323 * max(cys, 1.0) ** -0.778
    return float(135 * of_creatinine * of_cystatin * 0.9961**age * factor)


def acr_from_pcr(pcr: float, female: bool, diabetes: bool, hypertension: bool) -> float:
    """Albumin-creatinine ratio in mg/g from a protein-creatinine ratio in mg/g: the adjusted equation.

    Sumida et al., Ann Intern Med 2020;173:426. Its authors advise caution below 50 mg/g.
    """
    return math.exp(
        5.2659
        + 0.2934 * math.log(min(pcr / 50, 1))
        + 1.5643 * math.log(max(min(pcr / 500, 1), 0.1))
        + 1.1109 * math.log(max(pcr / 500, 1))
        - 0.0773 * female
        + 0.0797 * diabetes
        + 0.1265 * hypertension
    )


def g_stage(egfr: float) -> str:
    """KDIGO GFR category of the integer that the clinician sees."""
    shown = round_half_up(egfr)
    for floor, stage in ((90, "G1"), (60, "G2"), (45, "G3a"), (30, "G3b"), (15, "G4")):
        if shown >= floor:
            return stage
    return "G5"


MG_MMOL = 1 / 0.11312
"""One mg/mmol in mg/g (creatinine 113.12 g/mol)."""


def a_stage(acr: float, bound: str | None = None, *, molar: bool = False) -> str:
    """KDIGO albuminuria category of a ratio in mg/g: A1 below 30 mg/g, A2 to 300, A3 above.

    Of one that was sent per mmol (`molar`), by KDIGO's own bands for that unit: 3 and 30 mg/mmol, which are a little
    lower (26.5 and 265 mg/g).
    Only "<30" and less and ">300" and more (or 3.4 and 30 mg/mmol) serve as bounds: what they leave open is A1 or A3.
    """
    if bound:
        return "A1" if bound == "at most" else "A3"
    low, high = (3 * MG_MMOL * (1 - 1e-12), 30 * MG_MMOL * (1 + 1e-12)) if molar else (30, 300)
    return "A1" if acr < low else "A2" if acr <= high else "A3"


def heat(g: str, a: str | None) -> str:
    """KDIGO's colour with its word for the risk; "" where the albuminuria category decides and is not known."""
    if g in ("G4", "G5"):
        return "red (very high risk)"
    if a is None:
        return ""
    step = {"G1": 0, "G2": 0, "G3a": 1, "G3b": 2}[g] + {"A1": 0, "A2": 1, "A3": 2}[a]
    return ("green (low risk)", "yellow (moderately increased risk)", "orange (high risk)", "red (very high risk)")[
        min(step, 3)
    ]


def round_half_up(value: float) -> int:
    """Integers as laboratories print them; Python's round() would send 44.5 to 44."""
    return math.floor(value + 0.5)
