"""What one durable commit costs on the ledger's disk: the unit in which a durable answer's delay is measured."""

import sqlite3
import subprocess
import time
from pathlib import Path

ROW = b"x" * 4096  # about what one answer leaves in the ledger


def commits(folder: Path, count: int = 50) -> list[float]:
    """Milliseconds of each of `count` SQLite commits in WAL mode with synchronous=FULL."""
    database = sqlite3.connect(folder / "commits.sqlite", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE IF NOT EXISTS answer (row BLOB)")
    try:
        return [commit(database) for _ in range(count)]
    finally:
        database.close()


def commit(database: sqlite3.Connection) -> float:
    """Milliseconds from BEGIN to a row that survives a power cut."""
    start = time.perf_counter()
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT INTO answer VALUES (?)", (ROW,))
    database.execute("COMMIT")
    return (time.perf_counter() - start) * 1e3


def file_system(folder: Path) -> str:
    """The kind of file system under a folder; one in memory would make every commit look free."""
    kind = subprocess.run(["stat", "--file-system", "--format=%T", folder], capture_output=True, text=True, check=True)
    if kind.stdout.strip() in {"tmpfs", "ramfs"}:
        raise SystemExit(f"{folder} is in memory: name a folder on a disk with --disk")
    return kind.stdout.strip()
