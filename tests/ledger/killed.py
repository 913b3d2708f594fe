"""Run as a program by test_kill: children record answers and say so, until they are killed in the middle of it."""

import asyncio
import os
import random
import signal
import sys
import time
import uuid
from datetime import UTC, datetime

from cds.ledger import AnswerRecord, Keyring, Ledger, ScoreRecord, upgrade

AT = datetime(2026, 5, 4, tzinfo=UTC)


def answer() -> AnswerRecord:
    name, card = str(uuid.uuid4()), str(uuid.uuid4())
    score = ScoreRecord("m", "1", AT, "risk", None, [{"probability": 0.1}], [{"name": "egfr"}], b"row" * 100)
    return AnswerRecord(
        id=name, tenant="t", service="s", hook="h", hook_instance=name, digest="0" * 64, patient="p", user=None,
        stage="live", status=200, kind="card", cards=b"[]", card_ids=(card,), body=b"b" * 3000, replay_key=name,
        latency_us=1, recorded_at=AT, scores=(score,),
    )  # fmt: skip


async def record_for_ever(ledger: Ledger, out: int) -> None:
    while True:
        given = answer()
        await ledger.record(given)
        os.write(out, given.id.encode() + b"\n")  # the acknowledgement: only now would the bytes leave


async def child(url: str, keyring: Keyring, out: int) -> None:
    ledger = Ledger.open(url, keyring)
    await asyncio.gather(*[record_for_ever(ledger, out) for _ in range(8)])


def main(url: str, key: str, rounds: int, seed: int) -> None:
    """Forks instead of starting anew: the imports would cost more than the lives."""
    chance = random.Random(seed)
    keyring = Keyring.parse(key)
    upgrade(url)
    for _ in range(rounds):
        pid = os.fork()
        if pid == 0:
            asyncio.run(child(url, keyring, sys.stdout.fileno()))
        time.sleep(0.03 + chance.random() * 0.15)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
