"""PREVENT as a model: whom it scores, by which equations, what it says beside the number, and why it refuses."""

import math
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest

from cds import Estimate, NotScored, Outcome, OutOfRange, Reading, Risk
from cds.features.feature import Missing
from cds.risk.conformance import CHECKS, Check
from cds.risk.scoring import score_row
from models.prevent.equation import probability
from models.prevent.inputs import Prevent
from models.prevent.model import OUTCOMES, PreventModel, PreventSettings
from tests.charts import AT

BY_2021 = "CKD-EPI 2021"
NEVER, OLD = Missing("never recorded"), Missing("too old")


def model(**settings: Any) -> PreventModel:
    return PreventModel.build(files("models.prevent"), PreventSettings(**settings))


def row(**changes: Any) -> Prevent:
    """A woman of 50 whom the base equations score; a change of None takes an answer away."""
    answers: dict[str, Any] = {
        "age": Reading(50, "a"),
        "sex": Reading("female"),
        "total_cholesterol": Reading(200.0, "mg/dL", AT),
        "hdl_cholesterol": Reading(45.0, "mg/dL", AT),
        "sbp": Reading(160.0, "mm[Hg]", AT),
        "bmi": Reading(35.0, "kg/m2", AT),
        "egfr": Reading(90.0, when=AT, method=BY_2021),
        "smoking": Reading("never"),
        "diabetes": Reading(True),
        "antihypertensive": Reading(True),
        **changes,
    }
    return Prevent.given(AT, **answers)


def outcome(settings: dict[str, Any] | None = None, **changes: Any) -> Outcome:
    return score_row(model(**(settings or {})), row(**changes))


def risk(settings: Any = None, **changes: Any) -> Risk:
    found = outcome(settings, **changes)
    assert isinstance(found, Risk), found.text
    return found


def refused(settings: dict[str, Any] | None = None, **changes: Any) -> tuple[str, str]:
    found = outcome(settings, **changes)
    assert isinstance(found, NotScored)
    return found.reason, found.text


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_model_conforms(check: Check) -> None:
    """With it all 520 values of the reference rows come out through the one door, to 1e-9."""
    assert check(model()) == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_model_conforms_where_social_deprivation_is_sent(check: Check) -> None:
    assert check(model(social_deprivation=True)) == []


def test_the_worked_example_of_the_publication() -> None:
    found = risk()
    shown = [[round(found.within(y, label).percent, 1) for label in list(OUTCOMES.values())[:3]] for y in (10, 30)]
    assert shown == [[14.7, 9.2, 8.1], [53.0, 35.4, 39.0]]


@pytest.mark.parametrize(("age", "horizons"), [(30, {10, 30}), (59, {10, 30}), (60, {10}), (79, {10})])
def test_thirty_years_are_for_those_under_sixty(age: int, horizons: set[int]) -> None:
    found = risk(age=Reading(age, "a"))
    assert {e.horizon_years for e in found.estimates} == horizons
    assert [e.outcome for e in found.estimates[:: len(horizons)]] == list(OUTCOMES.values())


ACR, HBA1C, SDI = Reading(40.0, "mg/g", AT), Reading(9.2, "%", AT), Reading(1)


@pytest.mark.parametrize(
    ("changes", "same_as", "said"),
    [
        ({}, "base", "calculated by the PREVENT base equations"),
        ({"acr": ACR}, "uacr", "calculated by the PREVENT equations with urine albumin"),
        ({"hba1c": HBA1C}, "hba1c", "calculated by the PREVENT equations with HbA1c"),
        ({"sdi": SDI}, "sdi", "calculated by the PREVENT equations with social deprivation"),
        (
            {"acr": ACR, "hba1c": HBA1C},
            "full",
            "calculated by the PREVENT full equations with urine albumin-creatinine ratio and HbA1c",
        ),
        ({"acr": ACR, "sdi": SDI}, "full", ""),
        ({"hba1c": HBA1C, "sdi": SDI}, "full", ""),
        ({"acr": ACR, "hba1c": HBA1C, "sdi": SDI}, "full", ""),
    ],
)
def test_the_richest_equations_that_the_chart_supports_are_used_and_named(
    changes: dict[str, Any], same_as: str, said: str
) -> None:
    found = risk(**changes)
    assert found.estimates == risk({"variant": same_as}, **changes).estimates
    assert found.cautions[0].startswith(said or "calculated by the PREVENT full equations")
    others = {"base", "uacr", "hba1c", "sdi", "full"} - {same_as}
    assert all(found.estimates != risk({"variant": other}, **changes).estimates for other in others)
    assert same_as in ("base", "full") or model().standing(row(**changes)) in found.cautions[0].replace(
        "the PREVENT ", "PREVENT, "
    )


def test_what_the_full_equations_ask_and_nobody_knows_is_said() -> None:
    unknown = "social deprivation index is not known: the equations have a term for that"
    assert unknown in risk(acr=ACR, hba1c=HBA1C).cautions
    assert unknown not in risk(acr=ACR, hba1c=HBA1C, sdi=SDI).cautions
    assert unknown not in risk(acr=ACR).cautions


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (Missing("never recorded"), None),
        (Missing("too old"), None),
        (
            Missing("unit not accepted", "35", AT),
            "urine albumin-creatinine ratio 35 (22 Nov 2026) has a unit that is not",
        ),
        (Missing("comparator", "<5 mg/g", AT), "urine albumin-creatinine ratio <5 mg/g (22 Nov 2026) is not an exact"),
        (Missing("not final", "30 mg/g", AT), "urine albumin-creatinine ratio 30 mg/g (22 Nov 2026) is not final"),
    ],
)
def test_an_optional_result_that_cannot_be_used_is_said(missing: Missing, said: str | None) -> None:
    found = risk(acr=missing)
    assert found.estimates == risk().estimates
    mentioned = [caution for caution in found.cautions if caution.startswith("urine")]
    assert mentioned == [] if said is None else mentioned[0].startswith(said) and "was not used" in mentioned[0]


EDGES = [
    ("total_cholesterol", 130, 320, "mg/dL"),
    ("hdl_cholesterol", 20, 100, "mg/dL"),
    ("sbp", 90, 200, "mmHg"),
    ("egfr", 15, 140, "mL/min/1.73 m²"),
    ("acr", 0.1, 25000, "mg/g"),
    ("hba1c", 4.5, 15, "%"),
]


def measured(name: str, value: float) -> dict[str, Any]:
    return {name: Reading(value, when=AT, method=BY_2021 if name == "egfr" else "")}


@pytest.mark.parametrize(("name", "low", "high", "unit"), EDGES)
def test_a_value_beyond_its_range_is_refused_and_never_brought_within(
    name: str, low: float, high: float, unit: str
) -> None:
    at_edges = [risk(**measured(name, value)) for value in (low, high)]
    assert at_edges[0].estimates != at_edges[1].estimates
    for value in (math.nextafter(low, 0) - 1e-6, math.nextafter(high, math.inf) + 1e-6, low / 2, high * 2):
        reason, text = refused(**measured(name, value))
        assert reason == f"{name.replace('_', '-')}-out-of-range"
        assert f"the equations are for {low:g} to {high:g} {unit}" in text


@pytest.mark.parametrize(("bmi", "scored"), [(18.49, False), (18.5, True), (39.9, True), (39.99, True), (40, False)])
def test_a_body_mass_index_has_to_be_below_forty(bmi: float, scored: bool) -> None:
    found = outcome(bmi=Reading(bmi))
    assert isinstance(found, Risk) is scored
    if isinstance(found, NotScored):
        shown = f"{bmi:g} kg/m²: the equations are for 18.5 to under 40 kg/m²"
        assert (found.reason, found.text) == ("bmi-out-of-range", f"body mass index {shown}")


def test_what_the_chosen_equations_do_not_ask_cannot_refuse() -> None:
    assert refused(hba1c=Reading(4.2))[0] == "hba1c-out-of-range"
    assert risk({"variant": "base"}, hba1c=Reading(4.2)).estimates == risk().estimates


REFUSED = [
    ({"deceased": Reading(True, when=AT)}, "deceased", "deceased 22 Nov 2026"),
    ({"age": Reading(29, "a")}, "age", "age 29: the equations are for 30 to 79 years"),
    ({"age": Reading(80, "a")}, "age", "age 80: the equations are for 30 to 79 years"),
    ({"age": NEVER}, "age", "birth date is missing"),
    ({"age": Missing("not precise enough")}, "age", "birth date is not precise enough"),
    ({"sex": Missing("not stated")}, "sex", "sex is not recorded as male or female"),
    (
        {"ascvd": Reading(True, when=AT - timedelta(days=4000))},
        "ascvd",
        "atherosclerotic cardiovascular disease recorded 10 Dec 2015",
    ),
    ({"heart_failure": Reading(True)}, "heart-failure", "heart failure recorded"),
    ({"pregnancy": Reading(True, when=AT)}, "pregnancy", "pregnant, or within 12 weeks of delivery"),
    ({"total_cholesterol": NEVER}, "total-cholesterol-never-recorded", "no total cholesterol in the last 5 years"),
    ({"hdl_cholesterol": OLD}, "hdl-cholesterol-too-old", "no HDL cholesterol in the last 5 years"),
    ({"sbp": NEVER}, "sbp-never-recorded", "no systolic blood pressure in the last 12 months"),
    ({"sbp": Missing("hospital values only")}, "sbp-hospital-values-only", "hospital values only; no outpatient"),
    ({"bmi": NEVER}, "bmi-never-recorded", "no body mass index in the last 24 months"),
    ({"egfr": NEVER}, "egfr-never-recorded", "no creatinine or eGFR in the last 12 months"),
    (
        {"egfr": Reading(60.0, method="CKD-EPI 2009, reported")},
        "egfr-method",
        "eGFR CKD-EPI 2009, reported: the equations take CKD-EPI 2021 from creatinine",
    ),
    (
        {"total_cholesterol": Missing("unit not accepted", "5.2", AT)},
        "total-cholesterol-unit-not-accepted",
        "total cholesterol 5.2 (22 Nov 2026) has a unit that is not accepted, or none",
    ),
    ({"smoking": NEVER}, "smoking-never-recorded", "smoking status is not recorded; ask"),
    ({"smoking": Missing("not stated")}, "smoking-not-stated", "smoking status is recorded as unknown; ask"),
    (
        {"smoking": Missing("too old", "current", AT - timedelta(days=2000))},
        "smoking-too-old",
        "smoking status current (1 Jun 2021) is over 5 years old; ask",
    ),
]


@pytest.mark.parametrize(
    ("changes", "reason", "text"), REFUSED, ids=[f"{r}-{n}" for n, (_, r, _) in enumerate(REFUSED)]
)
def test_every_refusal_has_its_reason(changes: dict[str, Any], reason: str, text: str) -> None:
    found = refused(**changes)
    assert found[0] == reason
    assert found[1].startswith(text)


def test_the_person_is_asked_about_before_the_results() -> None:
    assert refused(ascvd=Reading(True), total_cholesterol=NEVER, smoking=NEVER)[0] == "ascvd"
    assert refused(total_cholesterol=Reading(500.0), smoking=NEVER)[0] == "total-cholesterol-out-of-range"


@pytest.mark.parametrize(("status", "like"), [("current", True), ("former", False), ("never", False)])
def test_only_a_current_smoker_smokes(status: str, like: bool) -> None:
    smokes = risk(smoking=Reading("current")).within(10).probability
    assert (risk(smoking=Reading(status)).within(10).probability == smokes) is like
    assert smokes > risk().within(10).probability


@pytest.mark.parametrize("name", ["diabetes", "antihypertensive", "statin"])
def test_what_a_search_that_was_read_does_not_show_is_absent(name: str) -> None:
    assert risk(**{name: NEVER}).estimates == risk(**{name: Reading(False)}).estimates
    assert risk(**{name: NEVER}).estimates != risk(**{name: Reading(True)}).estimates


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (Missing("not stated", "on-hold C09AA03", AT), "on-hold C09AA03 (22 Nov 2026) has no clear status"),
        (Missing("not readable", "active", AT), "active (22 Nov 2026) cannot be read"),
        (Missing("no date", "active C09AA03"), "active C09AA03 has no date"),
    ],
)
def test_a_drug_of_which_nobody_knows_is_neither_taken_nor_not(missing: Missing, said: str) -> None:
    reason, text = refused(antihypertensive=missing)
    assert reason == f"antihypertensive-{missing.why.replace(' ', '-')}"
    assert text == f"whether an antihypertensive drug is taken is not clear: {said}"
    assert refused(statin=missing)[0].startswith("statin-")


def test_an_old_prescription_is_said_and_does_not_count() -> None:
    old = risk(statin=Missing("too old", "active C10AA05", AT - timedelta(days=500)))
    assert old.estimates == risk().estimates
    assert "the prescription of a statin (10 Jul 2025) is over 12 months old: counted as not taken" in old.cautions


def test_doubts_are_said_beside_the_number() -> None:
    apart = risk(hdl_cholesterol=Reading(45.0, "mg/dL", AT - timedelta(days=3)))
    assert "total and HDL cholesterol were measured on different days" in apart.cautions
    assert "total and HDL cholesterol were measured on different days" not in risk().cautions
    doubtful = risk(hba1c=Reading(7.1, "%", AT), diabetes=NEVER)
    assert "HbA1c 7.1% and no diabetes recorded: scored as without diabetes" in doubtful.cautions
    noted = risk(sbp=Reading(160.0, notes=("two readings only",)))
    assert "two readings only" in noted.cautions
    carried = risk(smoking=Reading("former", notes=("smoking status is of 2015",)))
    assert "smoking status is of 2015" in carried.cautions


@pytest.mark.parametrize("changes", [{}, {"acr": ACR}, {"acr": ACR, "hba1c": HBA1C}, {"age": Reading(71, "a")}])
def test_the_contributions_lead_from_the_reference_to_the_patient(changes: dict[str, Any]) -> None:
    found = risk(**changes)
    for years in {e.horizon_years for e in found.estimates if isinstance(e, Estimate)}:
        told = model().explanation_within(row(**changes), int(years))
        start = math.log(told.risks[years] / (1 - told.risks[years]))
        assert {c.scale for c in told.contributions} == {"log odds"}
        ends = probability(start + sum(c.amount for c in told.contributions))
        assert ends == pytest.approx(found.within(years).probability, abs=1e-12)


def test_the_reference_patient_is_named_and_told_by_the_variant() -> None:
    told = model().explanation_within(row(acr=ACR), 10)
    measured = (
        "total cholesterol 185.6 mg/dL, HDL cholesterol 50.3 mg/dL, systolic blood pressure 130 mmHg, "
        "body mass index 25 kg/m², eGFR 90 mL/min/1.73 m², urine albumin-creatinine ratio 1 mg/g"
    )
    without = "no diabetes, no smoking and no treatment"
    assert told.reference == f"a woman of 55 with {measured}, {without}, by the equations with urine albumin"
    assert [c.name for c in told.contributions][-1] == "Urine albumin-creatinine ratio"
    assert model().explanation(row()).risks.keys() == {30.0}
    assert model().explanation(row(age=Reading(60, "a"))).risks.keys() == {10.0}


def test_a_what_if_stays_within_the_domain() -> None:
    scorer, found = model(), risk(acr=ACR)
    names = [knob.name for knob in scorer.knobs(found.row)]  # type: ignore[arg-type]
    assert names == ["total_cholesterol", "hdl_cholesterol", "sbp", "bmi", "egfr", "acr"]
    lower = score_row(scorer, scorer.with_changes(found.row, sbp=120.0))  # type: ignore[arg-type]
    assert isinstance(lower, Risk)
    assert lower.within(10).probability < found.within(10).probability
    with pytest.raises(OutOfRange, match="90 to 200 mmHg"):
        scorer.with_changes(found.row, sbp=201.0)  # type: ignore[arg-type]


def test_social_deprivation_is_asked_only_where_the_site_sends_it() -> None:
    keys = [need.key for need in model().predictors.needs()]
    assert "sdi" not in keys
    assert [need.key for need in model(social_deprivation=True).predictors.needs()] == [*keys, "sdi"]
    assert "Social deprivation index" not in [one.name for one in model().inputs(row())]
    assert "Social deprivation index" in [one.name for one in model(social_deprivation=True).inputs(row())]
