"""CDS Hooks, section F: cards, suggestions, links and actions."""

import json
import re
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from cds import Action, Card, Guidance, HookCall, Suggestion, hook
from cds.cdshooks.card import on_wire
from cds.errors import ModelFailed
from tests.cdshooks.broken import SOURCE, saying, with_service
from tests.cdshooks.charts import ID, UACR, Json, condition, kidney, lab, person
from tests.cdshooks.desk import SERVICE, Desk, outcome, site

CHARTS: dict[str, list[Json]] = {
    "refer": kidney(),
    "high": kidney(16, 1400, age=58),
    "middle": kidney(22, 900),
    "egfr below 30": kidney(28, 10, age=80),
    "missing": kidney(34, None),
    "unit": kidney(34, 35, unit=None),
    "bound": kidney(34, 300, valueQuantity={"value": 300, "unit": "mg/g", "comparator": ">"}),
    "stale": [person(), lab("2160-0", 2.0, "mg/dL", ago=400), condition("433144002")],
}


@pytest.fixture(params=CHARTS)
def card(request: pytest.FixtureRequest, desk: Desk) -> Json:
    found = desk.card(CHARTS[request.param], context={"encounterId": "e1"})
    assert found
    return found


def actions(card: Json) -> list[Json]:
    return [action for s in card.get("suggestions", []) for action in s["actions"]]


def resources(card: Json, kind: str) -> list[Json]:
    return [a["resource"] for a in actions(card) if a["resource"]["resourceType"] == kind]


def valid(resource: Json) -> None:
    """Validated by an implementation that is not ours."""
    name = resource["resourceType"]
    model = getattr(import_module(f"fhir.resources.R4B.{name.lower()}"), name)
    model.model_validate(resource)


@pytest.mark.parametrize("chart", CHARTS)
def test_c57_success_is_200_with_cards(desk: Desk, chart: str, shared_data: Path) -> None:
    response = desk.post(desk.call(CHARTS[chart]))
    assert response.status_code == 200
    assert list(response.json()) == ["cards"]
    schema = json.loads((shared_data / "corpus/schemas-derived/response.schema.json").read_text())
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    assert [error.message for error in checker.iter_errors(response.json())] == []


def test_c58_silence_is_an_empty_list(desk: Desk) -> None:
    response = desk.post(desk.call(kidney(48, 30)))
    assert (response.status_code, response.content) == (200, b'{"cards":[]}')
    assert desk.last().kind == "silent"


def test_c59_summary_is_one_plain_sentence_under_140_characters(card: Json) -> None:
    assert 0 < len(card["summary"]) < 140
    assert card["summary"].isprintable()
    assert not re.search(r"[*_`#|<]", card["summary"].replace("<0.1%", ""))


@pytest.mark.parametrize(("length", "passes"), [(0, False), (1, True), (139, True), (140, False)])
@pytest.mark.parametrize("letter", ["x", "é", "肾", "🩺"])
def test_c59_characters_are_counted_not_bytes(length: int, passes: bool, letter: str) -> None:
    card = Card(letter * length, "info", SOURCE)
    if passes:
        assert on_wire([card], "seed")[0]["summary"] == letter * length
    else:
        with pytest.raises(ModelFailed):
            on_wire([card], "seed")


def test_c60_indicator_is_of_the_three_and_never_critical(card: Json) -> None:
    assert card["indicator"] in ("info", "warning")


def test_c61_source_has_a_label(card: Json) -> None:
    assert card["source"]["label"] == "Kidney Failure Risk Equation (4-variable, North America)"


def test_c62_source_has_an_absolute_url_and_a_topic(card: Json) -> None:
    assert card["source"]["url"].startswith("https://")
    assert set(card["source"]["topic"]) == {"code", "system", "display"}
    assert "icon" not in card["source"]


def test_c63_detail_is_markdown_whose_tables_stand_alone(card: Json) -> None:
    lines = card["detail"].split("\n")
    for number, line in enumerate(lines):
        if line.startswith("|"):
            assert number == 0 or lines[number - 1] == "" or lines[number - 1].startswith("|")
            assert number == len(lines) - 1 or lines[number + 1] == "" or lines[number + 1].startswith("|")
            assert len(re.findall(r"(?<!\\)\|", line)) == 4
    assert any(line == "| --- | --- | --- |" for line in lines)
    assert not re.search(r"<[a-z/!]", card["detail"])


def test_c64_card_ids_are_uuids_and_unique(desk: Desk) -> None:
    ids = [desk.card(CHARTS[name])["uuid"] for name in CHARTS] + [desk.card(CHARTS["refer"])["uuid"]]
    assert len(set(ids)) == len(ids)
    assert all(str(uuid.UUID(id_)) == id_ for id_ in ids)


def test_c65_suggestions_have_ids(card: Json) -> None:
    ids = [s["uuid"] for s in card["suggestions"]]
    assert len({*ids, card["uuid"]}) == len(ids) + 1
    assert all(str(uuid.UUID(id_)) == id_ for id_ in ids)


def test_c66_suggestions_come_with_a_selection_behaviour(card: Json, desk: Desk) -> None:
    assert card["selectionBehavior"] == "any"
    assert "selectionBehavior" not in on_wire([Card("x", "info", SOURCE)], "s")[0]


def test_c67_each_suggestion_has_a_label(card: Json) -> None:
    assert all(s["label"] for s in card["suggestions"])


def test_c68_nothing_is_at_most_one(card: Json) -> None:
    assert card["selectionBehavior"] != "at-most-one"
    assert sum(s.get("isRecommended", False) for s in card["suggestions"]) <= 1


def test_c69_action_selection_behaviour_is_not_sent(card: Json) -> None:
    assert all("actionSelectionBehavior" not in s for s in card["suggestions"])


def test_c70_each_action_has_a_type_and_a_description(card: Json) -> None:
    assert {a["type"] for a in actions(card)} == {"create"}
    assert all(a["description"] for a in actions(card))


def test_c71_create_carries_a_new_resource(card: Json) -> None:
    for action in actions(card):
        assert "id" not in action["resource"]
        assert "resourceId" not in action
        valid(action["resource"])


def test_c72_delete_names_a_resource_and_carries_none() -> None:
    gone = Suggestion("Stop", (Action("delete", "Stop it", resourceId="MedicationRequest/1"),))
    sent = json.loads(json.dumps(on_wire([Card("x", "info", SOURCE, suggestions=(gone,))], "s"), default=_encoded))
    assert sent[0]["suggestions"][0]["actions"] == [
        {"type": "delete", "description": "Stop it", "resourceId": "MedicationRequest/1"}
    ]


def _encoded(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def test_c73_each_suggestion_is_one_action(card: Json) -> None:
    assert [len(s["actions"]) for s in card["suggestions"]] == [1] * len(card["suggestions"])


def test_c74_override_reasons_are_coded_and_stable(card: Json, shared_data: Path) -> None:
    reasons = card["overrideReasons"]
    known = (shared_data / "corpus/vocabulary/CodeSystem-non-adherence-reason-codes.json").read_text()
    assert [r["code"] for r in reasons] == [
        "action-completed",
        "action-not-priority",
        "does-not-align-preferences",
        "recipient-does-not-trust",
        "cds-not-applicable",
    ]
    for reason in reasons:
        assert set(reason) == {"code", "system", "display"}
        assert f'"{reason["code"]}"' in known
        assert reason["system"] in known


def test_c75_links_have_label_url_and_type(card: Json) -> None:
    assert card["links"]
    for link in card["links"]:
        assert link["label"]
        assert link["url"].startswith("https://")
        assert link["type"] == "absolute"


def test_c76_an_absolute_link_has_no_app_context(card: Json) -> None:
    assert all("appContext" not in link for link in card["links"])


def test_c77_no_link_launches_by_itself(card: Json) -> None:
    assert not any(name.lower() == "autolaunchable" for link in card["links"] for name in link)


def test_c78_all_guidance_is_in_the_card(card: Json) -> None:
    assert not any(link.get("autolaunchable") for link in card["links"])


def test_c79_system_actions_only_where_the_site_agreed(desk: Desk, open_desk: Callable[..., Desk]) -> None:
    assert "systemActions" not in desk.post(desk.call(kidney())).json()
    agreed = open_desk(service={"system_action": True})
    response = agreed.post(agreed.call(kidney())).json()
    (saved,) = response["systemActions"]
    assert (saved["type"], saved["resource"]["resourceType"]) == ("create", "RiskAssessment")
    assert saved["description"]
    assert resources(response["cards"][0], "RiskAssessment") == []
    assert agreed.post(agreed.call(kidney(48, 30))).json() == {"cards": []}


def test_c80_risk_assessment_says_what_it_rests_on(desk: Desk) -> None:
    (risk,) = resources(desk.card(kidney(), context={"encounterId": "e1"}), "RiskAssessment")
    valid(risk)
    assert (risk["status"], risk["subject"]) == ("final", {"reference": f"Patient/{ID}"})
    assert (risk["encounter"], risk["occurrenceDateTime"]) == ({"reference": "Encounter/e1"}, "2026-11-22T14:02:00Z")
    (method,) = risk["method"]["coding"]
    assert (method["code"], method["version"]) == ("kfre-4", desk.site.models["kfre-4"].version)
    assert {b["reference"] for b in risk["basis"]} >= {"Observation/2160-0-20", f"Observation/{UACR}-20"}
    two, five = risk["prediction"]
    assert (two["whenRange"]["high"]["value"], five["whenRange"]["high"]["value"]) == (2, 5)
    assert five["rationale"] == f"{five['probabilityDecimal']:.1f} % within 5 years"
    assert 1 < five["probabilityDecimal"] < 100
    assert desk.last().scores[0].estimates[1]["probability"] == pytest.approx(
        five["probabilityDecimal"] / 100, abs=1e-8
    )


@pytest.mark.parametrize("chart", CHARTS)
def test_c80_what_is_drafted_is_valid_fhir(desk: Desk, chart: str) -> None:
    for resource in [a["resource"] for a in actions(desk.card(CHARTS[chart], context={"encounterId": "e1"}))]:
        valid(resource)
        assert resource["encounter"] == {"reference": "Encounter/e1"}
        if resource["resourceType"] == "ServiceRequest":
            assert (resource["status"], resource["intent"]) == ("draft", "proposal")
            assert resource["requester"] == {"reference": "Practitioner/doc"}


def test_c80_a_patient_is_not_the_requester(desk: Desk) -> None:
    card = desk.card(kidney(), context={"userId": f"Patient/{ID}"})
    assert "requester" not in resources(card, "ServiceRequest")[0]


def test_c81_an_answer_that_took_too_long_is_503(open_desk: Callable[..., Desk]) -> None:
    @hook("patient-view", id=SERVICE, title="t", description="d", models=("kfre-4",))
    def slow(call: HookCall) -> Guidance:
        time.sleep(0.05)
        return Guidance((Card("x", "info", SOURCE),))

    desk = open_desk(with_service(site(answer_seconds=0.04), slow))
    response = desk.post(desk.call(kidney()))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert outcome(response)["code"] == "throttled"
    assert (desk.last().status, desk.last().kind, desk.last().cards) == (503, "failed", b"[]")
    assert open_desk(with_service(site(), slow)).post(desk.call(kidney())).status_code == 200


def test_c82_cards_are_ordered_by_urgency(open_desk: Callable[..., Desk]) -> None:
    cards = [Card(f"{i}-{n}", i, SOURCE) for n in range(2) for i in ("info", "warning", "critical")]
    desk = open_desk(with_service(site(), saying(*cards)))
    found = [c["summary"] for c in desk.post(desk.call(kidney())).json()["cards"]]
    assert found == ["critical-0", "critical-1", "warning-0", "warning-1", "info-0", "info-1"]


def test_one_card_for_each_call(desk: Desk) -> None:
    for name in CHARTS:
        assert len(desk.post(desk.call(CHARTS[name])).json()["cards"]) == 1


def test_a_card_that_would_be_cut_off_is_not_sent(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(with_service(site(), saying(Card("x", "info", SOURCE), Card("x" * 140, "info", SOURCE))))
    response = desk.post(desk.call(kidney()))
    assert (response.status_code, outcome(response)["code"]) == (500, "exception")
    assert desk.last().cards == b"[]"


def test_the_clock_is_an_argument(desk: Desk) -> None:
    desk.now += timedelta(days=366)
    assert "no creatinine or eGFR in the last 12 months" in desk.card([*kidney(), condition("433144002")])["summary"]
