"""Walks the chains: says of each tenant that nothing was changed, or which place is the first that was (R36)."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from cds.ledger.beginning import fault
from cds.ledger.canonical import Chained
from cds.ledger.chain import genesis, link_mac
from cds.ledger.database import unavailable
from cds.ledger.digests import TABLES, Unreadable, detail_of, digests_of, opens
from cds.ledger.events import EARLIER
from cds.ledger.heads import Head
from cds.ledger.seal import Keyring

_PAGE = 500
_EARLIER: Mapping[Chained, str] = dict(zip(("answer", "feedback"), EARLIER, strict=True))

_LINKS = text(
    "SELECT n, kind, seq, due, digest, mac FROM links WHERE tenant = :tenant AND n > :last ORDER BY n LIMIT :page"
)
_PURGES = text(
    "SELECT l.n, l.seq FROM links l JOIN events e ON e.seq = l.seq"
    " WHERE l.tenant = :tenant AND l.kind = 'event' AND e.kind = 'purge' ORDER BY l.n"
)


class Verdict(msgspec.Struct, frozen=True):
    """Of one tenant's chain: its links, the rows they lead to, the rows a purge took, the rows older than the chain.

    `broken` is None, or the first place that does not fit: `place` is the link's number, 0 where no link is concerned.
    """

    tenant: str
    links: int = 0
    rows: int = 0
    purged: int = 0
    earlier: int = 0
    place: int = 0
    kind: str = ""
    broken: str | None = None


class _Broken(Exception):
    def __init__(self, place: int, kind: str, why: str) -> None:
        super().__init__(why)
        self.place, self.kind, self.why = place, kind, why


def verify(engine: Engine, keyring: Keyring, anchored: Sequence[Head]) -> list[Verdict]:
    """See Ledger.verify."""
    anchors: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for head in anchored:
        anchors[head.tenant][head.n].add(head.mac)
    options: dict[str, Any] = (
        {"reading": True} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    )
    try:
        with engine.execution_options(**options).connect() as connection:
            _read_any_text(connection)
            mark = fault(connection, keyring)
            marked = [] if mark is None else [Verdict("", broken=mark[0])]
            if mark is not None and mark[1]:
                return marked
            names = {str(tenant) for (tenant,) in connection.execute(text("SELECT tenant FROM heads"))}
            verdicts = [
                _Walk(connection, keyring, tenant, anchors[tenant]).verdict()
                if tenant == _printable(tenant)
                else Verdict(_printable(tenant), broken="the head holds what was never written")
                for tenant in sorted(names)
            ]
            return [*marked, *verdicts, *_strays(connection, anchors.keys() - names)]
    except DBAPIError as error:
        raise unavailable(error) from None


def _read_any_text(connection: Connection) -> None:
    """SQLite keeps any bytes as text, and its driver would fail at the row without a word where it stands."""
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.dbapi_connection
        raw.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")


def _strays(connection: Connection, anchored: Iterable[str]) -> Iterator[Verdict]:
    """What belongs to no chain at all."""
    for tenant in sorted(anchored):
        yield Verdict(tenant, broken="the anchored head knows this chain, the ledger does not")
    unheaded = " UNION ".join(f"SELECT tenant FROM {table}" for table in ("links", *TABLES.values()))  # noqa: S608
    query = text(f"SELECT tenant FROM ({unheaded}) AS named WHERE tenant NOT IN (SELECT tenant FROM heads)")  # noqa: S608
    for (tenant,) in connection.execute(query):
        yield Verdict(_printable(tenant), broken="there are rows and no head of a chain")
    for table in ("scores", "cards"):
        query = text(f"SELECT 1 FROM {table} t LEFT JOIN answers a ON a.seq = t.answer WHERE a.seq IS NULL LIMIT 1")  # noqa: S608
        if connection.execute(query).first():
            yield Verdict("", kind=table, broken="a row belongs to no answer")


def _printable(name: Any) -> str:
    return str(name).encode("utf-8", "backslashreplace").decode()


class _Walk:
    """One tenant's chain, from its first link to its head."""

    def __init__(self, connection: Connection, keyring: Keyring, tenant: str, anchors: dict[int, set[str]]) -> None:
        self._connection, self._keyring, self._tenant, self._anchors = connection, keyring, tenant, anchors
        self._last = 0
        self._mac = genesis(tenant, keyring)
        self._present = dict.fromkeys(TABLES, 0)
        self._purged = self._unlinked = 0
        self._earlier: dict[Chained, int] = {}
        self._taken: dict[Chained, int] | None = dict.fromkeys(_EARLIER, 0)  # None: an older purge did not say

    def verdict(self) -> Verdict:
        try:
            self._walk()
            self._end()
            self._unchained()
        except _Broken as found:
            return self._told(found.place, found.kind, found.why)
        return self._told(0, "", None)

    def _told(self, place: int, kind: str, why: str | None) -> Verdict:
        rows = sum(self._present.values())
        return Verdict(self._tenant, self._last, rows, self._purged, self._unlinked, place, kind, why)

    def _walk(self) -> None:
        self._purges = self._read_purges()
        while page := self._page():
            wanted: dict[Chained, list[int]] = {kind: [] for kind in TABLES}
            for link in page:
                wanted.get(link.kind, []).append(link.seq)
            digests = {
                (kind, seq): digest
                for kind, numbers in wanted.items()
                for seq, digest in digests_of(self._connection, kind, numbers, self._keyring)
            }
            for link in page:
                self._step(link, digests.get((link.kind, link.seq)))

    def _page(self) -> Sequence[Any]:
        return self._connection.execute(_LINKS, {"tenant": self._tenant, "last": self._last, "page": _PAGE}).all()

    def _step(self, link: Any, digest: bytes | Unreadable | None) -> None:
        n = self._last + 1
        if link.n != n:
            raise _Broken(n, "link", "the link is missing")
        kind = link.kind if link.kind in TABLES else "link"
        mac = self._expected(n, link)
        if mac is None or _bytes(link.mac) != mac:
            raise _Broken(n, kind, "the link was altered, inserted or moved")
        if any(mac.hex() != known for known in self._anchors.get(n, ())):
            raise _Broken(n, kind, "the link is not the one that was anchored")
        if digest is None and not self._may_be_absent(n, link.due):
            raise _Broken(n, kind, "its row is missing")
        if isinstance(digest, Unreadable):
            raise _Broken(n, kind, digest.why)
        if digest is not None and digest != _bytes(link.digest):
            raise _Broken(n, kind, "its row was altered")
        self._last, self._mac = n, mac
        self._purged += digest is None
        if digest is not None:
            self._present[link.kind] += 1
        if n == 1:
            self._begin(link)

    def _expected(self, n: int, link: Any) -> bytes | None:
        """None for what no link of ours can be: SQLite keeps any type in any column."""
        if not (isinstance(link.seq, int) and isinstance(link.due, int) and isinstance(link.kind, str)):
            return None
        try:
            return link_mac(self._keyring, self._mac, n, link.kind, link.seq, link.due, _bytes(link.digest))
        except UnicodeError:
            return None

    def _begin(self, link: Any) -> None:
        told = detail_of(self._connection, link.seq, self._keyring)
        self._earlier = {kind: int(told.get(name, 0)) for kind, name in _EARLIER.items()}

    def _read_purges(self) -> tuple[list[int], list[int]]:
        """Numbers of the purge events, and for each the latest limit that it or a later one sets."""
        numbers, limits = [], []
        for n, seq in self._connection.execute(_PURGES, {"tenant": self._tenant}).all():
            told = detail_of(self._connection, seq, self._keyring)
            numbers.append(n)
            limits.append(int(told.get("before", -(2**63))))
            if self._taken is not None:
                said = set(_EARLIER.values()) <= told.keys()
                taken = self._taken
                self._taken = {kind: taken[kind] + int(told[name]) for kind, name in _EARLIER.items()} if said else None
        for at in range(len(limits) - 2, -1, -1):
            limits[at] = max(limits[at], limits[at + 1])
        return numbers, limits

    def _may_be_absent(self, n: int, due: int) -> bool:
        numbers, limits = self._purges
        later = bisect_right(numbers, n)
        return later < len(limits) and due < limits[later]

    def _end(self) -> None:
        query = text("SELECT n, mac, earlier_answers, earlier_feedback FROM heads WHERE tenant = :tenant")
        head = self._connection.execute(query, {"tenant": self._tenant}).one()
        end = self._last + 1
        if (beyond := max(self._anchors, default=0)) > self._last:
            raise _Broken(end, "link", f"the chain ends before link {beyond}, which was anchored")
        if head.n != self._last or (self._last and _bytes(head.mac) != self._mac):
            raise _Broken(end, "link", "the chain does not end where its head says")
        earlier: dict[Chained, int] = {"answer": head.earlier_answers, "feedback": head.earlier_feedback}
        if dict.fromkeys(_EARLIER, 0) | self._earlier != earlier:
            raise _Broken(end, "link", "the head was altered")

    def _unchained(self) -> None:
        """Rows in no link: none but those that the chain's beginning counted, and of those none lost but by a purge."""
        for kind, table in TABLES.items():
            query = text(f"SELECT count(*) FROM {table} WHERE tenant = :tenant")  # noqa: S608
            beyond = self._connection.execute(query, {"tenant": self._tenant}).scalar_one() - self._present[kind]
            earlier = self._earlier.get(kind, 0) - (self._taken[kind] if self._taken and kind in self._taken else 0)
            self._unlinked += beyond
            if beyond > earlier:
                raise _Broken(0, kind, "a row stands in no link")
            if beyond < earlier and self._taken is not None:
                raise _Broken(0, kind, "a row from before the chain is missing")
            if beyond and not opens(self._connection, kind, self._tenant, self._keyring):
                raise _Broken(0, kind, "a row from before the chain does not open")


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else b""
