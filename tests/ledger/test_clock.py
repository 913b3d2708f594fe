"""R57: the database's clock is compared with the host's."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from starlette.testclient import TestClient

from cds.cli.serve import refuse_wrong_clock
from cds.errors import LedgerUnavailable, UnsafeToServe
from cds.ledger import Ledger
from cds.ledger.clock import ahead
from cds.ledger.database import connect
from cds.web.app import create_app
from tests.cdshooks.desk import site


def off_by(seconds: float) -> Callable[[], datetime]:
    """A host whose clock is so many seconds behind the database's."""
    return lambda: datetime.now(UTC) - timedelta(seconds=seconds)


def test_the_clocks_of_one_machine_agree(ledger: Ledger, ledger_url: str) -> None:
    found = ledger.clock_ahead(off_by(0))
    if ledger_url.startswith("sqlite"):
        assert found is None
    else:
        assert found is not None
        assert abs(found) < timedelta(seconds=2)


@pytest.fixture
def on_postgres(ledger: Ledger, ledger_url: str) -> Ledger | None:
    return None if ledger_url.startswith("sqlite") else ledger


@pytest.mark.parametrize("seconds", [-3600, -32, 32, 86_400 * 365])
@pytest.mark.proves("R57", "database 32 s or more before or behind the host: the start is refused, on PostgreSQL")
def test_a_wrong_clock_stops_the_start(on_postgres: Ledger | None, ledger: Ledger, seconds: int) -> None:
    if on_postgres is None:
        refuse_wrong_clock(ledger, off_by(seconds))  # the file has no clock that could be wrong
        return
    with pytest.raises(UnsafeToServe, match="set both by NTP"):
        refuse_wrong_clock(ledger, off_by(seconds))


@pytest.mark.parametrize(
    ("seconds", "warned"), [(-28, True), (-7, True), (-3, False), (3, False), (7, True), (28, True)]
)
@pytest.mark.proves("R57", "7 to 28 s apart: a warning and it starts; 3 s: nothing is said")
def test_a_clock_that_is_somewhat_off_is_warned_of(
    on_postgres: Ledger | None, ledger: Ledger, seconds: int, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_wrong_clock(ledger, off_by(seconds))
    assert ("Warning: the clocks" in capsys.readouterr().err) is (warned and on_postgres is not None)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "ok"), (-10, "skewed"), (10, "skewed"), (-40, "failed"), (40, "failed")]
)
def test_readiness_watches_the_clock(on_postgres: Ledger | None, ledger: Ledger, seconds: int, said: str) -> None:
    http = TestClient(create_app(site(), ledger, clock=off_by(seconds)), base_url="http://localhost")
    ready = http.get("/health/ready")
    assert ready.json()["checks"]["clock"] == (said if on_postgres is not None else "not compared")
    fails = said == "failed" and on_postgres is not None
    assert ready.status_code == (HTTPStatus.SERVICE_UNAVAILABLE if fails else HTTPStatus.OK)


def test_a_database_out_of_reach_is_the_ledgers_failure() -> None:
    engine = connect("postgresql://x:canary@127.0.0.1:1/x")
    with pytest.raises(LedgerUnavailable, match="cannot be reached") as raised:
        ahead(engine, off_by(0))
    assert "canary" not in str(raised.value)
