"""The PREVENT equations as published: base, and with urine albumin, HbA1c, social deprivation, or all of them."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

from msgspec import Struct

Variant = Literal["base", "uacr", "hba1c", "sdi", "full"]
Sex = Literal["female", "male"]
Outcome = Literal["total_cvd", "ascvd", "heart_failure", "chd", "stroke"]

MMOL_PER_MG = 0.02586
"""Cholesterol in mmol/L for 1 mg/dL, with which the equations were fitted."""
ADDED: Mapping[Variant, tuple[str, ...]] = {
    "base": (),
    "uacr": ("acr",),
    "hba1c": ("hba1c",),
    "sdi": ("sdi",),
    "full": ("acr", "hba1c", "sdi"),
}
"""What each variant asks beyond the base; it has terms of its own for what is not known."""


class Predicted(Struct, frozen=True):
    """The predictors of one person, in the units in which charts hold them.

    `age` in years; cholesterols in mg/dL; `sbp` in mmHg; `bmi` in kg/m²; `egfr` (CKD-EPI 2021) in mL/min/1.73 m²;
    `acr` in mg/g; `hba1c` in %; `sdi`, the decile of the Social Deprivation Index, 1 to 10. None: not known.
    """

    sex: Sex
    age: float
    total_cholesterol: float
    hdl_cholesterol: float
    sbp: float
    bmi: float
    egfr: float
    diabetes: bool
    smoking: bool
    antihypertensive: bool
    statin: bool
    acr: float | None = None
    hba1c: float | None = None
    sdi: float | None = None


def reference(sex: Sex) -> Predicted:
    """The person for whom every term of the equations is 0 but the constant."""
    return Predicted(
        sex=sex,
        age=55.0,
        total_cholesterol=(3.5 + 1.3) / MMOL_PER_MG,
        hdl_cholesterol=1.3 / MMOL_PER_MG,
        sbp=130.0,
        bmi=25.0,
        egfr=90.0,
        diabetes=False,
        smoking=False,
        antihypertensive=False,
        statin=False,
        acr=1.0,
        hba1c=5.3,
        sdi=1.0,
    )


def risks(
    variant: Variant, horizons: Sequence[int], outcomes: Iterable[Outcome], who: Predicted
) -> Iterator[tuple[Outcome, int, float]]:
    """Every outcome within every horizon: the terms are the same for all, and are made once."""
    values = terms(who, variant)
    for outcome in outcomes:
        for years in horizons:
            yield outcome, years, probability(weighed(values, coefficients(variant, years, who.sex, outcome)))


def risk(variant: Variant, years: int, outcome: Outcome, who: Predicted) -> float:
    """Probability (0 to 1) of a first event within 10 or 30 years.

    Khan et al., Circulation 2024;149:430, Supplemental Tables S12A to S12J.
    """
    return probability(log_odds(variant, years, outcome, who))


def log_odds(variant: Variant, years: int, outcome: Outcome, who: Predicted) -> float:
    return weighed(terms(who, variant), coefficients(variant, years, who.sex, outcome))


def weighed(values: Mapping[str, float], betas: Mapping[str, float]) -> float:
    """The sum of an equation's terms, in the order of the table."""
    return sum([beta * values[name] for name, beta in betas.items()])


def probability(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-log_odds))


def terms(who: Predicted, variant: Variant) -> dict[str, float]:
    """What each coefficient is multiplied with: centred and scaled as the supplement says."""
    age = (who.age - 55) / 10
    non_hdl = (who.total_cholesterol - who.hdl_cholesterol) * MMOL_PER_MG - 3.5
    hdl = (who.hdl_cholesterol * MMOL_PER_MG - 1.3) / 0.3
    sbp_hi = (max(who.sbp, 110) - 130) / 20
    bmi_hi = (max(who.bmi, 30) - 30) / 5
    egfr_lo = (min(who.egfr, 60) - 60) / -15
    found = {
        "const": 1.0,
        "age": age,
        "age2": age * age,
        "nonhdl": non_hdl,
        "hdl": hdl,
        "sbp_lo": (min(who.sbp, 110) - 110) / 20,
        "sbp_hi": sbp_hi,
        "dm": float(who.diabetes),
        "smoke": float(who.smoking),
        "bmi_lo": (min(who.bmi, 30) - 25) / 5,
        "bmi_hi": bmi_hi,
        "egfr_lo": egfr_lo,
        "egfr_hi": (max(who.egfr, 60) - 90) / -15,
        "bptx": float(who.antihypertensive),
        "statin": float(who.statin),
        "bptx_sbp_hi": who.antihypertensive * sbp_hi,
        "statin_nonhdl": who.statin * non_hdl,
        "age_nonhdl": age * non_hdl,
        "age_hdl": age * hdl,
        "age_sbp_hi": age * sbp_hi,
        "age_dm": age * who.diabetes,
        "age_smoke": age * who.smoking,
        "age_bmi_hi": age * bmi_hi,
        "age_egfr_lo": age * egfr_lo,
    }
    return found | _added_terms(who, variant)


def _added_terms(who: Predicted, variant: Variant) -> dict[str, float]:
    added = ADDED[variant]
    acr, hba1c, sdi = (getattr(who, name) if name in added else None for name in ("acr", "hba1c", "sdi"))
    above = hba1c - 5.3 if hba1c is not None else 0.0
    return {
        "sdi_4_6": float(sdi is not None and 4 <= sdi <= 6),
        "sdi_7_10": float(sdi is not None and 7 <= sdi <= 10),
        "sdi_missing": float(sdi is None),
        "ln_uacr": math.log(acr) if acr is not None else 0.0,
        "uacr_missing": float(acr is None),
        "hba1c_dm": above if who.diabetes else 0.0,
        "hba1c_nodm": 0.0 if who.diabetes else above,
        "hba1c_missing": float(hba1c is None),
    }


def coefficients(variant: Variant, years: int, sex: Sex, outcome: Outcome) -> Mapping[str, float]:
    """The terms that one of the hundred equations has, in the order of the table."""
    return _table()[variant, years, sex, outcome]


@cache
def _table() -> Mapping[tuple[str, int, str, str], Mapping[str, float]]:
    with (files("models.prevent") / "coefficients.csv").open(encoding="utf-8") as lines:
        return {
            (row.pop("variant"), int(row.pop("years")), row.pop("sex"), row.pop("outcome")): {
                name: float(value) for name, value in row.items() if value
            }
            for row in csv.DictReader(lines)
        }
