"""The card is still served while the ledger's database is out; with no room to keep it, nothing is shown (R53)."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cds.ledger import Ledger
from tests.cdshooks.charts import kidney
from tests.cdshooks.desk import KEYRING, PATH, Desk, outcome, site


@pytest.fixture
def spooling(tmp_path: Path, empty_ledger: Path) -> Iterator[Desk]:
    """A server with a spool, whose ledger waits not long."""
    desk = Desk(site(), tmp_path, empty_ledger)
    desk.ledger.close()
    served = Ledger.open(f"sqlite:///{desk.database}", KEYRING, deadline=0.3, spool=tmp_path / "spool")
    desk.ledger = desk.state.ledger = served
    desk.state.metrics.spooled.set_function(served.spooled)
    yield desk
    desk.close()


@contextmanager
def out(desk: Desk) -> Iterator[None]:
    database = sqlite3.connect(desk.database, isolation_level=None, timeout=30)
    database.execute("BEGIN EXCLUSIVE")
    yield
    database.execute("ROLLBACK")
    database.close()


@pytest.mark.proves("R53", "10 calls and a reaction during an outage: 10 cards, 11 events spooled, then recorded")
def test_r53_during_an_outage_the_card_is_served_and_recorded_later(spooling: Desk) -> None:
    with out(spooling):
        cards = [spooling.card(kidney()) for _ in range(10)]
        said = {"card": cards[0]["uuid"], "outcome": "overridden", "outcomeTimestamp": "2026-05-04T09:30:00Z"}
        assert spooling.post({"feedback": [said]}, f"{PATH}/feedback").status_code == 200
        assert spooling.answers() == []
        assert "bedside_spooled_events 11.0" in spooling.metrics()
    for _ in range(400):
        if not spooling.ledger.spooled():
            break
        time.sleep(0.05)
    assert [answer.card_ids for answer in spooling.answers()] == [(card["uuid"],) for card in cards]
    assert [record.card for record in spooling.ledger.feedback_records()] == [cards[0]["uuid"]]
    assert "bedside_spooled_events 0.0" in spooling.metrics()


@pytest.mark.proves("R53", "spool full: 503 with Retry-After and no card")
def test_r53_with_the_spool_full_the_answer_is_503_and_no_card(spooling: Desk) -> None:
    assert spooling.ledger._outage
    spooling.ledger._outage.spool._events = 1
    with out(spooling):
        spooling.card(kidney())
        refused = spooling.post(spooling.call(kidney()))
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert outcome(refused)["code"] == "transient"
    assert "cards" not in refused.json()
