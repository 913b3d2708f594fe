"""Who calls too often is told when to come again: a tenant by its own rate, a stranger by his address."""

import contextlib
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.cdshooks.desk import PATH, Desk, outcome
from tests.web.clinic import Clinic, clinic, hospital

DISCOVERY = "/cds-services"


def listed(two: Clinic, by: str) -> tuple[int, str | None]:
    signer = two.hospital if by == "hospital" else two.clinic
    response = two.desk.http.get(DISCOVERY, headers=signer.headers(DISCOVERY))
    return response.status_code, response.headers.get("retry-after")


@pytest.mark.proves("R58", "burst 5 at 1/s: 5 calls 200, the 6th 429 with Retry-After 1, 200 again after 1 s")
def test_r58_a_tenant_has_its_rate_and_another_tenant_its_own(open_desk: Callable[..., Desk]) -> None:
    two = Clinic(open_desk, hospital(requests_per_second=1, burst=5), clinic())
    assert [listed(two, "hospital") for _ in range(6)] == [(200, None)] * 5 + [(429, "1")]
    assert listed(two, "clinic") == (200, None)
    two.desk.now += timedelta(seconds=1)
    assert listed(two, "hospital") == (200, None)


@pytest.mark.proves("R58", "10 failures a minute and address: 401, then 429; a good token from there: always 200")
def test_r58_an_address_without_a_good_token_has_to_wait_and_keeps_no_ehr_out(open_desk: Callable[..., Desk]) -> None:
    two = Clinic(open_desk, failures_per_minute=10)
    assert [two.desk.post({}).status_code for _ in range(11)] == [401] * 10 + [429]
    refused = two.desk.post({}, authorization="Bearer forged")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "6")
    assert outcome(refused)["code"] == "throttled"
    assert listed(two, "hospital") == (200, None)
    two.desk.now += timedelta(seconds=6)
    assert two.desk.post({}).status_code == 401


def test_a_call_that_comes_too_early_does_not_use_up_its_token(open_desk: Callable[..., Desk]) -> None:
    two = Clinic(open_desk, hospital(requests_per_second=1, burst=1), clinic())
    headers = [two.hospital.headers(DISCOVERY) for _ in range(2)]
    assert [two.desk.http.get(DISCOVERY, headers=sent).status_code for sent in headers] == [200, 429]
    two.desk.now += timedelta(seconds=1)
    assert two.desk.http.get(DISCOVERY, headers=headers[1]).status_code == 200


@pytest.mark.proves("R50", "one tenant's unfinished bodies hold half of the places at most: another is answered")
def test_a_tenant_that_sends_slowly_leaves_the_others_their_places(open_desk: Callable[..., Desk]) -> None:
    two = Clinic(open_desk, at_once=8)
    with contextlib.ExitStack() as held:
        for _ in range(4):
            held.enter_context(two.desk.state.place("clinic"))
        assert two.desk.post({}, **two.clinic.headers(PATH)).status_code == 503
        assert two.desk.post({}, **two.hospital.headers(PATH)).status_code == 400  # as far as its body
    assert two.desk.post({}, **two.clinic.headers(PATH)).status_code == 400


def test_a_good_call_costs_its_address_nothing(open_desk: Callable[..., Desk]) -> None:
    two = Clinic(open_desk, failures_per_minute=1)
    assert {listed(two, "hospital") for _ in range(20)} == {(200, None)}
