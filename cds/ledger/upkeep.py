"""What keeps a ledger fit for years: forgetting in time, changing keys, and knowing that it still works."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Table, bindparam, delete, func, select, update
from sqlalchemy.exc import DBAPIError

from cds.errors import SiteError
from cds.ledger import rows
from cds.ledger.database import unavailable
from cds.ledger.schema import answers, feedback, replays
from cds.ledger.seal import KEY_ID, Keyring

_CHUNK = 200  # rows in one transaction: answers are being recorded meanwhile, and wait for it


def purge(engine: Engine, before: datetime) -> int:
    """See Ledger.purge. Returns the number of answers deleted."""
    limit = rows.micros(before)
    old = select(answers.c.seq).where(answers.c.recorded_at < limit).limit(_CHUNK)
    orphans = select(feedback.c.seq).where(feedback.c.answer.is_(None), feedback.c.received_at < limit).limit(_CHUNK)
    keys = select(replays.c.replay_key).where(replays.c.recorded_at < limit).limit(_CHUNK)
    _delete_all(engine, replays, "replay_key", keys)  # first: no repeat may be promised an answer that is going
    gone = _delete_all(engine, answers, "seq", old)  # scores, cards and feedback go by cascade
    _delete_all(engine, feedback, "seq", orphans)
    return gone


def _delete_all(engine: Engine, table: Table, key: str, chunk: Any) -> int:
    gone = 0
    while True:
        try:
            with engine.begin() as connection:
                deleted = connection.execute(delete(table).where(table.c[key].in_(chunk))).rowcount
        except DBAPIError as error:
            raise unavailable(error) from None
        if deleted == 0:
            return gone
        gone += deleted


def succession(old: Keyring, new: Keyring) -> Keyring:
    """The old ring, if the new one can follow it: with other pseudonyms no patient would find his earlier answers."""
    if not old.same_pseudonyms(new):
        raise SiteError(
            "the new ledger key changes the pseudonyms: make it from the old one with `bedside ledger rotate`"
        )
    return old


def rotate(engine: Engine, old: Keyring, new: Keyring) -> int:
    """See Ledger.rotate."""
    resealed = 0
    for table, key in ((answers, "id"), (feedback, "fingerprint")):
        while count := _pass(engine, table, key, old, new):  # the last pass finds nothing left under an older key
            resealed += count
    return resealed


def _pass(engine: Engine, table: Table, key: str, old: Keyring, new: Keyring) -> int:
    stale = func.substr(table.c.sealed, 1, KEY_ID) != new.current_id
    query = select(table.c.seq, table.c.tenant, table.c[key].label("name"), table.c.sealed).order_by(table.c.seq)
    last, count = -1, 0
    while True:
        try:
            with engine.begin() as connection:
                found = connection.execute(query.where(stale, table.c.seq > last).limit(_CHUNK)).all()
                _reseal(connection, table, found, old, new)
        except DBAPIError as error:
            raise unavailable(error) from None
        if not found:
            return count
        last, count = found[-1].seq, count + len(found)


def _reseal(connection: Connection, table: Table, found: Any, old: Keyring, new: Keyring) -> None:
    bound_to = rows.answer_bound if table is answers else rows.feedback_bound
    fresh = []
    for row in found:
        bound, sealed = bound_to(row.tenant, row.name), bytes(row.sealed)
        ring = old if old.knows(sealed) else new
        fresh.append({"at": row.seq, "value": new.seal(ring.open(sealed, bound), bound)})
    if fresh:
        statement = update(table).where(table.c.seq == bindparam("at")).values(sealed=bindparam("value"))
        connection.execute(statement, fresh)


def check(engine: Engine, keyring: Keyring) -> None:
    """Writes to the newest answer what stands there, takes it back, and opens it."""
    newest = select(answers.c.seq, answers.c.tenant, answers.c.id, answers.c.sealed).order_by(answers.c.seq.desc())
    try:
        with engine.connect() as connection, connection.begin() as transaction:
            row = connection.execute(newest.limit(1)).first()
            seq = -1 if row is None else row.seq
            connection.execute(update(answers).where(answers.c.seq == seq).values(repeats=answers.c.repeats))
            transaction.rollback()
    except DBAPIError as error:
        raise unavailable(error) from None
    if row is not None:
        rows.body_of(row.tenant, row.id, bytes(row.sealed), keyring)
