"""Reads stored rows back as they stand and digests them anew, believing nothing of what it reads."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, TextClause, bindparam, text

from cds.errors import LedgerSealed
from cds.ledger.canonical import ANSWER, EVENT, FEEDBACK, SCORE, Chained, answer_digest, row_digest
from cds.ledger.events import detail, event_bound
from cds.ledger.rows import answer_bound, feedback_bound
from cds.ledger.seal import Keyring

TABLES: Mapping[Chained, str] = {"answer": "answers", "feedback": "feedback", "event": "events"}

_COLUMNS: Mapping[Chained, tuple[str, ...]] = {"answer": ANSWER, "feedback": FEEDBACK, "event": EVENT}
_NAMES: Mapping[Chained, str] = {"answer": "id", "feedback": "fingerprint", "event": "id"}
_BOUND: Mapping[Chained, Callable[[str, str], bytes]] = {
    "answer": answer_bound,
    "feedback": feedback_bound,
    "event": event_bound,
}


class Unreadable(NamedTuple):
    """Instead of a digest: the sealed part does not open, or is not what it should be."""

    why: str


def _select(columns: Sequence[str], table: str, key: str, order: str) -> TextClause:
    # As text: the columns' types would convert what stands there before we have seen it.
    query = f"SELECT {key}, {', '.join(columns)} FROM {table} WHERE {key} IN :numbers ORDER BY {order}"  # noqa: S608
    return text(query).bindparams(bindparam("numbers", expanding=True))


_ROWS = {kind: _select((*_COLUMNS[kind], "sealed"), TABLES[kind], "seq", "seq") for kind in TABLES}
_SCORES = _select(SCORE, "scores", "answer", "answer, position")
_CARDS = _select(("card",), "cards", "answer", "answer, card")


def digests_of(
    connection: Connection, kind: Chained, numbers: Sequence[int], keyring: Keyring
) -> Iterator[tuple[int, bytes | Unreadable]]:
    """For every row that is there: its number and its digest."""
    if not numbers:
        return
    wanted = {"numbers": list(numbers)}
    scores: dict[int, list[Any]] = defaultdict(list)
    cards: dict[int, list[Any]] = defaultdict(list)
    if kind == "answer":
        for number, *score in connection.execute(_SCORES, wanted):
            scores[number].append(score)
        for number, card in connection.execute(_CARDS, wanted):
            cards[number].append(card)
    for seq, *columns, sealed in connection.execute(_ROWS[kind], wanted):
        try:
            plain = _open(kind, columns, sealed, keyring)
            if kind == "answer":
                yield seq, answer_digest(columns, scores[seq], cards[seq], plain, keyring)
            else:
                yield seq, row_digest(kind, columns, plain, keyring)
        except LedgerSealed as error:
            yield seq, Unreadable(error.message)
        except (TypeError, ValueError, UnicodeError):
            yield seq, Unreadable("its row holds what was never written")


def _open(kind: Chained, columns: Sequence[Any], sealed: Any, keyring: Keyring) -> bytes:
    named = dict(zip(_COLUMNS[kind], columns, strict=True))
    if not isinstance(sealed, bytes):
        raise LedgerSealed("its sealed value is none")
    return keyring.open(sealed, _BOUND[kind](str(named["tenant"]), str(named[_NAMES[kind]])))


def detail_of(connection: Connection, seq: int, keyring: Keyring) -> Mapping[str, str]:
    """What an event says; nothing if it cannot be read, for then the walk finds it broken."""
    for _, *columns, sealed in connection.execute(_ROWS["event"], {"numbers": [seq]}):
        try:
            return detail(_open("event", columns, sealed, keyring))
        except (LedgerSealed, msgspec.DecodeError, UnicodeError):
            return {}
    return {}


def opens(connection: Connection, kind: Chained, tenant: str, keyring: Keyring) -> bool:
    """Whether every row of a tenant that stands in no link opens under this ledger's key."""
    columns = ", ".join(f"t.{name}" for name in (*_COLUMNS[kind], "sealed"))
    query = text(
        f"SELECT {columns} FROM {TABLES[kind]} t"  # noqa: S608  our own names
        " LEFT JOIN links l ON l.tenant = t.tenant AND l.kind = :kind AND l.seq = t.seq"
        " WHERE t.tenant = :tenant AND l.seq IS NULL"
    )
    try:
        for *found, sealed in connection.execute(query, {"kind": kind, "tenant": tenant}):
            _open(kind, found, sealed, keyring)
    except (LedgerSealed, UnicodeError):
        return False
    return True
