"""Signs once that a ledger's chains have begun: from then on no row can be taken for one from before them (R36)."""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from cds.errors import SiteError
from cds.ledger.chain import Chains, genesis, link_mac
from cds.ledger.database import migrate, unavailable
from cds.ledger.rows import micros
from cds.ledger.schema import beginning, heads
from cds.ledger.seal import Keyring

_MARKED = "0003"  # the revision that brought the mark
_ONE = 1  # the number of the one row
_HELD = ("answers", "feedback", "events", "links", "heads")  # what an empty ledger has nothing of

_number = struct.Struct(">q")

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


def upgrade(url: str, keyring: Keyring | None = None, now: Clock = _now) -> None:
    """Creates the ledger's tables or brings them up to date, and begins the chains. A no-op when that has been done.

    A ledger that holds rows already needs its key for this: SiteError without, and nothing is changed.
    """

    def begin(connection: Connection, before: str | None) -> None:
        # A ledger that has the mark's table has begun, or is empty, or somebody took the mark away: no second time.
        if (before or "") >= _MARKED or _empty(connection):
            return
        if keyring is None:
            raise SiteError("the ledger holds answers, and its chains begin with this upgrade: set BEDSIDE_LEDGER_KEY")
        at = micros(now())
        waiting = select(heads.c.tenant).where(heads.c.n == 0)
        with Chains(connection, connection.scalars(waiting).all(), keyring) as chains:
            chains.begin_after_earlier(at)
        _mark(connection, at, keyring)

    migrate(url, begin)


def begin_if_empty(engine: Engine, keyring: Keyring, now: Clock = _now) -> None:
    """Marks a ledger that holds nothing yet; one that holds rows and no mark is left as it is, for `verify` to name."""
    try:
        with engine.execution_options(reading=True).connect() as connection:
            if connection.execute(select(beginning.c.id).limit(1)).first() or not _empty(connection):
                return
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("LOCK TABLE heads IN SHARE ROW EXCLUSIVE MODE"))  # whoever writes, writes there
            if _empty(connection):
                _mark(connection, micros(now()), keyring)
    except DBAPIError as error:
        raise unavailable(error) from None


def fault(connection: Connection, keyring: Keyring) -> tuple[str, bool] | None:
    """What is wrong with the mark, if anything is; True where that speaks for another key, and no link need be read."""
    found = connection.execute(text("SELECT id, at, mac FROM beginning")).all()
    if not found:
        return None if _empty(connection) else ("the mark that its chains have begun is missing", False)
    (number, at, mac), *more = found
    if more or number != _ONE or not isinstance(at, int) or not isinstance(mac, bytes):
        return "the mark that its chains have begun was altered", False
    if mac == _mac(at, keyring):
        return None
    if _fits_anywhere(connection, keyring):
        return "the mark that its chains have begun was altered", False
    return "nothing in it was signed with this key: is BEDSIDE_LEDGER_KEY this ledger's?", True


def _fits_anywhere(connection: Connection, keyring: Keyring) -> bool:
    """Whether the first link of any chain is one that this key made."""
    query = text("SELECT tenant, kind, seq, due, digest, mac FROM links WHERE n = 1")
    return any(_fits(row, keyring) for row in connection.execute(query))


def _fits(row: Any, keyring: Keyring) -> bool:
    try:
        made = link_mac(keyring, genesis(row.tenant, keyring), 1, row.kind, row.seq, row.due, bytes(row.digest))
        return made == bytes(row.mac)
    except (TypeError, ValueError, AttributeError, struct.error):
        return False  # no link of anybody's: SQLite keeps any type in any column


def _empty(connection: Connection) -> bool:
    return not any(connection.execute(text(f"SELECT 1 FROM {table} LIMIT 1")).first() for table in _HELD)  # noqa: S608


def _mark(connection: Connection, at: int, keyring: Keyring) -> None:
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    row = {"id": _ONE, "at": at, "mac": _mac(at, keyring)}
    connection.execute(insert(beginning).values(row).on_conflict_do_nothing(index_elements=["id"]))


def _mac(at: int, keyring: Keyring) -> bytes:
    return keyring.mac("link", b"the chains have begun\0" + _number.pack(at))
