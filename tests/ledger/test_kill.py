"""Killed at any moment, the ledger has every answer that it acknowledged, once (R39, R53; a sample, D31)."""

import sqlite3
import subprocess
import sys
from pathlib import Path

from cds.ledger import Keyring, Ledger

PROGRAM = Path(__file__).parent / "killed.py"
ROOT = PROGRAM.parents[2]


def test_r53_fifty_kills_lose_and_double_nothing(sqlite_url: str, keyring: Keyring, tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), sqlite_url, keyring.text(), "50", "20261122"]
    ran = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=100, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()[-2000:]
    acknowledged = [line for line in ran.stdout.decode().split("\n") if len(line) == 36]
    assert len(acknowledged) > 200, "the children must have lived long enough to record"
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Ledger.open(sqlite_url, keyring) as ledger:
        found = [answer.id for answer in ledger.answers()]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert len(acknowledged) == len(set(acknowledged))
