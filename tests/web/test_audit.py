"""What the ledger's chain tells besides answers: refusals, replays, mismatches and rates, without a word of a token."""

from collections.abc import Callable

import pytest

from tests.cdshooks.charts import UACR, Json, kidney, lab, request
from tests.cdshooks.desk import PATH, Desk, with_key
from tests.web.clinic import CLINIC, HOSPITAL, Clinic, clinic, hospital


@pytest.fixture
def two(open_desk: Callable[..., Desk]) -> Clinic:
    return Clinic(open_desk, hospital(), clinic(requests_per_second=1, burst=1))


def call(two: Clinic) -> Json:
    listed = two.desk.http.get("/cds-services", headers=two.hospital.headers("/cds-services")).json()
    return request(kidney(), listed["services"][0]["prefetch"])


def told(two: Clinic) -> list[tuple[str, str, str]]:
    return [
        (event.kind, event.tenant, event.detail.get("reason", ""))
        for event in two.desk.ledger.events()
        if event.kind != "chain-begins"
    ]


@pytest.mark.proves("R38", "a refused and a replayed token: one event each, under the tenant that was claimed")
def test_r38_a_refused_and_a_replayed_token_are_noted(two: Clinic) -> None:
    headers = two.hospital.headers()
    body = call(two)
    assert [two.desk.post(body, **headers).status_code for _ in range(2)] == [200, 401]
    assert two.desk.post(body).status_code == 401
    assert two.desk.post(body, **two.clinic.headers(exp=1, iat=0)).status_code == 401
    expected = [
        ("token-replayed", HOSPITAL, "replayed"),
        ("token-refused", "local", "no token"),
        ("token-refused", CLINIC, "expired"),
    ]
    assert told(two) == expected
    assert [verdict.broken for verdict in two.desk.ledger.verify()] == [None] * 3


@pytest.mark.proves("R38", "another patient's resource: one event, with who asked and for whom")
def test_r38_a_mismatch_is_noted_with_who_asked(two: Clinic) -> None:
    wrong = with_key(call(two), "uacr", lab(UACR, 310, "mg/g", of="somebody-else"))
    assert two.post(wrong, two.hospital).status_code == 412
    (event,) = [event for event in two.desk.ledger.events() if event.kind == "wrong-patient"]
    assert (event.tenant, event.who, event.outcome) == (HOSPITAL, "Practitioner/doc", "refused")
    assert event.patient == two.desk.last().patient
    assert event.detail == {"service": PATH.rpartition("/")[2], "answer": two.desk.last().id}


@pytest.mark.proves("R38", "10 calls over a tenant's rate within a minute: one event")
def test_r38_a_rate_that_is_exceeded_is_noted_once_a_minute(two: Clinic) -> None:
    body = call(two)
    statuses = [two.post(body, two.clinic).status_code for _ in range(11)]
    assert statuses == [200] + [429] * 10
    assert told(two) == [("rate-limited", CLINIC, "")]


@pytest.mark.proves("R38", "what is served at the start: one event for each model of each tenant")
def test_r38_each_model_that_is_served_is_noted_at_the_start(two: Clinic) -> None:
    with two.desk.http:  # starts the application as a server does
        found = [event for event in two.desk.ledger.events() if event.kind == "model-activated"]
    assert [(event.tenant, event.detail["model"]) for event in found] == [(HOSPITAL, "kfre-4"), (CLINIC, "kfre-4")]
