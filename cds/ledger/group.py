"""Inserts a group of answers in one transaction, and finds for each the body that may be sent."""

from collections.abc import Sequence
from typing import Any, Self, cast

from sqlalchemy import Column, Connection, Dialect, Table, bindparam, delete, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite

from cds.errors import LedgerSealed
from cds.ledger import rows
from cds.ledger.chain import Chains, Link
from cds.ledger.rows import Entry
from cds.ledger.schema import answers, cards, replays, scores
from cds.ledger.seal import Keyring

REPLAY_WINDOW = 5 * 60 * 1_000_000  # decision D21, in microseconds

# The next numbers: SQLite's writer is alone until it commits; PostgreSQL hands them out.
_NUMBERS = {
    "sqlite": "WITH RECURSIVE next(n, rest) AS (SELECT (SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence"
    " WHERE name = 'answers'), ? UNION ALL SELECT n + 1, rest - 1 FROM next WHERE rest > 1) SELECT n FROM next",
    "postgresql": "SELECT nextval(pg_get_serial_sequence('answers', 'seq')) FROM generate_series(1, %s)",
}

Body = bytes | LedgerSealed  # a repeat whose first answer no key opens fails alone
Numbered = tuple[int, Entry]


class Statements:
    """The hot statements as the driver wants them, compiled once: the ORM-less road still costs, repeated per row."""

    __slots__ = ("answer", "card", "claim", "numbers", "score")

    def __init__(self, *, numbers: str, answer: str, score: str, card: str, claim: str) -> None:
        self.numbers, self.answer, self.score, self.card, self.claim = numbers, answer, score, card, claim

    @classmethod
    def compiled(cls, dialect: Dialect) -> Self:
        # Plain tuples on both: `?` for sqlite3, `%s` for psycopg.
        styled: Dialect = cast("Any", type(dialect))(paramstyle="qmark" if dialect.name == "sqlite" else "format")
        return cls(
            numbers=_NUMBERS[dialect.name],
            answer=_insert(answers, rows.ANSWER_COLUMNS, styled),
            score=_insert(scores, rows.SCORE_COLUMNS, styled),
            card=_insert(cards, ("answer", "card"), styled),
            claim=str(_claim(styled).compile(dialect=styled)),
        )


def _insert(table: Table, columns: Sequence[str], dialect: Dialect) -> str:
    own: list[Column[Any]] = [table.c[name] for name in columns]
    return str(table.insert().values({column: bindparam(column.name) for column in own}).compile(dialect=dialect))


def _claim(dialect: Dialect) -> Any:
    """Takes the replay key, unless somebody took it less than five minutes ago."""
    insert = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    names = ("replay_key", "answer", "recorded_at")
    statement = insert(replays).values({name: bindparam(name) for name in names})
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["replay_key"],
        set_={"answer": new.answer, "recorded_at": new.recorded_at},
        where=replays.c.recorded_at <= new.recorded_at - literal_column(str(REPLAY_WINDOW)),
    )


def insert_group(
    connection: Connection, group: Sequence[Entry], statements: Statements, keyring: Keyring
) -> list[Body]:
    """Inserts every answer that is not a repeat. Called within a transaction; returns the bodies in order."""
    cursor = connection.connection.cursor()
    try:
        chains = Chains(connection, {entry.tenant for entry in group}, keyring)
        cursor.execute(statements.numbers, (len(group),))
        numbered = [(number, entry) for (number,), entry in zip(cursor.fetchall(), group, strict=True)]
        first = _first_answers(connection, cursor, numbered, statements)
        fresh = [(number, entry) for number, entry in numbered if number not in first] if first else numbered
        _insert_many(cursor, statements.answer, [(number, *entry.answer) for number, entry in fresh])
        _insert_many(cursor, statements.score, [(number, *score) for number, entry in fresh for score in entry.scores])
        _insert_many(cursor, statements.card, [(number, card) for number, entry in fresh for card in entry.cards])
        _chain(chains, fresh)
    finally:
        cursor.close()
    if not first:
        return [entry.body for entry in group]
    bodies = _repeat(connection, first, keyring)
    return [bodies[first[number]] if number in first else entry.body for number, entry in numbered]


def _chain(chains: Chains, fresh: Sequence[Numbered]) -> None:
    links = [Link(entry.tenant, "answer", number, entry.recorded_at, entry.digest) for number, entry in fresh]
    chains.append(links, fresh[0][1].recorded_at if fresh else 0)


def _insert_many(cursor: Any, statement: str, values: list[Any]) -> None:
    if values:
        cursor.executemany(statement, values)


def _first_answers(connection: Connection, cursor: Any, numbered: list[Numbered], on: Statements) -> dict[int, int]:
    """Of every repeat in the group, the number of the answer that it repeats."""
    # Sorted, so that two servers on one database never wait for each other's keys crosswise.
    claims = sorted(
        (entry.replay_key, number, entry.recorded_at) for number, entry in numbered if entry.replay_key is not None
    )
    if not claims:
        return {}
    cursor.executemany(on.claim, claims)
    if cursor.rowcount == len(claims):
        return {}
    keys = [key for key, _, _ in claims]
    held = connection.execute(select(replays.c.replay_key, replays.c.answer).where(replays.c.replay_key.in_(keys)))
    holder = {row.replay_key: row.answer for row in held}
    return {number: holder[key] for key, number, _ in claims if holder[key] != number}


def _repeat(connection: Connection, first: dict[int, int], keyring: Keyring) -> dict[int, Body]:
    counted = sorted(first.values())
    once_more = update(answers).where(answers.c.seq == bindparam("repeated")).values(repeats=answers.c.repeats + 1)
    connection.execute(once_more, [{"repeated": number} for number in counted])
    query = select(answers.c.seq, answers.c.tenant, answers.c.id, answers.c.sealed)
    found = connection.execute(query.where(answers.c.seq.in_(set(counted))))
    return {number: _body(tenant, answer_id, sealed, keyring) for number, tenant, answer_id, sealed in found}


def _body(tenant: str, answer_id: str, sealed: bytes, keyring: Keyring) -> Body:
    try:
        return rows.body_of(tenant, answer_id, bytes(sealed), keyring)
    except LedgerSealed as error:
        return error


def forget_replays(connection: Connection, before: int) -> None:
    """Housekeeping only: an old key is ignored wherever it is met."""
    connection.execute(delete(replays).where(replays.c.recorded_at <= before))
