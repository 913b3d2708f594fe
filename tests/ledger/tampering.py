"""Somebody with the database's password and without the ledger's key, who wants a record to say something else."""

import random
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, literal, select, update

from cds.ledger.schema import answers, beginning, cards, events, feedback, heads, links, scores

CHAINED = (answers, scores, cards, feedback, events, heads, links, beginning)
UNCHAINED = {("answers", "repeats")}  # it goes on counting, so no digest holds it
NUMBERS = {"answers": answers.c.seq, "feedback": feedback.c.seq, "events": events.c.seq}


def edit(database: Connection, chance: random.Random) -> str:
    """Another value in one column of one row; in SQLite now and then of another type."""
    table = chance.choice(CHAINED)
    column = chance.choice([c for c in table.c if (table.name, c.name) not in UNCHAINED])
    row = _row(database, table, chance)
    value = _other(row[column.name], chance, loose=database.dialect.name == "sqlite" and column.name != "seq")
    database.execute(update(table).where(_is(table, row)).values({column.name: literal(value)}))
    return f"{table.name}.{column.name}"


def remove(database: Connection, chance: random.Random) -> str:
    table = chance.choice(CHAINED)
    database.execute(delete(table).where(_is(table, _row(database, table, chance))))
    return table.name


def swap(database: Connection, chance: random.Random) -> str:
    """Two rows change places: their numbers, or what they say under their numbers."""
    table, key = chance.choice(
        [(answers, "seq"), (feedback, "seq"), (events, "seq"), (links, "n"), (answers, "sealed"), (links, "seq")]
    )
    one = _row(database, table, chance)
    others = [row for row in all_rows(database, table) if row[key] != one[key] and row["tenant"] == one["tenant"]]
    other = chance.choice(others)
    away = -1 if key != "sealed" else b""
    by_one, by_other = _is(table, one), _is(table, other)
    database.execute(update(table).where(by_one).values({key: away}))
    database.execute(update(table).where(by_other).values({key: one[key]}))
    moved = {**one, key: away}
    database.execute(update(table).where(_is(table, moved)).values({key: other[key]}))
    return f"{table.name}.{key}"


def add(database: Connection, chance: random.Random) -> str:
    """A row like another one, under a name and a number of its own."""
    table = chance.choice(CHAINED)
    row = dict(_row(database, table, chance))
    if table.name in NUMBERS:
        row["seq"] = database.execute(select(func.max(table.c.seq))).scalar_one() + 1
    names: dict[str, dict[str, Any]] = {
        "answers": {"id": str(uuid.UUID(int=chance.getrandbits(128)))},
        "events": {"id": str(uuid.UUID(int=chance.getrandbits(128)))},
        "feedback": {"fingerprint": f"{chance.getrandbits(256):064x}"},
        "scores": {"position": 90},
        "cards": {"card": str(uuid.UUID(int=chance.getrandbits(128)))},
        "heads": {"tenant": "nobody"},
        "beginning": {"id": 2},
        "links": {"n": database.execute(select(func.max(links.c.n))).scalar_one() + chance.randint(1, 3)},
    }
    database.execute(insert(table).values({**row, **names[table.name]}))
    return table.name


def truncate(database: Connection, chance: random.Random) -> str:
    """The newest links of a tenant go with their rows, and the head is moved back to where the chain now ends."""
    head = _row(database, heads, chance)
    tenant, kept = head["tenant"], chance.randint(0, head["n"] - 1)
    cut = (links.c.tenant == tenant) & (links.c.n > kept)
    for kind, table in (("feedback", feedback), ("event", events), ("answer", answers)):
        gone = database.scalars(select(links.c.seq).where(cut, links.c.kind == kind)).all()
        database.execute(delete(table).where(table.c.seq.in_(gone)))
        if table is answers:
            for part in (scores, cards):
                database.execute(delete(part).where(part.c.answer.in_(gone)))
    database.execute(delete(links).where(cut))
    last = database.scalar(select(links.c.mac).where(links.c.tenant == tenant, links.c.n == kept))
    if kept or chance.random() < 0.5:
        database.execute(update(heads).where(heads.c.tenant == tenant).values(n=kept, mac=last or b""))
    else:
        database.execute(delete(heads).where(heads.c.tenant == tenant))
    return f"{head['n'] - kept} links"


def wipe(database: Connection, chance: random.Random) -> str:
    """The chain of one tenant or of all goes, as if it had never begun, and the rows then say something else."""
    head = _row(database, heads, chance)
    whole = chance.random() < 0.5
    for table in (links, events):
        database.execute(delete(table) if whole else delete(table).where(table.c.tenant == head["tenant"]))
    counted = {
        f"earlier_{table.name}": select(func.count()).where(table.c.tenant == heads.c.tenant).scalar_subquery()
        for table in (answers, feedback)
    }
    begun = update(heads).values(n=0, mac=b"", **(counted if chance.random() < 0.7 else {}))
    database.execute(begun if whole else begun.where(heads.c.tenant == head["tenant"]))
    mark = chance.choice(["kept", "taken", "altered"])
    if mark == "taken":
        database.execute(delete(beginning))
    elif mark == "altered":
        database.execute(update(beginning).values(mac=chance.randbytes(32)))
    said: dict[str, Any] = chance.choice([{"kind": "no-card"}, {"latency_us": 1}, {"reason": "low-risk"}])
    database.execute(update(answers).where(answers.c.tenant == head["tenant"]).values(said))
    return f"{'all' if whole else 'one'}, mark {mark}"


KINDS: dict[str, Callable[[Connection, random.Random], str]] = {
    "edit": edit,
    "delete": remove,
    "swap": swap,
    "insert": add,
    "truncate": truncate,
    "wipe and begin again": wipe,
}


def all_rows(database: Connection, table: Table) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in database.execute(select(table).order_by(*table.primary_key))]


def _row(database: Connection, table: Table, chance: random.Random) -> dict[str, Any]:
    return chance.choice(all_rows(database, table))


def _is(table: Table, row: dict[str, Any]) -> Any:
    keys = [column == row[column.name] for column in table.primary_key]
    clause = keys[0]
    for key in keys[1:]:
        clause &= key
    return clause


def _other(value: Any, chance: random.Random, *, loose: bool) -> Any:
    if loose and chance.random() < 0.1:
        return chance.choice([other for other in (b"bytes", "text", -1) if not isinstance(other, type(value))])
    if isinstance(value, int):
        away = chance.randint(100, 1000)  # to a number that no other row has
        return value - away if value > 2**62 or chance.random() < 0.5 else value + away
    if isinstance(value, bytes):
        if chance.random() < 0.2:
            return value[: chance.randrange(len(value))]
        altered = bytearray(value)
        altered[chance.randrange(len(altered))] ^= 1 << chance.randrange(8)
        return bytes(altered)
    if value is None:
        return chance.choice(["a", "other"])
    at = chance.randrange(len(value)) if value else 0
    letter = chance.choice([letter for letter in "abcdef0123456789[]" if letter != value[at : at + 1]])
    return value[:at] + letter + value[at + 1 :]
