"""What a clinician reads of FIB-4: one sentence above 2.67, and silence below."""

import pytest
from fhir.resources.R4B.riskassessment import RiskAssessment
from fhir.resources.R4B.servicerequest import ServiceRequest

from cds import SUMMARY_LIMIT
from tests.cdshooks.desk import Desk
from tests.charts import Json
from tests.hooks.score_desk import Open, card, post, served
from tests.models.score_charts import CIRRHOSIS, aged, alt, ast, diagnosed, platelets

SERVICE = "liver-fibrosis"


@pytest.fixture
def desk(open_desk: Open) -> Desk:
    return open_desk(served(SERVICE))


def labs(count: float, years: int = 60) -> list[Json]:
    """AST 80 and ALT 36: at 60 years FIB-4 is 800 through the platelets."""
    return [aged(years), ast(80), alt(36), platelets(count)]


def test_a_high_index_asks_for_a_referral(desk: Desk) -> None:
    said = card(desk, SERVICE, *labs(200))
    assert said["summary"] == "FIB-4 4.00, above 2.67: advanced liver fibrosis is possible. Consider referral."
    assert len(said["summary"]) < SUMMARY_LIMIT
    assert said["indicator"] == "info"
    assert [s["label"] for s in said["suggestions"]] == [
        "Save this risk assessment to the chart",
        "Draft a hepatology referral",
    ]
    for text in ("60", "80 U/L", "36 U/L", "Shah", "acute hepatitis", "does not replace"):
        assert text in said["detail"]


def test_what_it_offers_is_valid_fhir(desk: Desk) -> None:
    save, refer = card(desk, SERVICE, *labs(200))["suggestions"]
    assessment = save["actions"][0]["resource"]
    RiskAssessment.model_validate(assessment)
    ServiceRequest.model_validate(refer["actions"][0]["resource"])
    [prediction] = assessment["prediction"]
    assert "probabilityDecimal" not in prediction
    assert prediction["outcome"]["text"] == "FIB-4"


@pytest.mark.parametrize(("count", "shown"), [(299.6, "2.6702"), (299, "2.68"), (200, "4.00")])
def test_a_value_just_above_is_shown_above(desk: Desk, count: float, shown: str) -> None:
    assert card(desk, SERVICE, *labs(count))["summary"].startswith(f"FIB-4 {shown}, above 2.67:")


@pytest.mark.parametrize(
    "resources",
    [
        labs(299.7),
        labs(700),
        labs(200, years=34),
        [*labs(200), diagnosed(CIRRHOSIS)],
        [*labs(200), diagnosed("icd10cm|B17.10", 20)],
        [aged(60), ast(80), alt(36)],
    ],
    ids=["indeterminate", "rule-out", "under-35", "cirrhosis", "acute-hepatitis", "no-platelets"],
)
def test_silence(desk: Desk, resources: list[Json]) -> None:
    assert card(desk, SERVICE, *resources) == {}
    assert desk.last().reason


def test_a_laboratorys_words_are_harmless(desk: Desk) -> None:
    odd = ast(80, unit="U/L", id="x")
    odd["code"]["text"] = "[click](http://x)"
    assert "](http" not in card(desk, SERVICE, aged(60), odd, alt(36), platelets(200))["detail"]


def test_it_is_off_until_a_site_turns_it_on(open_desk: Open) -> None:
    closed = open_desk(served(SERVICE, stage="off"))
    assert closed.services() == []
    assert closed.post({"hook": "patient-view"}, f"/cds-services/{SERVICE}").status_code == 404


def test_the_same_call_gives_the_same_card(desk: Desk) -> None:
    call = {"hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea"}
    first, second = (post(desk, SERVICE, *labs(200), **call).json() for _ in range(2))
    assert first == second


def test_what_no_source_confirms_is_marked_on_the_card(desk: Desk) -> None:
    listed = len(desk.site.models["fib-4"].card.unverified)
    assert listed
    assert f"UNVERIFIED in FIB-4: {listed} points" in card(desk, SERVICE, *labs(200))["detail"]


def test_where_the_ehr_saves_by_itself_only_the_referral_is_offered(open_desk: Open) -> None:
    saving = open_desk(served(SERVICE, system_action=True))
    said = post(saving, SERVICE, *labs(200)).json()
    assert [s["label"] for s in said["cards"][0]["suggestions"]] == ["Draft a hepatology referral"]
    assert [a["resource"]["resourceType"] for a in said["systemActions"]] == ["RiskAssessment"]


def test_a_site_may_see_a_low_index_and_nothing_is_proposed(open_desk: Open) -> None:
    low = card(open_desk(served(SERVICE, show_low_risk=True)), SERVICE, *labs(400))
    assert low["summary"] == "FIB-4 2.00: nothing in this index calls for action."
    assert [s["label"] for s in low["suggestions"]] == ["Save this risk assessment to the chart"]
    assert "Consider" not in low["detail"]
