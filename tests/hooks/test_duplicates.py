"""One hook event, several services: what one card says or drafts, the next one need not (C82)."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal
from uuid import uuid4

import msgspec
import pytest

from cds import Card, Guidance, HookCall, hook
from cds.settings import read_settings
from cds.site import Site, load_site
from tests.cdshooks.broken import SOURCE, beside
from tests.cdshooks.charts import Json, condition, kidney, request
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


def answered(desk: Desk, service: str, event: str, resources: list[Json], **context: str) -> list[Json]:
    templates = next(found["prefetch"] for found in desk.services() if found["id"] == service)
    call = request(resources, templates, hookInstance=event, context=context)
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


def saying(name: str, indicator: Literal["info", "warning"]) -> Any:
    @hook("patient-view", id=name, title=name, description="Always says the same", models=("kfre-4",))
    def always(call: HookCall) -> Guidance:
        return Guidance((Card("Nothing new under the sun.", indicator, SOURCE),))

    return always


def test_c82_the_same_card_is_shown_once(open_desk: Open, event: str) -> None:
    desk = open_desk(beside(both(), saying("one", "info"), saying("two", "info")))
    assert len(answered(desk, "one", event, kidney())) == 1
    assert answered(desk, "two", event, kidney()) == []
    said = desk.last()
    assert (said.kind, said.reason, said.cards, said.body) == ("silent", "duplicate", b"[]", b'{"cards":[]}')
    assert said.scores  # what was computed is kept


def test_a_warning_is_never_left_out(open_desk: Open, event: str) -> None:
    desk = open_desk(beside(both(), saying("one", "warning"), saying("two", "warning")))
    assert [len(answered(desk, name, event, kidney())) for name in ("one", "two")] == [1, 1]
