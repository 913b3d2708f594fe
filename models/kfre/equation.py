"""The Kidney Failure Risk Equation as published."""

import math
from typing import Literal

Region = Literal["north-america", "elsewhere"]
Variables = Literal[4, 6, 8]

MEANS = {
    "age": 7.036, "male": 0.5642, "egfr": 7.222, "log_acr": 5.137, "diabetes": 0.5106, "hypertension": 0.8501,
    "albumin": 3.997, "phosphate": 3.916, "bicarbonate": 25.57, "calcium": 9.355,
}  # fmt: skip
BETAS: dict[Variables, dict[str, float]] = {
    4: {"age": -0.2201, "male": 0.2467, "egfr": -0.5567, "log_acr": 0.4510},
    6: {
        "age": -0.2218, "male": 0.2553, "egfr": -0.5541, "log_acr": 0.4562,
        "diabetes": -0.1475, "hypertension": 0.1426,
    },
    8: {
        "age": -0.1992, "male": 0.1602, "egfr": -0.4919, "log_acr": 0.3364,
        "albumin": -0.3441, "phosphate": 0.2604, "bicarbonate": -0.07354, "calcium": -0.2228,
    },
}  # fmt: skip
BASELINES: dict[tuple[Variables, Region], dict[int, float]] = {
    (4, "north-america"): {2: 0.9750, 5: 0.9240},
    (4, "elsewhere"): {2: 0.9832, 5: 0.9365},
    (6, "north-america"): {2: 0.9750, 5: 0.9240},
    (6, "elsewhere"): {2: 0.9830, 5: 0.9370},
    (8, "north-america"): {2: 0.9780, 5: 0.9301},
    (8, "elsewhere"): {2: 0.9827, 5: 0.9245},  # lower risk at 2 years, higher at 5: as published
}
"""Baseline survival by variant, region and horizon in years (Tangri et al., JAMA 2016;315:164, eTable)."""


def kidney_failure_risk(
    variables: Variables, region: Region, years: int, age: float, male: bool, egfr: float, acr: float, **others: float
) -> float:
    """Probability (0 to 1) of kidney failure treated by dialysis or transplant within 2 or 5 years.

    `age` in years, `egfr` in mL/min/1.73 m², `acr` in mg/g; `others` are diabetes and hypertension (0/1) for six
    variables; albumin (g/dL), phosphate (mg/dL), bicarbonate (mmol/L), calcium (mg/dL) for eight.
    Tangri et al., JAMA 2011;305:1553 (derivation); JAMA 2016;315:164 (recalibration).
    """
    linear = sum(terms(variables, age, male, egfr, acr, **others).values())
    return risk_of(variables, region, years, linear)


def terms(variables: Variables, age: float, male: bool, egfr: float, acr: float, **others: float) -> dict[str, float]:
    """The linear predictor's terms by variable: each coefficient times the distance from the mean of the studies."""
    x = {"age": age / 10, "male": float(male), "egfr": egfr / 5, "log_acr": math.log(acr), **others}
    return {name: beta * (x[name] - MEANS[name]) for name, beta in BETAS[variables].items()}


def risk_of(variables: Variables, region: Region, years: int, linear: float) -> float:
    """Probability (0 to 1) for a linear predictor; 0 is the mean patient."""
    return 1.0 - math.pow(BASELINES[variables, region][years], math.exp(linear))
