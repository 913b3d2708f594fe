"""Forty faults, each many times over and in any order: every answer is the one that the table of R51 names."""

import json
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest

from tests.cdshooks.broken import MODELS, failing, with_models, with_service
from tests.cdshooks.charts import Json, kidney
from tests.cdshooks.desk import Desk, site
from tests.cdshooks.ehr import BASE, TOKEN, Ehr, ehr
from tests.cdshooks.fixtures import empty_ledger, open_desk
from tests.cdshooks.test_status import CORRECTABLE, SILENCE, UNAVAILABLE

__all__ = ["ehr", "empty_ledger", "open_desk"]

Open = Callable[..., Desk]
Sent = tuple[Desk, Any, int, int]
"""The server, what it is sent, and the status and the number of cards that R51 names."""

ELSEWHERE: dict[str, Callable[[Json], Any]] = {
    "no JSON": lambda call: json.dumps(call)[:-5],
    "another hook": lambda call: call | {"hook": "order-sign"},
    "no context": lambda call: {name: value for name, value in call.items() if name != "context"},
    "a token without a server": lambda call: call | {"fhirAuthorization": TOKEN},
    "a member of the wrong type": lambda call: call | {"hookInstance": 7},
    "nested too deeply": lambda call: json.dumps(call)[:-1] + ',"x":' + "[" * 99 + "]" * 99 + "}",
}


def faults(open_desk: Open, ehr: Ehr) -> dict[str, Callable[[], Sent]]:
    """Each fault as a way to make it once more; a fresh hookInstance each time, so that nothing is replayed."""
    desk = open_desk(fhir_servers=(BASE,))
    found: dict[str, Callable[[], Sent]] = {}
    for name, (chart, _) in SILENCE.items():
        found[name] = made(desk, partial(desk.call, chart), 200, 0)
    for name, (chart, _, _) in CORRECTABLE.items():
        found[name] = made(desk, partial(desk.call, chart), 200, 1)
    for name, (make, _, _) in UNAVAILABLE.items():
        found[name] = made(desk, partial(make, desk, ehr), 412, 0)
    for name, spoil in ELSEWHERE.items():
        found[name] = made(desk, partial(spoiled, desk, spoil), 400, 0)
    for broken in MODELS:
        server = open_desk(with_models(site(), kfre_4=broken))
        found[broken.__name__] = made(server, partial(server.call, kidney()), 500, 0)
    service = open_desk(with_service(site(), failing))
    found["a service that fails"] = made(service, partial(service.call, kidney()), 500, 0)
    closed = open_desk()
    closed.ledger.close()
    found["no ledger"] = made(closed, partial(closed.call, kidney()), 503, 0)
    return found


def made(desk: Desk, body: Callable[[], Any], status: int, cards: int) -> Callable[[], Sent]:
    return lambda: (desk, body(), status, cards)


def spoiled(desk: Desk, spoil: Callable[[Json], Any]) -> Any:
    return spoil(desk.call(kidney()))


def control(desk: Desk) -> Sent:
    """No fault: between faults, what is right stays right."""
    return desk, desk.call(kidney()), 200, 1


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.proves(
    "R51", "40 faults x 250 in make proof (x 12 in make test), in any order: 0 wrong cards, 100 % as the table says"
)
def test_r51_every_fault_is_answered_as_the_table_says(
    open_desk: Open, ehr: Ehr, campaign: Callable[[int], int]
) -> None:
    everything, chance = faults(open_desk, ehr), Random(51)
    assert len(everything) >= 40
    order = [name for name in everything for _ in range(campaign(250))]
    chance.shuffle(order)
    wrong = []
    for name in order:
        ehr.faults.clear()
        server, body, status, cards = everything[name]()
        response = server.post(body)
        shown = len(response.json().get("cards", ()))
        if (response.status_code, shown) != (status, cards):
            wrong.append((name, response.status_code, shown))
    assert wrong == []
    ehr.faults.clear()
    server, body, status, cards = control(everything["low risk"]()[0])
    assert len(server.post(body).json()["cards"]) == cards
