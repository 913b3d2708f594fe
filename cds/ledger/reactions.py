"""Finds what a user was last shown about a patient and said something of: what may rest depends on it (D16)."""

from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, literal_column, select

from cds.ledger.records import AnswerRecord
from cds.ledger.rows import micros, opened
from cds.ledger.schema import answers, feedback, scores
from cds.ledger.seal import Keyring


class Whose(Struct, frozen=True):
    """Who is shown what: `patient` and `user` as an AnswerRecord has them."""

    tenant: str
    service: str
    patient: str
    user: str


def last_reacted(connection: Connection, whose: Whose, since: datetime, keyring: Keyring) -> AnswerRecord | None:
    """The answer with the card of which this user last reported something since; the newest report counts."""
    query = (
        select(answers)
        .join(feedback, feedback.c.answer == answers.c.seq)
        .where(
            answers.c.patient == keyring.pseudonym(whose.tenant, whose.patient),
            answers.c.kind == literal_column("'card'"),  # as the index has it
            answers.c.tenant == whose.tenant,
            answers.c.service == whose.service,
            feedback.c.received_at >= micros(since),
        )
        .order_by(feedback.c.received_at.desc(), feedback.c.seq.desc())
    )
    for row in connection.execute(query).all():
        found = select(scores).where(scores.c.answer == row.seq).order_by(scores.c.position)
        answer = opened(row, connection.execute(found).all(), keyring)
        if answer.user == whose.user:  # who it was is sealed
            return answer
    return None
