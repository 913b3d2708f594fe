"""Appends what the EHRs report on our cards, each report once, joined to the answer that carried the card."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from cds.ledger.chain import Chains, Link
from cds.ledger.records import FeedbackRecord
from cds.ledger.rows import feedback_row, micros
from cds.ledger.schema import answers, cards, feedback
from cds.ledger.seal import Keyring

_CHUNK = 500  # cards asked for at once, well under every database's limit on parameters

Whose = tuple[str, str, str]  # tenant, service, card
Carrier = tuple[int, int]  # the answer's number; when it was recorded, with which its feedback will go


def store(connection: Connection, records: Sequence[FeedbackRecord], keyring: Keyring) -> None:
    """Within the caller's transaction, so all of them or none."""
    if not records:
        return
    with Chains(connection, [record.tenant for record in records], keyring) as chains:
        carriers = _carriers(connection, {record.card for record in records})
        rows: list[dict[str, Any]] = []
        links: dict[str, tuple[str, int, bytes]] = {}
        for record in records:
            answer, due = carriers.get((record.tenant, record.service, record.card), (None, micros(record.received_at)))
            row, digest = feedback_row(record, answer, keyring)
            rows.append(row)
            links.setdefault(row["fingerprint"], (record.tenant, due, digest))
        new = _insert(connection, rows)
        appended = [
            Link(tenant, "feedback", new[name], due, digest)
            for name, (tenant, due, digest) in links.items()
            if name in new
        ]
        chains.append(appended, micros(records[0].received_at))


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> dict[str, int]:
    """The numbers of those that are new, by their fingerprints."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(feedback).on_conflict_do_nothing(index_elements=["fingerprint"])
    found = connection.execute(statement.returning(feedback.c.fingerprint, feedback.c.seq), rows)
    return {row.fingerprint: row.seq for row in found}


def _carriers(connection: Connection, wanted: Iterable[str]) -> dict[Whose, Carrier]:
    """The newest answer that carried each card: a repeated call may carry the same card again."""
    found: dict[Whose, Carrier] = {}
    names = sorted(wanted)
    for start in range(0, len(names), _CHUNK):
        query = (
            select(answers.c.tenant, answers.c.service, cards.c.card, answers.c.seq, answers.c.recorded_at)
            .join(answers, answers.c.seq == cards.c.answer)
            .where(cards.c.card.in_(names[start : start + _CHUNK]))
            .order_by(answers.c.seq)
        )
        found |= {(tenant, service, card): (seq, at) for tenant, service, card, seq, at in connection.execute(query)}
    return found
