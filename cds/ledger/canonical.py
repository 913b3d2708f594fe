"""What a row says, as one keyed digest: the same under every sealing key, and no guess at a patient can be tried."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from cds.ledger.seal import Keyring

Chained = Literal["answer", "feedback", "event"]

# The columns that a digest covers, in its order. Left out: `seq`, which stands in the link; `sealed`, whose plaintext
# is digested instead, so that a new key changes nothing; and an answer's `repeats`, which goes on counting.
ANSWER = (
    "id", "tenant", "service", "hook", "hook_instance", "digest", "patient", "stage", "status", "kind", "reason",
    "latency_us", "recorded_at", "missing",
)  # fmt: skip
SCORE = ("position", "model", "version", "at", "outcome", "reason", "estimates", "inputs")
FEEDBACK = (
    "fingerprint", "answer", "tenant", "service", "card", "outcome", "outcome_at", "suggestions", "reason_code",
    "reason_system", "received_at",
)  # fmt: skip
EVENT = ("id", "tenant", "kind", "at", "outcome", "who", "patient")

_pack = msgspec.msgpack.Encoder()


def row_digest(kind: Chained, columns: Sequence[Any], plain: bytes, keyring: Keyring) -> bytes:
    """Of the row's columns and of what is sealed in it. MessagePack: no two rows are written alike."""
    return keyring.mac("row", _pack.encode((kind, *columns, plain)))


def answer_digest(
    columns: Sequence[Any], scores: Iterable[Sequence[Any]], cards: Iterable[str], plain: bytes, keyring: Keyring
) -> bytes:
    """Of an answer with its scores, in their order, and its cards, which have none."""
    return row_digest("answer", (*columns, list(scores), sorted(cards)), plain, keyring)
