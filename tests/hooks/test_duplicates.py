"""One hook event, several services: what one card says or drafts, the next one need not (C82)."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import msgspec
import pytest
from starlette.testclient import TestClient

from cds import Card, Guidance, HookCall, hook
from cds.settings import read_settings
from cds.site import Site, load_site
from cds.web.app import create_app
from tests.cdshooks.broken import SOURCE, beside
from tests.cdshooks.charts import AT, Json, condition, kidney, request
from tests.cdshooks.desk import Desk
from tests.hooks.test_cardiovascular_cards import heart, labels

Open = Callable[..., Desk]
KIDNEY, HEART = "kidney-failure-risk", "cardiovascular-risk"
ORDER = "Order a serum creatinine"
ASKED = heart(condition("433144002"), creatinine=False)
"""Of this woman both services ask a creatinine."""


def both(stage: str = "live") -> Site:
    services = {KIDNEY: {"stage": stage}, HEART: {"stage": "live", "ask_for_missing": True}}
    models = {"kfre": {"region": "north-america"}}
    return load_site(settings=read_settings(services=services, models=models, answer_seconds=20.0))


def answered(
    desk: Desk, service: str, event: str, resources: list[Json], hook: str = "patient-view", **context: str
) -> list[Json]:
    offered = {(found["id"], found["hook"]): found["prefetch"] for found in desk.services()}
    call = request(resources, offered[service, hook], hook=hook, hookInstance=event, context=context)
    response = desk.post(call, f"/cds-services/{service}")
    assert response.status_code == 200, response.text
    cards: list[Json] = response.json()["cards"]
    return cards


def asked(desk: Desk, service: str, event: str, **context: str) -> Json:
    [card] = answered(desk, service, event, ASKED, **context)
    return card


@pytest.fixture
def event() -> str:
    return str(uuid4())


@pytest.mark.parametrize(("first", "second"), [(KIDNEY, HEART), (HEART, KIDNEY)])
def test_c82_an_order_that_another_card_of_the_event_drafts_is_not_drafted_again(
    open_desk: Open, event: str, first: str, second: str
) -> None:
    desk = open_desk(both())
    assert labels(asked(desk, first, event)) == [ORDER]
    again = asked(desk, second, event)
    assert again["summary"]
    assert not {"suggestions", "selectionBehavior"} & set(again)
    said = desk.last()
    assert (said.kind, msgspec.json.decode(said.cards)) == ("card", [again])
    assert msgspec.json.decode(said.body) == {"cards": [again]}


def test_an_answer_of_another_event_user_or_time_takes_nothing_away(open_desk: Open, event: str) -> None:
    desk = open_desk(both())
    asked(desk, KIDNEY, event)
    assert labels(asked(desk, HEART, str(uuid4()))) == [ORDER]
    assert labels(asked(desk, HEART, event, userId="Practitioner/other")) == [ORDER]
    desk.now += timedelta(minutes=6)
    assert labels(asked(desk, HEART, event)) == [ORDER]


def test_what_a_service_in_shadow_would_have_said_takes_nothing_away(open_desk: Open, event: str) -> None:
    desk = open_desk(both(stage="shadow"))
    assert answered(desk, KIDNEY, event, ASKED) == []
    assert labels(asked(desk, HEART, event)) == [ORDER]


def test_a_service_does_not_silence_itself(open_desk: Open, event: str) -> None:
    desk = open_desk(both())
    assert labels(asked(desk, KIDNEY, event)) == [ORDER]
    assert labels(asked(desk, KIDNEY, event)) == [ORDER]  # the replayed answer
    other = [*ASKED, condition("38341003")]
    assert [labels(card) for card in answered(desk, KIDNEY, event, other)] == [[ORDER]]  # and a new one


def test_an_event_that_is_asked_about_again_leaves_out_nothing(open_desk: Open, event: str) -> None:
    """Or two services that saw each other's first answers would both be silent in their second."""
    desk = open_desk(both())
    asked(desk, KIDNEY, event)
    assert labels(asked(desk, HEART, event)) == []
    more = [*ASKED, condition("38341003")]
    assert [labels(card) for card in answered(desk, KIDNEY, event, more)] == [[ORDER]]
    assert [labels(card) for card in answered(desk, HEART, event, more)] == [[ORDER]]


def saying(name: str, indicator: Literal["info", "warning"] = "info", detail: str = "") -> Any:
    @hook("patient-view", "encounter-start", id=name, title=name, description="Says the same", models=("kfre-4",))
    def always(call: HookCall) -> Guidance:
        return Guidance((Card("Nothing new under the sun.", indicator, SOURCE, detail),))

    return always


def test_c82_the_same_card_is_shown_once(open_desk: Open, event: str) -> None:
    desk = open_desk(beside(both(), saying("one"), saying("two")))
    assert len(answered(desk, "one", event, kidney())) == 1
    assert answered(desk, "two", event, kidney()) == []
    said = desk.last()
    assert (said.kind, said.reason, said.cards, said.body) == ("silent", "duplicate", b"[]", b'{"cards":[]}')
    assert said.scores  # what was computed is kept


def test_a_card_with_another_detail_is_another_card(open_desk: Open, event: str) -> None:
    desk = open_desk(beside(both(), saying("one"), saying("two", detail="More.")))
    assert [len(answered(desk, name, event, kidney())) for name in ("one", "two")] == [1, 1]


def test_a_warning_is_never_left_out(open_desk: Open, event: str) -> None:
    desk = open_desk(beside(both(), saying("one", "warning"), saying("two", "warning")))
    assert [len(answered(desk, name, event, kidney())) for name in ("one", "two")] == [1, 1]


def test_another_hook_is_another_event(open_desk: Open, event: str) -> None:
    desk = open_desk(beside(both(), saying("one"), saying("two")))
    assert len(answered(desk, "one", event, kidney())) == 1
    assert len(answered(desk, "two", event, kidney(), hook="encounter-start", encounterId="e")) == 1


def test_a_card_that_was_answered_rests_also_when_a_part_is_left_out(open_desk: Open, event: str) -> None:
    desk = open_desk(both())
    react(desk, asked(desk, HEART, str(uuid4())), HEART)  # with the order
    asked(desk, KIDNEY, event)
    assert answered(desk, HEART, event, ASKED) == []
    assert desk.last().kind == "muted"


def test_a_card_rests_as_it_was_shown_and_comes_back_with_what_was_left_out(open_desk: Open, event: str) -> None:
    desk = open_desk(both())
    asked(desk, KIDNEY, event)
    react(desk, asked(desk, HEART, event), HEART)  # without the order, which the other card drafts
    assert labels(asked(desk, HEART, str(uuid4()))) == [ORDER]  # nobody else drafts it now
    later = str(uuid4())
    asked(desk, KIDNEY, later)
    assert answered(desk, HEART, later, ASKED) == []
    assert desk.last().kind == "muted"


def react(desk: Desk, card: Json, service: str) -> None:
    told = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": desk.now.isoformat()}
    assert desk.post({"feedback": [told]}, f"/cds-services/{service}/feedback").status_code == 200


@pytest.mark.parametrize("first", [KIDNEY, HEART])
def test_without_a_ledger_both_are_shown(first: str, event: str, tmp_path: Path) -> None:
    app = TestClient(create_app(both(), None, clock=lambda: AT), base_url="http://localhost")
    for service in (first, HEART if first == KIDNEY else KIDNEY):
        templates = next(s["prefetch"] for s in app.get("/cds-services").json()["services"] if s["id"] == service)
        call = request(ASKED, templates, hookInstance=event)
        [card] = app.post(f"/cds-services/{service}", json=call).json()["cards"]
        assert labels(card) == [ORDER]
