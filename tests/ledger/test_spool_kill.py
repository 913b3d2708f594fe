"""Killed at any moment, the database there or not, no answer that was acknowledged is lost or doubled (R53; D31)."""

import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cds.ledger import Keyring, Ledger

PROGRAM = Path(__file__).parent / "killed_in_outage.py"
ROOT = PROGRAM.parents[2]


@pytest.mark.proof
@pytest.mark.timeout(3000)
@pytest.mark.proves("R53", "1,000 cycles of outages and kills: 0 acknowledged events lost, 0 doubled, 0 set aside")
def test_r53_outages_and_kills_lose_and_double_nothing(
    sqlite_url: str, keyring: Keyring, tmp_path: Path, campaign: Callable[[int], int]
) -> None:
    spool = tmp_path / "spool"
    command = [sys.executable, str(PROGRAM), sqlite_url, keyring.text(), str(spool), str(campaign(1000)), "20261122"]
    ran = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=2900, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    said = Counter(line[:1] if len(line) == 37 else line for line in ran.stdout.decode().split("\n"))
    acknowledged = [line for line in ran.stdout.decode().split("\n") if len(line) == 37]
    assert min(said["a"], said["f"]) > 200, "the children must have lived long enough to record"
    assert said["spooling"] >= 5, "many must have been killed with events in their spool"
    with Ledger.open(sqlite_url, keyring, spool=spool) as ledger:
        assert _brought_home(ledger)
        found = [f"a{answer.id}" for answer in ledger.answers()]
        found += [f"f{report.card}" for report in ledger.feedback_records()]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert list(spool.iterdir()) == []
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT count(*) FROM feedback WHERE answer IS NULL").fetchone() == (0,)


def _brought_home(ledger: Ledger) -> bool:
    for _ in range(1200):
        if not ledger.spooled():
            return True
        time.sleep(0.05)
    return False
