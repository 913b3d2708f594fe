"""The Pooled Cohort Equations as published: one for each sex of Black and of White people."""

import math
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

Sex = Literal["female", "male"]
Race = Literal["black", "white"]


class Equation(Struct, frozen=True):
    """One of the four. `by_age` multiplies a term with the logarithm of age; pressure is by treatment."""

    terms: Mapping[str, float]
    by_age: Mapping[str, float]
    mean: float
    survival: float
    """Ten-year survival without an event of a person at the mean."""


EQUATIONS: Mapping[tuple[Race, Sex], Equation] = {
    ("white", "female"): Equation(
        {
            "age": -29.799, "age_squared": 4.884, "total_cholesterol": 13.54, "hdl_cholesterol": -13.578,
            "sbp_treated": 2.019, "sbp_untreated": 1.957, "smoking": 7.574, "diabetes": 0.661,
        },
        {"total_cholesterol": -3.114, "hdl_cholesterol": 3.149, "smoking": -1.665},
        -29.18, 0.9665,
    ),
    ("black", "female"): Equation(
        {
            "age": 17.114, "total_cholesterol": 0.94, "hdl_cholesterol": -18.92,
            "sbp_treated": 29.291, "sbp_untreated": 27.82, "smoking": 0.691, "diabetes": 0.874,
        },
        {"hdl_cholesterol": 4.475, "sbp_treated": -6.432, "sbp_untreated": -6.087},
        86.61, 0.9533,
    ),
    ("white", "male"): Equation(
        {
            "age": 12.344, "total_cholesterol": 11.853, "hdl_cholesterol": -7.99,
            "sbp_treated": 1.797, "sbp_untreated": 1.764, "smoking": 7.837, "diabetes": 0.658,
        },
        {"total_cholesterol": -2.664, "hdl_cholesterol": 1.769, "smoking": -1.795},
        61.18, 0.9144,
    ),
    ("black", "male"): Equation(
        {
            "age": 2.469, "total_cholesterol": 0.302, "hdl_cholesterol": -0.307,
            "sbp_treated": 1.916, "sbp_untreated": 1.809, "smoking": 0.549, "diabetes": 0.645,
        },
        {},
        19.54, 0.8954,
    ),
}  # fmt: skip


class Predicted(Struct, frozen=True):
    """The predictors of one person: age in years, cholesterols in mg/dL, systolic pressure in mmHg."""

    race: Race
    sex: Sex
    age: float
    total_cholesterol: float
    hdl_cholesterol: float
    sbp: float
    diabetes: bool
    smoking: bool
    antihypertensive: bool


def risk(who: Predicted) -> float:
    """Probability (0 to 1) of a first hard atherosclerotic cardiovascular event within 10 years.

    Goff et al., Circulation 2014;129(suppl 2):S49, Table A and Appendix 7.
    """
    equation = EQUATIONS[who.race, who.sex]
    return 1.0 - math.pow(equation.survival, math.exp(log_hazard(who)))


def log_hazard(who: Predicted) -> float:
    """The logarithm of the hazard against a person at the mean of those of the same race and sex."""
    equation, age, x = EQUATIONS[who.race, who.sex], math.log(who.age), terms(who)
    linear = sum(beta * x[name] for name, beta in equation.terms.items())
    return linear + sum(beta * age * x[name] for name, beta in equation.by_age.items()) - equation.mean


def terms(who: Predicted) -> dict[str, float]:
    """What the coefficients are multiplied with: natural logarithms of what is measured."""
    age, pressure = math.log(who.age), math.log(who.sbp)
    return {
        "age": age,
        "age_squared": age * age,
        "total_cholesterol": math.log(who.total_cholesterol),
        "hdl_cholesterol": math.log(who.hdl_cholesterol),
        "sbp_treated": pressure if who.antihypertensive else 0.0,
        "sbp_untreated": 0.0 if who.antihypertensive else pressure,
        "smoking": float(who.smoking),
        "diabetes": float(who.diabetes),
    }
