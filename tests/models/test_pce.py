"""The Pooled Cohort Equations as a model: off by default, race as stated, and why it refuses."""

import math
from importlib.resources import files
from typing import Any

import pytest

from cds import NotScored, Outcome, Reading, Risk
from cds.errors import SiteError
from cds.features.feature import Missing
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.fhir.identity import Identity
from cds.fhir.resources import read_leniently
from cds.risk.conformance import CHECKS, Check
from cds.risk.scoring import score_row
from cds.settings import read_settings
from cds.site import load_site
from models.pce_2013.model import Pce2013, PceSettings, PooledCohort
from tests.charts import AT, ago, chart, lab, patient, procedure

NEVER = Missing("never recorded")


def model() -> Pce2013:
    return Pce2013.build(files("models.pce_2013"), PceSettings(comparator=True))


def outcome(**changes: Any) -> Outcome:
    answers: dict[str, Any] = {
        "age": Reading(55, "a"),
        "sex": Reading("female"),
        "race": Reading("White"),
        "total_cholesterol": Reading(213.0, "mg/dL", AT),
        "hdl_cholesterol": Reading(50.0, "mg/dL", AT),
        "sbp": Reading(120.0, "mm[Hg]", AT),
        "smoking": Reading("never"),
        **changes,
    }
    return score_row(model(), PooledCohort.given(AT, **answers))


def risk(**changes: Any) -> Risk:
    found = outcome(**changes)
    assert isinstance(found, Risk), found.text
    return found


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_model_conforms(check: Check) -> None:
    assert check(model()) == []


def test_it_is_unavailable_until_a_site_asks_for_the_comparison() -> None:
    quiet = load_site(settings=read_settings())
    assert "pce-2013" not in quiet.models
    assert "comparator is not set: write it under [models.pce_2013]" in quiet.unavailable["pce-2013"]
    asked = load_site(settings=read_settings(models={"pce_2013": {"comparator": True}}))
    assert "pce-2013" in asked.models
    with pytest.raises(SiteError, match="comparator"):
        load_site(settings=read_settings(models={"pce_2013": {"comparator": False}}))


def test_it_is_on_no_card() -> None:
    asked = load_site(settings=read_settings(models={"pce_2013": {"comparator": True}}, default_stage="live"))
    assert not [service for service in asked.services.values() if "pce-2013" in service.models]


@pytest.mark.parametrize(
    ("race", "text"),
    [
        (NEVER, "race is not recorded"),
        (Missing("not stated"), "race is not stated"),
        (Reading("Asian"), "race Asian: there are coefficients for Black and for White people only"),
        (Reading("Black or African American and White"), "race Black or African American and White: there are"),
    ],
)
def test_nobody_is_counted_as_black_or_white_who_is_not_said_to_be(race: Any, text: str) -> None:
    found = outcome(race=race)
    assert isinstance(found, NotScored)
    assert found.reason == "race"
    assert found.text.startswith(text)


REFUSED = [
    ({"age": Reading(39, "a")}, "age", "age 39: the equations are for 40 to 79 years"),
    ({"age": Reading(80, "a")}, "age", "age 80: the equations are for 40 to 79 years"),
    ({"sex": Missing("not stated")}, "sex", "sex is not recorded as male or female"),
    ({"ascvd": Reading(True)}, "ascvd", "atherosclerotic cardiovascular disease recorded"),
    ({"total_cholesterol": NEVER}, "total-cholesterol-never-recorded", "no total cholesterol in the last 5 years"),
    ({"hdl_cholesterol": NEVER}, "hdl-cholesterol-never-recorded", "no HDL cholesterol in the last 5 years"),
    ({"sbp": NEVER}, "sbp-never-recorded", "no systolic blood pressure in the last 12 months"),
    ({"smoking": NEVER}, "smoking-never-recorded", "smoking status is not recorded; ask"),
]


@pytest.mark.parametrize(("changes", "reason", "text"), REFUSED, ids=[reason for _, reason, _ in REFUSED])
def test_every_refusal_has_its_reason(changes: dict[str, Any], reason: str, text: str) -> None:
    found = outcome(**changes)
    assert isinstance(found, NotScored)
    assert (found.reason, found.text) == (reason, text)


@pytest.mark.parametrize(("total", "said"), [(239.9, False), (240.0, True)])
def test_an_ldl_that_may_be_too_high_is_said(total: float, said: bool) -> None:
    found = risk(total_cholesterol=Reading(total, "mg/dL", AT))
    assert any("LDL cholesterol is not known" in caution for caution in found.cautions) is said


def test_a_comparator_is_named_one_beside_every_number() -> None:
    assert risk().cautions == ("for comparison only: PREVENT, which asks no race, comes first",)


@pytest.mark.parametrize("race", ["White", "Black or African American"])
@pytest.mark.parametrize("sex", ["female", "male"])
def test_the_contributions_lead_from_the_reference_to_the_patient(race: str, sex: str) -> None:
    found = risk(
        race=Reading(race), sex=Reading(sex), age=Reading(67, "a"), sbp=Reading(151.0), smoking=Reading("current"),
        antihypertensive=Reading(True), diabetes=Reading(True), hdl_cholesterol=Reading(39.0),
    )  # fmt: skip
    told = model().explanation(found.row)  # type: ignore[arg-type]
    times = math.exp(sum(c.amount for c in told.contributions))
    assert {c.scale for c in told.contributions} == {"log hazard"}
    assert 1 - (1 - told.risks[10]) ** times == pytest.approx(found.within(10).probability, abs=1e-12)
    assert told.reference.startswith(
        f"a {race.split(maxsplit=1)[0]} {'woman' if sex == 'female' else 'man'} of 55 with"
    )
    assert "Race" not in [c.name for c in told.contributions]


@pytest.mark.parametrize(("ldl", "scored"), [(189.9, True), (190.0, False), (190.0 - 1e-12, False)])
def test_a_charted_ldl_of_190_is_not_scored(ldl: float, scored: bool) -> None:
    found = outcome(ldl_cholesterol=Reading(ldl, "mg/dL", AT))
    assert isinstance(found, Risk) is scored
    if isinstance(found, NotScored):
        assert (found.reason, "LDL cholesterol 190 mg/dL" in found.text) == ("ldl-cholesterol", True)


def test_an_ldl_that_cannot_be_compared_is_said() -> None:
    found = risk(ldl_cholesterol=Missing("comparator", "> 180 mg/dL"))
    assert any("LDL cholesterol > 180 mg/dL cannot be used (comparator)" in caution for caution in found.cautions)


@pytest.mark.parametrize("code", ["13457-7", "2089-1", "18262-6"])
def test_an_ldl_of_a_chart_is_read(code: str) -> None:
    vocabulary = Vocabulary(PooledCohort.code_sets())
    resources = [read_leniently(one) for one in (patient(), lab(code, 195, "mg/dL", ago(30)))]
    found = Chart.of([(one, None) for one in resources], Identity("p"), vocabulary)
    answer = PooledCohort.ldl_cholesterol.read(found, AT)
    assert isinstance(answer, Reading)
    assert answer.value == 195


@pytest.mark.parametrize(
    "code", ["snomed|232717009", "snomed|415070008", "cpt|33533", "icd9proc|36.12", "icd10pcs|0210093"]
)
def test_a_bypass_or_a_stent_is_a_vascular_disease(code: str) -> None:
    done = PooledCohort.ascvd.read(chart(procedure(code, ago(900))), AT)
    assert isinstance(done, Reading)


def test_an_operation_that_was_not_done_is_none() -> None:
    assert PooledCohort.ascvd.read(chart(procedure("snomed|232717009", ago(9), "not-done")), AT) == NEVER
