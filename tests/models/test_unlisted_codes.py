"""What no list knows is said beside a score, and a suspicion is called one (A2, A10, A21)."""

import pytest

from cds import NotScored, Outcome, Risk
from cds.risk.scoring import score
from tests.charts import AT, Json, ago, chart, condition, site
from tests.models.score_charts import AF, WARFARIN, aged, answer, diagnosed, taking


def cautions(model: str, *resources: Json) -> tuple[str, ...]:
    [found] = score(site().models[model], [chart(*resources, who=aged(70))], AT)
    return told(found)


def told(found: Outcome) -> tuple[str, ...]:
    assert isinstance(found, (Risk, NotScored))
    return found.cautions


@pytest.mark.parametrize("code", ["rxnorm|999999999", "http://hl7.org/fhir/sid/ndc|00000000001"])
def test_a_current_medication_that_no_list_knows_is_said(code: str) -> None:
    said = cautions("has-bled", diagnosed(AF), taking(code), taking("rxnorm|999999998"))
    assert "2 current medications have codes that no list here knows, and did not count" in said


@pytest.mark.parametrize(
    "resource",
    [taking(WARFARIN), taking("rxnorm|999999999", status="stopped"), taking("rxnorm|999999999", days=500)],
)
def test_one_that_is_known_or_over_is_not(resource: Json) -> None:
    assert not [caution for caution in cautions("has-bled", diagnosed(AF), resource) if "no list" in caution]


def test_diagnoses_that_no_list_knows_are_said_beside_lace() -> None:
    unknown = [condition("snomed|999999990", ago(90)), condition("urn:hospital|x1", ago(90))]
    coded = [condition("icd10cm|E78.5", ago(90)), condition("snomed|84114007", ago(90))]
    said = cautions("lace", *unknown, *coded)
    assert "2 diagnoses have codes that no list here knows, and did not count" in said


def test_diagnoses_that_a_list_knows_are_not() -> None:
    said = cautions("lace", condition("icd10cm|E78.5", ago(90)), condition("snomed|999999990", verification="refuted"))
    assert not [caution for caution in said if "no list" in caution]


@pytest.mark.parametrize("verification", ["provisional", "differential", "unconfirmed"])
def test_a_suspicion_that_gives_points_is_called_one(verification: str) -> None:
    suspected = condition("icd10cm|K74.60", ago(90), "active", verification=verification)
    said = cautions("has-bled", diagnosed(AF), suspected, answer("alcohol_8_drinks_a_week", "snomed|373067005"))
    assert "cirrhosis: only a provisional or differential diagnosis" in said


def test_a_firm_diagnosis_beside_a_suspicion_is_firm() -> None:
    both = [condition("icd10cm|K74.60", ago(90), "active", verification=v) for v in ("provisional", "confirmed")]
    assert not [caution for caution in cautions("has-bled", diagnosed(AF), *both) if "provisional" in caution]


def test_a_suspected_comorbidity_is_called_one_in_lace() -> None:
    said = cautions("lace", condition("icd10cm|G30.9", ago(90), "active", verification="provisional"))
    assert "dementia: only a provisional or differential diagnosis" in said


def test_who_z86_7_is_a_stroke_for_has_bled_as_for_cha2ds2() -> None:
    row = site().models["has-bled"].predictors.read(chart(diagnosed(AF), diagnosed("icd10who|Z86.7")), AT)
    assert row.answers()["stroke"].value is True
