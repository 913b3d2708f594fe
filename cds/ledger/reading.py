"""Reads the ledger back: opened answers and feedback for replay and audit, and the tallies of reactions."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, case, distinct, func, select
from sqlalchemy.exc import DBAPIError

from cds.ledger.database import unavailable
from cds.ledger.events import Event, opened_event
from cds.ledger.records import AnswerRecord, FeedbackRecord, Tally
from cds.ledger.rows import micros, opened, opened_feedback
from cds.ledger.schema import answers, events, feedback, heads, scores
from cds.ledger.seal import Keyring


def answers_of(
    engine: Engine, keyring: Keyring, since: datetime | None, service: str | None, batch: int
) -> Iterator[AnswerRecord]:
    """See Ledger.answers."""
    query = select(answers).order_by(answers.c.seq).limit(batch)
    if since is not None:
        query = query.where(answers.c.recorded_at >= micros(since))
    if service is not None:
        query = query.where(answers.c.service == service)
    last = -1
    while page := _page(engine, query.where(answers.c.seq > last)):
        last = page[-1][0].seq
        for answer, score_rows in page:
            yield opened(answer, score_rows, keyring)


def _page(engine: Engine, query: Select[Any]) -> list[tuple[Any, Sequence[Any]]]:
    try:
        with engine.execution_options(reading=True).connect() as connection:
            found = connection.execute(query).all()
            of = _scores_of(connection, [answer.seq for answer in found])
            return [(answer, of[answer.seq]) for answer in found]
    except DBAPIError as error:
        raise unavailable(error) from None


def _scores_of(connection: Connection, numbers: Sequence[int]) -> dict[int, list[Any]]:
    query = select(scores).where(scores.c.answer.in_(numbers)).order_by(scores.c.answer, scores.c.position)
    of: dict[int, list[Any]] = defaultdict(list)
    for score in connection.execute(query):
        of[score.answer].append(score)
    return of


def feedback_of(engine: Engine, keyring: Keyring, since: datetime | None, batch: int) -> Iterator[FeedbackRecord]:
    """See Ledger.feedback_records."""
    query = select(feedback).order_by(feedback.c.seq).limit(batch)
    if since is not None:
        query = query.where(feedback.c.received_at >= micros(since))
    last = -1
    while page := _rows(engine, query.where(feedback.c.seq > last)):
        last = page[-1].seq
        for row in page:
            yield opened_feedback(row, keyring)


def events_of(engine: Engine, keyring: Keyring, since: datetime | None, batch: int) -> Iterator[Event]:
    """See Ledger.events."""
    query = select(events).order_by(events.c.seq).limit(batch)
    if since is not None:
        query = query.where(events.c.at >= micros(since))
    last = -1
    while page := _rows(engine, query.where(events.c.seq > last)):
        last = page[-1].seq
        for row in page:
            yield opened_event(row, keyring)


def tenants(engine: Engine) -> list[str]:
    """See Ledger.tenants."""
    return [row.tenant for row in _rows(engine, select(heads.c.tenant).order_by(heads.c.tenant))]


def tallies(engine: Engine) -> list[Tally]:
    """See Ledger.tallies. Of a card's reports the latest by its own timestamp counts; at a tie, the last stored."""
    card = (feedback.c.tenant, feedback.c.service, feedback.c.card)
    newest_first = func.row_number().over(
        partition_by=card, order_by=(feedback.c.outcome_at.desc(), feedback.c.seq.desc())
    )
    report = select(feedback, newest_first.label("age")).subquery()
    by = (report.c.service, scores.c.model, scores.c.version, report.c.outcome, report.c.reason_code)
    # `distinct`: an answer may hold several scores of one model, and a report on it is still one.
    standing = func.count(distinct(case((report.c.age == 1, report.c.seq))))
    query = (
        select(*by, standing, func.count(distinct(report.c.seq)))
        .select_from(report.outerjoin(scores, scores.c.answer == report.c.answer))
        .group_by(*by)
    )
    found = [Tally(*row) for row in _rows(engine, query)]
    return sorted(
        found,
        key=lambda tally: [
            (part is not None, part)
            for part in (tally.service, tally.model, tally.version, tally.outcome, tally.reason)
        ],
    )


def _rows(engine: Engine, query: Select[Any]) -> Sequence[Any]:
    try:
        with engine.execution_options(reading=True).connect() as connection:
            return connection.execute(query).all()
    except DBAPIError as error:
        raise unavailable(error) from None
