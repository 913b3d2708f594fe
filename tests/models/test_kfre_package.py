"""Every variant, region and horizon of the equation beside an independent package (kfre), over random patients."""

import math
import warnings
from itertools import product
from random import Random
from typing import get_args

import pytest
from kfre import risk_pred  # type: ignore[import-untyped]

from models.kfre.equation import Region, Variables, kidney_failure_risk

CASES = list(product(get_args(Variables), get_args(Region), (2, 5)))


def patient(random: Random, variables: Variables) -> dict[str, float]:
    others: dict[Variables, dict[str, float]] = {
        4: {},
        6: {"diabetes": random.randint(0, 1), "hypertension": random.randint(0, 1)},
        8: {
            "albumin": random.uniform(1.5, 5.5),
            "phosphate": random.uniform(1.5, 9.0),
            "bicarbonate": random.uniform(8, 40),
            "calcium": random.uniform(6, 12),
        },
    }
    acr = math.exp(random.uniform(math.log(0.1), math.log(20_000)))
    return {"age": random.uniform(18, 110), "egfr": random.uniform(1, 59.99), "acr": acr, **others[variables]}


@pytest.mark.parametrize(("variables", "region", "years"), CASES)
def test_a_thousand_random_patients_have_the_same_risk(variables: Variables, region: Region, years: int) -> None:
    random = Random(20261122)
    theirs = {"egfr": "eGFR", "acr": "uACR", "diabetes": "dm", "hypertension": "htn", "phosphate": "phosphorous"}
    worst = 0.0
    for _ in range(1000):
        inputs, male = patient(random, variables), random.random() < 0.5
        ours = kidney_failure_risk(variables, region, years, male=male, **inputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of what lies outside the studies, and answers
            other = risk_pred(
                sex=int(male),
                is_north_american=region == "north-america",
                years=years,
                num_vars=variables,
                **{theirs.get(name, name): value for name, value in inputs.items()},
            )
        worst = max(worst, abs(ours - float(other)))
    assert worst < 1e-9
