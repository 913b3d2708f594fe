"""Finds what a user was shown about a patient: what may rest, or need not be said twice, depends on it (D16)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Select, literal_column, select

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
    return next(_to_user(connection, query, whose, keyring), None)


def shown_by_others(
    connection: Connection, whose: Whose, hook: str, hook_instance: str, since: datetime, keyring: Keyring
) -> list[AnswerRecord]:
    """The answers with a card that other services gave this user since, at one hook's instance.

    None when this service gave one too: the event is asked about again, and what each left out before is not known.
    """
    query = (
        select(answers)
        .where(
            answers.c.patient == keyring.pseudonym(whose.tenant, whose.patient),
            answers.c.kind == literal_column("'card'"),  # as the index has it
            answers.c.tenant == whose.tenant,
            answers.c.hook == hook,
            answers.c.hook_instance == hook_instance,
            answers.c.recorded_at >= micros(since),
        )
        .order_by(answers.c.seq)
    )
    found = list(_to_user(connection, query, whose, keyring))
    return [] if any(answer.service == whose.service for answer in found) else found


def _to_user(connection: Connection, query: Select[Any], whose: Whose, keyring: Keyring) -> Iterator[AnswerRecord]:
    for row in connection.execute(query).all():
        found = select(scores).where(scores.c.answer == row.seq).order_by(scores.c.position)
        answer = opened(row, connection.execute(found).all(), keyring)
        if answer.user == whose.user:  # who it was is sealed
            yield answer
