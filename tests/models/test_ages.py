"""Ages at which every model is silent or says so: under 18 none scores, and over 90 each that scores says it."""

from typing import Any

import pytest

from cds.risk.model import RiskModel
from tests.charts import AT, site

MODELS = sorted(site().models.values(), key=lambda model: model.id)


def of_age(model: RiskModel, years: int) -> Any:
    return model.predictors.given(AT, age=years)


def said_over_90(model: RiskModel, years: int) -> bool:
    return any(caution.startswith("age over 90") for caution in model.cautions(of_age(model, years)))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_nobody_under_18_is_scored(model: RiskModel) -> None:
    refusal = model.refuse(of_age(model, 17))
    assert refusal is not None
    assert refusal.reason.startswith("age")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_over_90_is_said_beside_the_number(model: RiskModel) -> None:
    refusal = model.refuse(of_age(model, 91))
    assert said_over_90(model, 91) or (refusal is not None and refusal.reason.startswith("age"))
    assert not said_over_90(model, 90)
