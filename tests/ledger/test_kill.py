"""Killed at any moment, the ledger has every answer that it acknowledged, once (R39, R53; a sample, D31)."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cds.ledger import Keyring, Ledger

PROGRAM = Path(__file__).parent / "killed.py"
ROOT = PROGRAM.parents[2]


@pytest.mark.proof
@pytest.mark.timeout(1200)
def test_r53_kills_lose_and_double_nothing(
    sqlite_url: str, keyring: Keyring, tmp_path: Path, campaign: Callable[[int], int]
) -> None:
    command = [sys.executable, str(PROGRAM), sqlite_url, keyring.text(), str(campaign(1000)), "20261122"]
    ran = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=1100, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    acknowledged = [line for line in ran.stdout.decode().split("\n") if len(line) == 36]
    assert len(acknowledged) > 50, "the children must have lived long enough to record"
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Ledger.open(sqlite_url, keyring) as ledger:
        found = [answer.id for answer in ledger.answers()]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert len(acknowledged) == len(set(acknowledged))
