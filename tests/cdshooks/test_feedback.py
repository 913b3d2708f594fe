"""CDS Hooks, section H: what became of the cards."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cdshooks.charts import Json, kidney
from tests.cdshooks.desk import PATH, SERVICE, Desk, outcome

FEEDBACK = f"{PATH}/feedback"
WHEN = "2026-11-22T14:03:00Z"
CARD = "f6b95768-b1c8-40dc-8385-bf3504b82ffb"


def entry(**members: Any) -> Json:
    given = {"card": CARD, "outcome": "overridden", "outcomeTimestamp": WHEN} | members
    return {name: value for name, value in given.items() if value is not ...}


def send(desk: Desk, *entries: Json) -> Any:
    return desk.post({"feedback": list(entries)}, FEEDBACK)


def test_c86_feedback_is_answered_200(desk: Desk) -> None:
    card = desk.card(kidney())
    response = send(
        desk, entry(card=card["uuid"], outcome="accepted", acceptedSuggestions=[{"id": card["suggestions"][0]["uuid"]}])
    )
    assert (response.status_code, response.content) == (200, b"{}")
    assert send(desk).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"feedback":{}}',
        b'{"feedback":null}',
        b'{"feedback":[1]}',
        b'{"feedback":[null]}',
        b'{"feedback":["\xff"]}',
        b'{"feedback":[{"card":"\\ud800"}]}',
        b'{"feedback":' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
def test_c86_what_is_no_feedback_gets_400(desk: Desk, body: bytes) -> None:
    assert desk.post(body, FEEDBACK).status_code == 400


@pytest.mark.parametrize(
    ("change", "at_fault"),
    [
        ({"card": ...}, "card"),
        ({"card": ""}, "card"),
        ({"card": 1}, "card"),
        ({"card": "x" * 129}, "card"),
        ({"outcome": ...}, "outcome"),
        ({"outcome": "ignored"}, "outcome"),
        ({"outcome": "Accepted"}, "outcome"),
        ({"outcomeTimestamp": ...}, "outcomeTimestamp"),
        ({"outcomeTimestamp": "yesterday"}, "outcomeTimestamp"),
        ({"outcomeTimestamp": "2026-11-22"}, "outcomeTimestamp"),
        ({"outcomeTimestamp": "2026-11-22T14:03:00"}, "outcomeTimestamp"),
        ({"outcomeTimestamp": "2026-13-22T14:03:00Z"}, "outcomeTimestamp"),
        ({"outcomeTimestamp": 1}, "outcomeTimestamp"),
        ({"outcomeTimestamp": "0001-01-01T00:00:00+14:00"}, "outcomeTimestamp"),
        ({"outcomeTimestamp": "9999-12-31T23:59:59-14:00"}, "outcomeTimestamp"),
    ],
)
def test_c87_card_outcome_and_time_are_required(desk: Desk, change: Json, at_fault: str) -> None:
    response = send(desk, entry(), entry(**change))
    assert response.status_code == 400
    assert outcome(response)["expression"][0].startswith("feedback[1]")
    assert at_fault in outcome(response)["details"]["text"]


def test_c87_times_are_kept_in_utc(desk: Desk) -> None:
    send(desk, entry(outcomeTimestamp="2026-11-22T16:03:00.5+02:00"))
    (kept,) = desk.ledger.feedback_records()
    assert kept.outcome_timestamp == datetime(2026, 11, 22, 14, 3, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize("suggestions", [..., [], None, [{}], [{"id": 1}], "x"])
def test_c88_accepted_names_what_was_accepted(desk: Desk, suggestions: Any) -> None:
    assert send(desk, entry(outcome="accepted", acceptedSuggestions=suggestions)).status_code == 400
    assert send(desk, entry(outcome="accepted", acceptedSuggestions=[{"id": "a"}, {"id": "b"}])).status_code == 200
    assert next(desk.ledger.feedback_records()).suggestions == ("a", "b")


def test_c89_overridden_without_a_reason_is_valid(desk: Desk) -> None:
    assert send(desk, entry()).status_code == 200


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ({}, 400),
        ({"reason": {"code": "x"}}, 400),
        ({"reason": {"system": "urn:x"}}, 400),
        ({"reason": {"code": "", "system": "urn:x"}}, 400),
        ({"userComment": ""}, 400),
        ({"reason": None}, 400),
        ({"userComment": 1}, 400),
        ("x", 400),
        ([], 400),
        ({"reason": {"code": "x", "system": "urn:x"}}, 200),
        ({"reason": {"code": "x", "system": "urn:x", "display": "X"}}, 200),
        ({"userComment": "seen"}, 200),
        ({"reason": {"code": "x", "system": "urn:x"}, "userComment": "seen"}, 200),
    ],
)
def test_c90_a_reason_has_a_code_or_a_comment(desk: Desk, reason: Any, status: int) -> None:
    assert send(desk, entry(overrideReason=reason)).status_code == status


@pytest.mark.proves("R48", "several reports of one card are appended: 3 cards, 4 reports")
def test_c91_many_cards_and_many_reports_of_one_are_appended(desk: Desk) -> None:
    cards = [desk.card(kidney())["uuid"] for _ in range(3)]
    assert send(desk, *(entry(card=card) for card in cards)).status_code == 200
    assert send(desk, entry(card=cards[0], outcomeTimestamp="2026-11-22T15:00:00Z")).status_code == 200
    assert [record.card for record in desk.ledger.feedback_records()] == [*cards, cards[0]]
    (tally,) = desk.ledger.tallies()
    assert (tally.cards, tally.reports) == (3, 4)


@pytest.mark.proves("R48", "feedback on a uuid that is none of ours: 200")
def test_c93_a_card_that_we_never_sent_is_kept_as_an_orphan(desk: Desk) -> None:
    assert send(desk, entry(card="not-even-a-uuid")).status_code == 200
    (tally,) = desk.ledger.tallies()
    assert (tally.model, tally.reports) == (None, 1)


def test_c93_one_bad_entry_and_nothing_is_kept(desk: Desk) -> None:
    response = send(desk, entry(), entry(card="b"), entry(outcome="?"), entry(card="d"))
    assert (response.status_code, outcome(response)["expression"]) == (400, ["feedback[2].outcome"])
    assert list(desk.ledger.feedback_records()) == []
    assert "bedside_feedback_total{" not in desk.metrics()


def test_c93_the_number_of_entries_is_limited(desk: Desk) -> None:
    assert send(desk, *[entry()] * 1000).status_code == 200
    assert send(desk, *[entry()] * 1001).status_code == 400


def test_c94_a_comment_is_limited_and_sealed(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    comment = "comment-canary " * 200
    assert send(desk, entry(overrideReason={"userComment": "x" * 4001})).status_code == 400
    assert send(desk, entry(overrideReason={"userComment": comment})).status_code == 200
    assert next(desk.ledger.feedback_records()).comment == comment
    desk.ledger.close()
    stored = b"".join(path.read_bytes() for path in desk.database.parent.iterdir())
    assert b"comment-canary" not in stored
    assert "comment-canary" not in desk.metrics() + capfd.readouterr().out


def test_c95_the_same_report_twice_is_one(desk: Desk) -> None:
    report = entry(outcome="accepted", acceptedSuggestions=[{"id": "a"}])
    for _ in range(3):
        assert send(desk, report, report).status_code == 200
    assert len(list(desk.ledger.feedback_records())) == 1
    assert send(desk, report | {"acceptedSuggestions": [{"id": "b"}]}).status_code == 200
    assert len(list(desk.ledger.feedback_records())) == 2


def test_c96_feedback_joins_its_card_and_model(desk: Desk) -> None:
    card = desk.card(kidney())
    reason = {"reason": {"code": "action-completed", "system": "urn:x"}}
    send(desk, entry(card=card["uuid"], overrideReason=reason))
    (tally,) = desk.ledger.tallies()
    assert (tally.service, tally.model, tally.outcome, tally.reason) == (
        SERVICE,
        "kfre-4",
        "overridden",
        "action-completed",
    )
    assert tally.version == desk.site.models["kfre-4"].version


def test_the_corpus_of_feedback_is_accepted(desk: Desk, shared_data: Path) -> None:
    bodies = sorted((shared_data / "corpus").glob("spec-*/feedback-*.json"))
    assert len(bodies) == 6
    for body in bodies:
        response = desk.post(json.loads(body.read_text()), FEEDBACK)
        assert response.status_code == 200, (body.name, response.text)
