"""Run as a program by test_spool_kill: children record while the database comes and goes, until they are killed."""

import asyncio
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cds.errors import LedgerUnavailable
from cds.ledger import FeedbackRecord, Keyring, Ledger, upgrade
from tests.ledger.killed import answer

AT = datetime(2026, 5, 4, tzinfo=UTC)


async def record_for_ever(ledger: Ledger, out: int) -> None:
    while True:
        given = answer()
        (card,) = given.card_ids
        try:
            await ledger.record(given)
            os.write(out, b"a" + given.id.encode() + b"\n")  # the acknowledgement: only now would the bytes leave
            await ledger.feedback([FeedbackRecord("t", "s", card, "accepted", AT, (), None, None, None, None, AT)])
            os.write(out, b"f" + card.encode() + b"\n")
        except LedgerUnavailable:
            os.write(out, b"refused\n")
        await asyncio.sleep(0.01)


async def child(url: str, keyring: Keyring, spool: Path, out: int) -> None:
    ledger = Ledger.open(url, keyring, deadline=0.1, spool=spool)
    os.write(out, b"spooling\n" if ledger.spooled() else b"opened\n")
    await asyncio.gather(*[record_for_ever(ledger, out) for _ in range(4)])


def locker(path: str, commands: int, replies: int) -> None:
    """Takes the database away from everybody else, and gives it back: a process of its own, as SQLite's locks are."""
    database = sqlite3.connect(path, isolation_level=None, timeout=60)
    while command := os.read(commands, 1):
        database.execute("BEGIN EXCLUSIVE" if command == b"o" else "ROLLBACK")
        os.write(replies, command)


def forked(work: Callable[[], None]) -> int:
    """Forks instead of starting anew: the imports would cost more than the lives."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(1)
    return pid


def main(url: str, key: str, spool: str, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    keyring = Keyring.parse(key)
    upgrade(url)
    (hears, commands), (answers, replies) = os.pipe(), os.pipe()
    away = False
    helper = forked(lambda: locker(url.removeprefix("sqlite:///"), hears, replies))
    for _ in range(rounds):
        lives = [
            forked(lambda: asyncio.run(child(url, keyring, Path(spool), sys.stdout.fileno())))
            for _ in range(chance.choice((1, 1, 2)))
        ]
        for pid in lives:
            time.sleep(0.03 + chance.random() * 0.15)
            if chance.random() < 0.5:
                away = not away
                os.write(commands, b"o" if away else b"b")
                os.read(answers, 1)
                time.sleep(chance.random() * 0.15)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    os.kill(helper, signal.SIGKILL)
    os.waitpid(helper, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
