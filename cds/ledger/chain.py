"""Appends every new row to its tenant's chain, in the row's own transaction: a later change no longer fits (R36)."""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from cds.ledger.canonical import Chained
from cds.ledger.events import COLUMNS, EARLIER, Event, Note, note
from cds.ledger.rows import moment
from cds.ledger.seal import Keyring

_HEAD = "SELECT n, mac, earlier_answers, earlier_feedback FROM heads WHERE tenant = ?"
_NEW_HEAD = "INSERT INTO heads VALUES (?, 0, ?, 0, 0) ON CONFLICT (tenant) DO NOTHING"
_MOVE_HEAD = "UPDATE heads SET n = ?, mac = ? WHERE tenant = ?"
_LINK = "INSERT INTO links (tenant, n, kind, seq, due, digest, mac) VALUES (?, ?, ?, ?, ?, ?, ?)"
_EVENT = f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) RETURNING seq"  # noqa: S608  our own column names

_numbers = struct.Struct(">qqq")


class Link(NamedTuple):
    """A row that wants its place in the chain."""

    tenant: str
    kind: Chained
    seq: int
    due: int
    digest: bytes


class _Head:
    __slots__ = ("earlier", "mac", "n")

    def __init__(self, n: int, mac: bytes, *earlier: int) -> None:
        self.n, self.mac, self.earlier = n, mac, earlier


def genesis(tenant: str, keyring: Keyring) -> bytes:
    """What the first link of a tenant's chain builds upon."""
    return keyring.mac("link", f"begin\0{tenant}".encode())


def link_mac(keyring: Keyring, before: bytes, n: int, kind: str, seq: int, due: int, digest: bytes) -> bytes:
    """The MAC of link `n`: over the link before it and over all that it says itself."""
    return keyring.mac("link", b"".join((before, _numbers.pack(n, seq, due), digest, kind.encode())))


class Chains:
    """The chains of some tenants, locked until the transaction ends.

    Every transaction that writes takes these locks before any other, tenants in sorted order: so two servers never
    wait for each other crosswise, and whoever holds a chain sees every row of its tenant that stands in it.
    """

    def __init__(self, connection: Connection, tenants: Iterable[str], keyring: Keyring) -> None:
        self._cursor: Any = connection.connection.cursor()
        self._keyring = keyring
        self._postgres = connection.dialect.name == "postgresql"
        self._heads = {tenant: self._lock(tenant) for tenant in sorted(set(tenants))}

    def append(self, links: Sequence[Link], at: int) -> None:
        """One link for each, in this order. `at`, in microseconds: when a chain begins, if one does."""
        self._write([*self._begin({link.tenant for link in links}, at), *links])

    def note(self, notes: Sequence[Note]) -> None:
        """Inserts events, each with its link."""
        if notes:
            begun = self._begin({one.tenant for one in notes}, notes[0].at)
            self._write([*begun, *map(self._noted, notes)])

    def begin_after_earlier(self, at: int) -> None:
        """Only when a ledger is upgraded: the first link says how much each tenant had before there were chains."""
        begun = []
        for tenant, head in self._heads.items():
            if head.n == 0 and any(head.earlier):
                begun.append(self._begun(tenant, at, head.earlier))
        self._write(begun)

    def earlier(self, tenant: str) -> bool:
        """Whether the tenant had anything in the ledger before there were chains."""
        return any(self._heads[tenant].earlier)

    def close(self) -> None:
        """Lets go of the cursor; the locks go with the transaction."""
        self._cursor.close()

    def __enter__(self) -> "Chains":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, tenants: Iterable[str], at: int) -> list[Link]:
        """What a head says of earlier rows is not believed here: those were all counted when the ledger began."""
        return [self._begun(tenant, at, (0, 0)) for tenant in sorted(tenants) if self._heads[tenant].n == 0]

    def _begun(self, tenant: str, at: int, earlier: Sequence[int]) -> Link:
        self._heads[tenant].mac = genesis(tenant, self._keyring)
        detail = dict(zip(EARLIER, map(str, earlier), strict=True))
        event = Event("chain-begins", tenant, moment(at), "success", None, None, detail)
        return self._noted(note(event, self._keyring))

    def _write(self, links: Sequence[Link]) -> None:
        if not links:
            return
        self._cursor.executemany(self._sql(_LINK), [self._extended(link) for link in links])
        moved = [(self._heads[tenant].n, self._heads[tenant].mac, tenant) for tenant in {link.tenant for link in links}]
        self._cursor.executemany(self._sql(_MOVE_HEAD), moved)

    def _extended(self, link: Link) -> tuple[Any, ...]:
        head = self._heads[link.tenant]
        head.n += 1
        head.mac = link_mac(self._keyring, head.mac, head.n, *link[1:])
        return (link.tenant, head.n, *link[1:], head.mac)

    def _noted(self, one: Note) -> Link:
        self._cursor.execute(self._sql(_EVENT), one.values)
        return Link(one.tenant, "event", self._cursor.fetchone()[0], one.due, one.digest)

    def _lock(self, tenant: str) -> _Head:
        query = self._sql(_HEAD) + (" FOR UPDATE" if self._postgres else "")  # SQLite's writer is alone
        self._cursor.execute(query, (tenant,))
        found = self._cursor.fetchone()
        if found is None:
            self._cursor.execute(self._sql(_NEW_HEAD), (tenant, b""))
            self._cursor.execute(query, (tenant,))
            found = self._cursor.fetchone()
        return _Head(found[0], bytes(found[1]), *found[2:])

    def _sql(self, statement: str) -> str:
        return statement.replace("?", "%s") if self._postgres else statement


def insert_notes(connection: Connection, notes: Sequence[Note], keyring: Keyring) -> None:
    """Within the caller's transaction, so all of them or none."""
    with Chains(connection, [one.tenant for one in notes], keyring) as chains:
        chains.note(notes)
