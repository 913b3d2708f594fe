"""What must be told besides answers and feedback: who was refused, who read which patient, what was changed (R38)."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from cds.ledger.canonical import EVENT, row_digest
from cds.ledger.rows import micros, moment
from cds.ledger.seal import Keyring

Kind = Literal[
    "token-refused", "token-replayed", "wrong-patient", "configuration", "model-activated", "launch", "page-view",
    "save", "what-if", "audit-read", "rate-limited", "batch-run", "batch-write",
    "chain-begins", "purge",  # the ledger's own
]  # fmt: skip
Outcome = Literal["success", "refused", "failed"]

STANDING: tuple[Kind, ...] = ("chain-begins", "purge")
"""No purge takes these: without them the gaps that a purge leaves could not be told from theft."""

EARLIER = ("earlier_answers", "earlier_feedback")
"""In the detail of both: how many rows from before the chain there were, and how many of them a purge took."""

NEVER = 2**63 - 1  # when what stands becomes due

COLUMNS = (*EVENT, "sealed")


class Event(msgspec.Struct, frozen=True):
    """`who` and `patient` stand in the clear only as keyed pseudonyms; they and `detail` are sealed.

    `patient` is written as in an answer: "Patient/…", or "server|Patient/…". The ledger gives the `id`, where
    it has none.
    """

    kind: Kind
    tenant: str
    at: datetime
    outcome: Outcome
    who: str | None
    patient: str | None
    detail: Mapping[str, str]
    id: str | None = None


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    who: str | None
    patient: str | None
    detail: dict[str, str]


class Note(NamedTuple):
    """One event, ready to insert."""

    tenant: str
    at: int
    due: int
    digest: bytes
    values: tuple[Any, ...]


_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(_Sealed)


def note(event: Event, keyring: Keyring) -> Note:
    """The row of an event, sealed, and its digest."""
    at = micros(event.at)
    columns = (
        event.id or str(uuid.uuid4()), event.tenant, event.kind, at, event.outcome,
        _pseudonym(event.tenant, event.who, keyring), _pseudonym(event.tenant, event.patient, keyring),
    )  # fmt: skip
    plain = _pack.encode(_Sealed(event.who, event.patient, dict(event.detail)))
    values = (*columns, keyring.seal(plain, event_bound(event.tenant, columns[0])))
    due = NEVER if event.kind in STANDING else at
    return Note(event.tenant, at, due, row_digest("event", columns, plain, keyring), values)


def _pseudonym(tenant: str, name: str | None, keyring: Keyring) -> str | None:
    return None if name is None else keyring.pseudonym(tenant, name)


def event_bound(tenant: str, event_id: str) -> bytes:
    """What an event's seal is bound to."""
    return f"event\0{tenant}\0{event_id}".encode()


def detail(plain: bytes) -> Mapping[str, str]:
    """Of what was sealed, all but the persons."""
    return _unpack.decode(plain).detail


def opened_event(row: Any, keyring: Keyring) -> Event:
    """The event that was noted, with its id."""
    inner = _unpack.decode(keyring.open(bytes(row.sealed), event_bound(row.tenant, row.id)))
    return Event(row.kind, row.tenant, moment(row.at), row.outcome, inner.who, inner.patient, inner.detail, row.id)
