"""The points of LACE: length of stay, acuity, comorbidity and emergency visits (van Walraven, CMAJ 2010;182:551)."""

from cds import up_to

WEIGHTS = {
    "myocardial_infarction": 1,
    "cerebrovascular": 1,
    "peripheral_vascular": 1,
    "diabetes_uncomplicated": 1,
    "heart_failure": 2,
    "diabetes_complicated": 2,
    "copd": 2,
    "mild_liver": 2,
    "mild_renal": 2,
    "tumour": 2,
    "dementia": 3,
    "connective_tissue": 3,
    "severe_liver": 4,
    "severe_renal": 4,
    "aids": 4,
    "metastatic": 6,
}
"""LACE's own weights of the Charlson groups, which are not Charlson's."""
ONCE = (
    ("diabetes_uncomplicated", "diabetes_complicated"),
    ("mild_liver", "mild_renal", "severe_liver", "severe_renal"),
    ("tumour", "metastatic"),
)
"""One line of the publication's table each, or degrees of one disease: the heaviest counts alone."""
ACUTE = 3


def stay_points(days: int) -> int:
    return up_to(days, ((0, 0), (1, 1), (2, 2), (3, 3), (6, 4), (13, 5)), 7)


def comorbidity_points(charlson: int) -> int:
    return charlson if charlson <= 3 else 5


def visit_points(visits: int) -> int:
    return min(visits, 4)
