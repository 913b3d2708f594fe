"""What is told beside a kidney failure risk: terms that add up, days scored as today is, what-ifs in range."""

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds import Contribution, Explanation, Missing, OutOfRange, Reading, Risk, RiskModel
from cds.fhir.chart import Chart
from cds.fhir.identity import Identity
from cds.fhir.resources import read_leniently
from cds.risk.explanation import plain_inputs
from cds.risk.history import history
from cds.risk.scoring import score, score_row
from models.kfre.equation import BASELINES, MEANS, Region, kidney_failure_risk
from models.kfre.inputs import FourVariables
from models.kfre.model import Kfre, earlier_risk
from tests import charts
from tests.charts import SCORED, acr, ago, creatinine, model, procedure, risk

PATIENTS = sorted((Path(__file__).resolve().parents[2] / "fhir_fixtures" / "patients").glob("*.json"))
OTHERS = {
    "diabetes": st.sampled_from([0.0, 1.0]),
    "hypertension": st.sampled_from([0.0, 1.0]),
    "albumin": st.floats(1.5, 5.5),
    "phosphate": st.floats(1, 12),
    "bicarbonate": st.floats(8, 45),
    "calcium": st.floats(6, 14),
}


def kfre(variant: str = "kfre-4", **settings: object) -> RiskModel:
    return model(variant, **settings)


def story(path: Path) -> Chart:
    """A fixture's chart, as a site of the tests reads it."""
    resources = [read_leniently(entry["resource"]) for entry in json.loads(path.read_text())["entry"]]
    patient = next(r for r in resources if r.resource_type == "Patient")
    return Chart.of([(r, None) for r in resources], Identity(patient.id or ""), charts.site().vocabulary)


@pytest.mark.proves("PAGE", "the terms of 300 rows add up to the linear predictor of the risk shown, to 1e-12")
@pytest.mark.parametrize("variant", ["kfre-4", "kfre-6", "kfre-8"])
@given(
    age=st.integers(18, 110),
    sex=st.sampled_from(["female", "male"]),
    egfr=st.floats(2, 59.9),
    acr=st.floats(0.5, 20_000),
    region=st.sampled_from(["north-america", "elsewhere"]),
    others=st.fixed_dictionaries(OTHERS),
)
def test_the_contributions_add_up_to_the_number_that_is_shown(
    variant: str, age: int, sex: str, egfr: float, acr: float, region: Region, others: dict[str, float]
) -> None:
    one = kfre(variant, region=region)
    assert isinstance(one, Kfre)
    extra = {name: Reading(others[name]) for name in one.extra_inputs if others[name]}
    row: Any = one.predictors.given(
        charts.AT, age=Reading(age), sex=Reading(sex), egfr=Reading(egfr), acr=Reading(acr), **extra
    )
    told = _explained(one, row)
    linear = sum(term.amount for term in told.contributions)
    for estimate in one.predict(row):
        years = int(estimate.horizon_years)
        baseline = BASELINES[one.variables, region][years]
        assert estimate.probability == pytest.approx(1 - math.pow(baseline, math.exp(linear)), abs=1e-12)
        assert told.risks[estimate.horizon_years] == pytest.approx(1 - baseline)


def test_the_reference_patient_has_no_term_of_her_own() -> None:
    mean = {"age": MEANS["age"] * 10, "egfr": MEANS["egfr"] * 5, "acr": math.exp(MEANS["log_acr"])}
    answers: dict[str, Any] = {name: Reading(value) for name, value in mean.items()}
    told = _explained(kfre(), kfre().predictors.given(charts.AT, **answers, sex=Reading("male")))
    terms = {term.name: term for term in told.contributions}
    assert all(abs(terms[name].amount) < 1e-12 for name in ("Age", "eGFR", "Urine ACR"))
    assert terms["Sex"].reference == "56 in 100 are men"
    assert terms["eGFR"].reference == "36 mL/min/1.73 m²"
    assert terms["Urine ACR"].reference == "170 mg/g"


@pytest.mark.parametrize(
    ("amount", "direction"),
    [(0.5, "raises"), (-0.5, "lowers"), (0.04, "hardly changes"), (-0.04, "hardly changes")],
)
def test_a_term_says_in_words_which_way_it_moves_the_risk(amount: float, direction: str) -> None:
    assert Contribution("x", "1", "0", amount).direction == direction
    assert Contribution("x", "1", "0", amount, "log odds").words == f"{direction} the risk"
    assert Contribution("x", "1", "0", amount, "log value").words == f"{direction} it"


@pytest.mark.parametrize("path", PATIENTS, ids=lambda path: path.stem)
def test_each_day_of_the_history_is_what_the_door_answered_on_that_day(path: Path) -> None:
    chart, one = story(path), kfre()
    [outcome] = score(one, [chart], charts.AT)
    if not isinstance(outcome, Risk):
        return
    told = history(one, chart, outcome)
    assert told is not None
    assert told.risk.points[-1].value == outcome.within(5).probability
    assert told.risk.points[-1].at == charts.AT
    for point in told.risk.points:
        assert _scored_on(one, chart, point.at) == point.value
    assert isinstance(one, Kfre)
    assert isinstance(outcome.row, FourVariables)
    was = earlier_risk(one, outcome.row)
    if was is not None:
        earlier = outcome.row.answers()["earlier"]
        assert was in [point.value for point in told.risk.points if point.at == earlier.when]


def _scored_on(one: RiskModel, chart: Chart, day: datetime) -> float | None:
    [outcome] = score(one, [chart], day)
    return outcome.within(5).probability if isinstance(outcome, Risk) else None


def test_a_day_on_which_nobody_would_have_been_scored_has_an_egfr_and_no_risk() -> None:
    chart = charts.chart(*SCORED, creatinine(1.9, ago(300)), acr(90, ago(300)), procedure("cpt|90935", ago(310)))
    [outcome] = score(kfre(), [chart], charts.AT)
    assert isinstance(outcome, Risk), outcome.text
    told = history(kfre(), chart, outcome)
    assert told is not None
    assert len(told.measured.points) == 2
    assert [point.at for point in told.risk.points] == [told.measured.points[1].at, charts.AT]


def test_a_date_of_the_history_is_no_more_precise_than_the_charts() -> None:
    chart = charts.chart(*SCORED, creatinine(1.9, "2026-05"))
    told = kfre().measured(chart, charts.AT)
    assert told is not None
    assert [point.date for point in told.points] == ["May 2026", "23 Oct 2026"]


def test_a_what_if_is_the_same_equation_with_the_other_number() -> None:
    real = risk(*SCORED)
    changed = score_row(kfre(), kfre().with_changes(real.row, egfr=20.0, acr=1000.0))
    assert isinstance(changed, Risk)
    assert changed.within(5).probability == kidney_failure_risk(4, "north-america", 5, 66, True, 20.0, 1000.0)
    assert real.row.answers()["egfr"].value != 20.0


def test_a_what_if_has_no_source() -> None:
    answer = kfre().with_changes(risk(*SCORED).row, acr=1000.0).answers()["acr"]
    assert (answer.source, answer.also, answer.as_sent, answer.method) == ("", (), "", "hypothetical")


@pytest.mark.parametrize(
    "values", [{"egfr": 60.0}, {"egfr": 4.9}, {"acr": 5001.0}, {"acr": math.nan}, {"acr": math.inf}, {"age": 50.0}]
)
def test_a_what_if_beyond_the_plausible_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(OutOfRange):
        kfre().with_changes(risk(*SCORED).row, **values)


def test_the_knobs_stand_at_the_patients_own_values() -> None:
    assert [(knob.name, knob.value) for knob in kfre().knobs(risk(*SCORED).row)] == [("egfr", 36.0), ("acr", 100.0)]


def test_the_5_year_threshold_is_the_sites_own() -> None:
    shown = [(t.horizon_years, t.percent) for t in kfre(referral_percent=4).thresholds]
    assert shown == [(5, 4), (2, 10), (2, 40)]


def test_a_model_that_tells_nothing_of_itself_still_lists_its_inputs() -> None:
    row = kfre().predictors.given(charts.AT, age=Reading(66, "a"), acr=Missing("too old", "35 mg/g", charts.AT))
    age, ratio = plain_inputs(row, ("age", "acr"))
    assert (age.name, age.value, age.missing) == ("Age", "66 years", "")
    assert (ratio.value, ratio.date, ratio.missing) == ("35 mg/g", "22 Nov 2026", "too old")


def _explained(one: RiskModel, row: object) -> Explanation:
    told = one.explanation(row)
    assert told is not None
    return told
