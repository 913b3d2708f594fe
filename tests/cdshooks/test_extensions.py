"""CDS Hooks, section J: what a client may configure, versions, browsers and operations."""

from collections.abc import Callable
from typing import Any

import pytest

from cds.cdshooks.context import HOOK_VERSIONS
from tests.cdshooks.broken import Raises, with_models
from tests.cdshooks.charts import ID, kidney
from tests.cdshooks.desk import PATH, Desk, site, without

CONFIGURATION = "davinci-crd.configuration"
ORIGIN = "https://sandbox.example"


def test_c106_the_options_are_described(desk: Desk) -> None:
    for service in desk.services():
        (option,) = service["extension"]["davinci-crd.configuration-options"]
        assert (option["code"], option["type"]) == ("show-low-risk", "boolean")
        assert option["name"]
        assert option["description"]


@pytest.mark.parametrize(
    ("extension", "shown"),
    [
        (None, False),
        ({}, False),
        ({CONFIGURATION: {"show-low-risk": True}}, True),
        ({CONFIGURATION: {"show-low-risk": False}}, False),
        ({CONFIGURATION: {"show-low-risk": "true"}}, False),
        ({CONFIGURATION: {"show-low-risk": 1}}, False),
        ({CONFIGURATION: {"show-low-risk": None}}, False),
        ({CONFIGURATION: {"max-cards": 3, "stage": "off"}}, False),
        ({CONFIGURATION: ["show-low-risk"]}, False),
        ({CONFIGURATION: None}, False),
        ([], False),
        ("x", False),
    ],
)
def test_c106_what_a_request_configures_is_honoured_and_nonsense_is_ignored(
    desk: Desk, extension: Any, shown: bool
) -> None:
    members = {} if extension is None else {"extension": extension}
    assert bool(desk.card(kidney(48, 30), **members)) is shown
    assert desk.card(kidney(), **members)


def test_c106_a_request_may_also_ask_for_less(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(service={"show_low_risk": True})
    assert desk.card(kidney(48, 30))
    assert not desk.card(kidney(48, 30), extension={CONFIGURATION: {"show-low-risk": False}})


def test_c107_no_version_of_a_guide_is_claimed(desk: Desk) -> None:
    assert all("davinci-crd.version" not in s["extension"] for s in desk.services())
    assert desk.card(kidney(), extension={"davinci-crd.requestedVersion": "2.2"})


def test_c108_extension_is_an_object(desk: Desk) -> None:
    assert all(isinstance(s["extension"], dict) for s in desk.services())


def preflight(desk: Desk, origin: str, path: str = PATH) -> Any:
    return desk.http.options(
        path,
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        },
    )


@pytest.mark.parametrize("path", [PATH, f"{PATH}/feedback", "/cds-services"])
def test_c109_a_named_origin_may_call(open_desk: Callable[..., Desk], path: str) -> None:
    desk = open_desk(browser_origins=(ORIGIN,))
    answer = preflight(desk, ORIGIN, path)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert {"GET", "POST", "OPTIONS"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert {"authorization", "content-type", "accept"} <= allowed
    assert "access-control-allow-credentials" not in answer.headers
    assert desk.post(desk.call(kidney()), origin=ORIGIN).headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "https://sandbox.example.evil.example", "http://sandbox.example"]
)
def test_c109_no_other_origin_may(open_desk: Callable[..., Desk], desk: Desk, origin: str) -> None:
    naming = open_desk(browser_origins=(ORIGIN,))
    for server in (desk, naming):
        assert "access-control-allow-origin" not in preflight(server, origin).headers
        assert "access-control-allow-origin" not in server.post(server.call(kidney()), origin=origin).headers


def test_c110_hooks_are_the_librarys(desk: Desk) -> None:
    assert {s["hook"] for s in desk.services()} <= set(HOOK_VERSIONS)


def test_c111_a_repeated_hook_gives_a_full_answer(desk: Desk) -> None:
    details = {desk.card(kidney())["detail"] for _ in range(3)}
    assert len(details) == 1
    assert len(desk.answers()) == 3


def test_c112_what_is_kept_is_who_what_and_how_fast(desk: Desk) -> None:
    desk.post(desk.call(kidney(), fhirServer="https://ehr.example/fhir"))
    kept = desk.last()
    assert (kept.user, kept.patient) == ("Practitioner/doc", f"Patient/{ID}")
    assert (kept.scores[0].model, kept.scores[0].outcome) == ("kfre-4", "risk")
    assert {"egfr", "acr", "age", "sex"} <= {value["name"] for value in kept.scores[0].inputs}
    assert kept.latency_us > 0
    assert desk.ledger.purge(desk.now) == 0


def test_c113_metrics_count_calls_missing_keys_cards_and_reactions(desk: Desk) -> None:
    card = desk.card(kidney())
    desk.post(desk.call(kidney(48, 30)))
    desk.post(without(desk.call(kidney()), "uacr"))
    desk.post(b"{")
    entry = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": "2026-11-22T14:03:00Z"}
    desk.post({"feedback": [entry]}, f"{PATH}/feedback")
    said = desk.metrics()
    for line in (
        'bedside_answers_total{kind="card",service="kidney-failure-risk",status="200"} 1.0',
        'bedside_answers_total{kind="silent",service="kidney-failure-risk",status="200"} 1.0',
        'bedside_answers_total{kind="unavailable",service="kidney-failure-risk",status="412"} 1.0',
        'bedside_missing_keys_total{key="uacr",service="kidney-failure-risk"} 1.0',
        'bedside_feedback_total{outcome="overridden",service="kidney-failure-risk"} 1.0',
        'bedside_refused_requests_total{status="400"} 1.0',
        'bedside_answer_seconds_count{service="kidney-failure-risk"} 3.0',
    ):
        assert line in said


def test_c113_health(desk: Desk) -> None:
    assert desk.http.get("/health/live").json() == {"status": "live"}
    assert desk.http.get("/health/ready").json()["status"] == "ready"
    desk.state.draining = True
    assert desk.http.get("/health/ready").status_code == 503
    assert desk.http.get("/health/live").status_code == 200


def test_c113_without_its_ledger_a_server_is_not_ready(desk: Desk) -> None:
    desk.database.unlink()
    desk.database.mkdir()
    ready = desk.http.get("/health/ready")
    assert (ready.status_code, ready.json()["checks"]["ledger"]) == (503, "failed")


def test_c114_one_failing_model_is_named_on_the_others_card(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(with_models(site(service={"variant": "kfre-8"}), kfre_8=Raises))
    card = desk.card(kidney())
    assert "15.4%" in card["summary"]
    assert "the model kfre-8 failed and is not shown" in card["detail"]
    assert [(s.model, s.outcome) for s in desk.last().scores] == [("kfre-4", "risk"), ("kfre-8", "failed")]
    assert 'bedside_outcomes_total{model="kfre-8",reason="model-failed"} 1.0' in desk.metrics()


def test_c114_with_no_card_to_name_it_on_the_call_fails(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(with_models(site(service={"variant": "kfre-8"}), kfre_8=Raises))
    assert desk.post(desk.call(kidney(48, 30))).status_code == 500
    both = open_desk(with_models(site(service={"variant": "kfre-8"}), kfre_8=Raises, kfre_4=Raises))
    assert both.post(both.call(kidney())).status_code == 500
