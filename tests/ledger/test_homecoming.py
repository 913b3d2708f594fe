"""What waits in the spool comes home in its order, whole or not at all, and what cannot come home is told (R53)."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cds.ledger import Keyring, Ledger
from cds.ledger.spool_file import LIVE, REFUSED, SpoolFile
from cds.ledger.spool_reading import Spooled, packed
from tests.ledger.conftest import answer, feedback


@contextlib.contextmanager
def _busy(url: str) -> Iterator[None]:
    """Another process writes for a moment."""
    database = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    yield
    database.execute("ROLLBACK")
    database.close()


def _until(fulfilled: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not fulfilled():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.proves("R53", "a report sent while its answer waits behind a group that is coming home is joined to it")
def test_a_report_does_not_overtake_the_answer_that_it_is_about(
    sqlite_url: str, keyring: Keyring, tmp_path: Path
) -> None:
    with Ledger.open(sqlite_url, keyring, create=True, deadline=20, spool=tmp_path / "spool") as ledger:
        outage = ledger._outage
        assert outage

        async def sent() -> None:
            given = answer()
            with _busy(sqlite_url):
                await outage.keep(Spooled(answer()))
                await asyncio.sleep(0.5)  # that one is on its way home, and no further one goes with it
                await outage.keep(Spooled(given))
                report = asyncio.create_task(ledger.feedback([feedback(given.card_ids[0])]))
                await asyncio.sleep(0.2)
            await report

        asyncio.run(sent())
        _until(lambda: not ledger.spooled())
        assert [tally.model for tally in ledger.tallies()] == ["kfre-4"], "joined to its answer, and to its model"


@pytest.mark.proves("R53", "an answer set aside shows in readiness until it is recorded or taken away")
def test_what_was_set_aside_shows_until_it_is_brought_home(sqlite_url: str, keyring: Keyring, tmp_path: Path) -> None:
    folder, given = tmp_path / "spool", answer()
    with Ledger.open(sqlite_url, keyring, create=True, spool=folder) as ledger:
        assert ledger.state() == "ok"
        file = SpoolFile.create(folder, REFUSED)
        file.append([packed(Spooled(given))], keyring)
        file.close()
        assert (ledger.state(), ledger.spooled()) == ("spooling", 0)
    with Ledger.open(sqlite_url, keyring, spool=folder) as ledger:
        assert ledger.state() == "spooling", "the next process says so, too"
    file.path.rename(file.path.with_suffix(LIVE))
    with Ledger.open(sqlite_url, keyring, spool=folder) as ledger:
        _until(lambda: ledger.state() == "ok")
        assert list(ledger.answers()) == [given]


@pytest.mark.proves("R53", "40,000 reports of one group come home in one go")
def test_a_great_many_reports_come_home(sqlite_url: str, keyring: Keyring, tmp_path: Path) -> None:
    reports = [feedback(f"card-{number}") for number in range(40_000)]
    with Ledger.open(sqlite_url, keyring, create=True, spool=tmp_path / "spool") as ledger:
        assert ledger._outage
        asyncio.run(ledger._outage.keep(Spooled(feedback=tuple(reports))))
        _until(lambda: not ledger.spooled())
        assert not list((tmp_path / "spool").glob("*.refused"))
        assert sum(tally.reports for tally in ledger.tallies()) == 40_000
