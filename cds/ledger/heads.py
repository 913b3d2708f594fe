"""Where each chain ends, signed: kept in a second place, it shows when a chain's tail has been cut off."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError

from cds.errors import SiteError
from cds.ledger.database import unavailable
from cds.ledger.schema import heads
from cds.ledger.seal import Keyring


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Link `n` of a tenant's chain had this MAC (hex) at that time; `signature` (hex) is the ledger's key over it."""

    tenant: str
    n: int
    mac: str
    at: datetime
    signature: str = ""


_BEGINS = '{"tenant":'

_unsigned = msgspec.json.Encoder()


def signed_heads(engine: Engine, keyring: Keyring, at: datetime) -> list[Head]:
    """See Ledger.heads."""
    query = select(heads.c.tenant, heads.c.n, heads.c.mac).where(heads.c.n > 0).order_by(heads.c.tenant)
    try:
        with engine.execution_options(reading=True).connect() as connection:
            found: Iterable[Any] = connection.execute(query).all()
    except DBAPIError as error:
        raise unavailable(error) from None
    return [_signed(Head(row.tenant, row.n, bytes(row.mac).hex(), at), keyring) for row in found]


def _signed(head: Head, keyring: Keyring) -> Head:
    return msgspec.structs.replace(head, signature=_signature(head, keyring))


def _signature(head: Head, keyring: Keyring) -> str:
    return keyring.mac("head", _unsigned.encode(msgspec.structs.replace(head, signature=""))).hex()


def read_heads(text: str, keyring: Keyring) -> list[Head]:
    """The heads of a file that `bedside audit head --out` has written. SiteError names a line that is not ours.

    A line that was torn off while it was written says nothing, and is passed over: see `torn_lines`.
    """
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or _torn(line):
            continue
        try:
            head = msgspec.json.decode(line, type=Head)
        except (msgspec.DecodeError, UnicodeError):
            raise SiteError(f"line {number} is no head of a chain") from None
        if not keyring.same(head.signature, _signature(head, keyring)):
            raise SiteError(f"line {number} is not signed with this ledger's key, or was altered")
        found.append(head)
    return found


def torn_lines(text: str) -> list[int]:
    """The numbers of the lines whose writing was interrupted: they begin as a head does, and have no end."""
    return [number for number, line in enumerate(text.split("\n"), start=1) if line and _torn(line)]


def _torn(line: str) -> bool:
    return _BEGINS.startswith(line[: len(_BEGINS)]) and not line.endswith("}")
