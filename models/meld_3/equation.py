"""The equation of MELD 3.0, term by term."""

import math
from collections.abc import Mapping


def terms(
    female: bool, bilirubin: float, sodium: float, inr: float, creatinine: float, albumin: float
) -> Mapping[str, float]:
    """Each term's share, in points; bilirubin and creatinine in mg/dL, sodium in mmol/L, albumin in g/dL.

    Values are brought within the equation's limits. Kim et al., Gastroenterology 2021;161:1887.
    """
    ln_bilirubin = math.log(max(bilirubin, 1.0))
    ln_creatinine = math.log(min(max(creatinine, 1.0), 3.0))
    low_sodium = 137 - min(max(sodium, 125.0), 137.0)
    low_albumin = 3.5 - min(max(albumin, 1.5), 3.5)
    return {
        "constant": 6.0,
        "sex": 1.33 if female else 0.0,
        "bilirubin": 4.56 * ln_bilirubin,
        "sodium": 0.82 * low_sodium,
        "sodium with bilirubin": -0.24 * low_sodium * ln_bilirubin,
        "INR": 9.09 * math.log(max(inr, 1.0)),
        "creatinine": 11.14 * ln_creatinine,
        "albumin": 1.85 * low_albumin,
        "albumin with creatinine": -1.83 * low_albumin * ln_creatinine,
    }


def points(shares: Mapping[str, float]) -> int:
    """The score: the sum of the terms, rounded half up to a whole number, from 6 to 40."""
    return min(max(math.floor(sum(shares.values()) + 0.5 + 1e-9), 6), 40)
