"""Appends what the EHRs report on our cards, each report once, joined to the answer that carried the card."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from cds.ledger.records import FeedbackRecord
from cds.ledger.rows import feedback_row
from cds.ledger.schema import answers, cards, feedback
from cds.ledger.seal import Keyring

_CHUNK = 500  # cards asked for at once, well under every database's limit on parameters

Whose = tuple[str, str, str]  # tenant, service, card


def store(connection: Connection, records: Sequence[FeedbackRecord], keyring: Keyring) -> None:
    """Within the caller's transaction, so all of them or none."""
    if not records:
        return
    carriers = _carriers(connection, {record.card for record in records})
    rows = [
        feedback_row(record, carriers.get((record.tenant, record.service, record.card)), keyring) for record in records
    ]
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(feedback).on_conflict_do_nothing(index_elements=["fingerprint"])
    connection.execute(statement, rows)


def _carriers(connection: Connection, wanted: Iterable[str]) -> dict[Whose, int]:
    """The newest answer that carried each card: a repeated call may carry the same card again."""
    found: dict[Whose, int] = {}
    names = sorted(wanted)
    for start in range(0, len(names), _CHUNK):
        query = (
            select(answers.c.tenant, answers.c.service, cards.c.card, answers.c.seq)
            .join(answers, answers.c.seq == cards.c.answer)
            .where(cards.c.card.in_(names[start : start + _CHUNK]))
            .order_by(answers.c.seq)
        )
        found |= {(tenant, service, card): answer for tenant, service, card, answer in connection.execute(query)}
    return found
