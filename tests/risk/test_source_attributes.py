"""Each model answers the 31 source attributes: as its card says, as the card implies, or "not available"."""

from importlib.resources import files
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from cds.risk.fact_sheet import fact_sheet
from cds.risk.model_card import SOURCE_ATTRIBUTES, ModelCard
from cds.risk.source_attributes import NOT_AVAILABLE, attributes, schema
from cds.settings import read_settings
from cds.site import load_site
from cds.site.sheets import fact_sheets
from models.kfre.model import Kfre4
from tests.charts import site

SITE = site(region="elsewhere")
SHEETS = fact_sheets(SITE)
GROUPS = (4, 4, 2, 4, 2, 4, 5, 4, 2)
"""How many attributes each of the regulation's nine groups has."""
COMPUTED = {3, 4, 5, 6, 7, 8, 9, 10, 12}


def card(**changes: Any) -> ModelCard:
    raw = yaml.safe_load((files("models.kfre") / "card.yaml").read_text(encoding="utf-8"))
    return ModelCard.model_validate(raw | changes)


def test_the_schema_has_the_regulations_31_in_its_nine_groups() -> None:
    assert [asked.number for asked in schema()] == list(range(1, SOURCE_ATTRIBUTES + 1))
    groups = [asked.group for asked in schema()]
    assert [groups.count(group) for group in dict.fromkeys(groups)] == list(GROUPS)
    assert len({asked.key for asked in schema()}) == SOURCE_ATTRIBUTES
    assert all(asked.wording and asked.key.isidentifier() for asked in schema())


@pytest.mark.parametrize("name", sorted(SHEETS))
def test_every_model_answers_each_of_them(name: str) -> None:
    found = SHEETS[name].attributes
    assert [one.asked for one in found] == list(schema())
    assert all(one.text.strip() for one in found)
    assert {one.asked.number for one in found if one.basis != NOT_AVAILABLE} >= COMPUTED
    assert all((one.text == NOT_AVAILABLE) == (one.basis == NOT_AVAILABLE) for one in found)


@pytest.mark.parametrize("name", sorted(SHEETS))
def test_what_is_unverified_stands_on_every_sheet(name: str) -> None:
    unverified = SITE.models[name].card.unverified
    assert SHEETS[name].unverified == unverified
    risks = [one.text for one in SHEETS[name].attributes if one.asked.key == "known_risks" and one.basis == "computed"]
    assert all(f"UNVERIFIED: {text}" in told for told in risks for text in unverified)


def test_the_author_goes_before_the_card_and_nothing_before_not_available() -> None:
    given = card(source_attributes={5: "To be read aloud.", 6: "not available", 11: "Not available", 13: "One county."})
    found = {one.asked.number: one for one in attributes(given, ())}
    assert (found[5].text, found[5].basis, found[5].repeats) == ("To be read aloud.", "authored", "")
    assert (found[6].text, found[6].basis, found[6].repeats) == (given.population, "computed", "Population")
    assert (found[11].text, found[11].basis) == (NOT_AVAILABLE, NOT_AVAILABLE)
    assert found[13].basis == "authored"
    assert found[2].basis == NOT_AVAILABLE


def test_the_variables_of_the_regulation_are_named_by_the_inputs() -> None:
    (told,) = (one.text for one in attributes(card(), ("age", "sex", "race", "egfr")) if one.asked.number == 12)
    assert "date of birth (as age), sex, race." in told


def test_a_score_is_no_prediction() -> None:
    found = {one.asked.number: one.text for one in attributes(card(horizons_years=[], outcome="NEWS2"), ())}
    assert found[3] == "NEWS2."
    assert found[4].startswith("Evaluation")


@pytest.mark.parametrize("number", [0, 32, "developer"])
def test_an_attribute_that_there_is_not_stops_the_card(number: object) -> None:
    with pytest.raises(ValidationError):
        card(source_attributes={number: "x"})


def test_every_kind_of_threshold_is_told() -> None:
    cuts = [
        {"horizon_years": 5, "percent": 5, "action": "Refer", "source": "A"},
        {"at_least": 2, "outcome": "CHA2DS2-VASc", "action": "Treat", "source": "B"},
        {"above": 2.67, "action": "Scan", "source": "C"},
    ]
    sheet = fact_sheet(Kfre4, card(thresholds=cuts))
    (told,) = (section.lines for section in sheet.sections if section.heading == "Thresholds")
    assert told == ("Above 5% within 5 years: Refer (A)", "CHA2DS2-VASc, 2 or more: Treat (B)", "Above 2.67: Scan (C)")


def test_several_outcomes_without_a_horizon_are_told() -> None:
    several = card(outcome="Stroke risk", outcomes=["CHA2DS2-VASc", "CHA2DS2-VA"], horizons_years=[])
    assert fact_sheet(Kfre4, several).outcome == "CHA2DS2-VASc, CHA2DS2-VA"


def test_a_site_shows_its_own_thresholds_and_settings() -> None:
    sheet = fact_sheets(site(region="elsewhere", referral_percent=3))["kfre-4"]
    told = {section.heading: section.lines for section in sheet.sections}
    assert told["Thresholds"][0].startswith("Above 3% within 5 years")
    assert told["Settings here"] == ("region: elsewhere", "referral percent: 3.0")


def test_a_model_that_is_not_set_up_has_its_sheet_too() -> None:
    bare = load_site(settings=read_settings())
    assert "kfre-4" not in bare.models
    sheet = fact_sheets(bare)["kfre-4"]
    assert sheet.name == "Kidney Failure Risk Equation (4-variable)"
    assert "Settings here" not in {section.heading for section in sheet.sections}
    assert sheet.attributes == SHEETS["kfre-4"].attributes
