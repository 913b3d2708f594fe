"""What keeps a ledger fit for years: forgetting in time, changing keys, and knowing that it still works."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, Table, bindparam, delete, func, select, true, update
from sqlalchemy.exc import DBAPIError

from cds.errors import SiteError
from cds.ledger import rows
from cds.ledger.chain import Chains
from cds.ledger.database import unavailable
from cds.ledger.events import EARLIER, STANDING, Event, event_bound, note
from cds.ledger.schema import answers, events, feedback, heads, links, replays
from cds.ledger.seal import KEY_ID, Keyring

_CHUNK = 200  # rows in one transaction: answers are being recorded meanwhile, and wait for it


def purge(engine: Engine, before: datetime, at: datetime, keyring: Keyring) -> int:
    """See Ledger.purge. Returns the number of answers deleted."""
    limit = rows.micros(before)
    keys = select(replays.c.replay_key).where(replays.c.recorded_at < limit).limit(_CHUNK)
    gone = 0
    try:
        # First: no repeat may be promised an answer that is going.
        while _in_transaction(engine, lambda connection: _delete(connection, replays, "replay_key", keys)):
            pass
        with engine.connect() as connection:
            tenants = connection.scalars(select(heads.c.tenant).order_by(heads.c.tenant)).all()
        for tenant in tenants:
            event = Event("purge", tenant, at, "success", None, None, {"before": str(limit)})
            while deleted := _in_transaction(engine, partial(_purge_some, event=event, keyring=keyring)):
                gone += deleted["answers"]
    except DBAPIError as error:
        raise unavailable(error) from None
    return gone


def _in_transaction(engine: Engine, work: Callable[[Connection], Any]) -> Any:
    with engine.begin() as connection:
        return work(connection)


def _purge_some(connection: Connection, event: Event, keyring: Keyring) -> dict[str, int] | None:
    """Some rows of a tenant, and in the same transaction the event that permits their absence; None: there are none."""
    limit, tenant = int(event.detail["before"]), event.tenant
    orphans = feedback.c.answer.is_(None) & (feedback.c.received_at < limit)
    passing = (events.c.at < limit) & events.c.kind.not_in(STANDING)
    with Chains(connection, [tenant], keyring) as chains:
        going = {
            table.name: connection.scalars(
                select(table.c.seq).where(table.c.tenant == tenant, old).order_by(table.c.seq).limit(_CHUNK)
            ).all()
            for table, old in ((answers, answers.c.recorded_at < limit), (feedback, orphans), (events, passing))
        }
        earlier = _earlier(connection, tenant, going) if chains.earlier(tenant) else (0, 0)
        # scores, cards and feedback go with their answer by cascade
        gone = {
            table.name: _delete(connection, table, "seq", going[table.name]) if going[table.name] else 0
            for table in (answers, feedback, events)
        }
        if not any(gone.values()):
            return None
        told = {name: str(count) for name, count in (*gone.items(), *zip(EARLIER, earlier, strict=True))}
        chains.note([note(msgspec.structs.replace(event, detail={**event.detail, **told}), keyring)])
    return gone


def _earlier(connection: Connection, tenant: str, going: Mapping[str, Sequence[int]]) -> tuple[int, int]:
    """How many answers and reports from before the chain are about to go: those below the first that has a link."""
    first = select(links.c.seq).where(links.c.tenant == tenant).order_by(links.c.n).limit(1)
    answer = connection.scalar(first.where(links.c.kind == "answer"))
    report = connection.scalar(first.where(links.c.kind == "feedback"))
    reports = select(func.count()).where(
        feedback.c.seq.in_(going["feedback"]) | feedback.c.answer.in_(going["answers"]),
        feedback.c.seq < report if report is not None else true(),
    )
    old = [seq for seq in going["answers"] if answer is None or seq < answer]
    return len(old), connection.scalar(reports) or 0


def _delete(connection: Connection, table: Table, key: str, chunk: Any) -> int:
    return connection.execute(delete(table).where(table.c[key].in_(chunk))).rowcount


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
    for table, key in ((answers, "id"), (feedback, "fingerprint"), (events, "id")):
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
    bound_to = {"answers": rows.answer_bound, "feedback": rows.feedback_bound, "events": event_bound}[table.name]
    fresh = []
    for row in found:
        bound, sealed = bound_to(row.tenant, row.name), bytes(row.sealed)
        ring = old if old.knows(sealed) else new
        fresh.append({"numbered": row.seq, "value": new.seal(ring.open(sealed, bound), bound)})
    if fresh:
        statement = update(table).where(table.c.seq == bindparam("numbered")).values(sealed=bindparam("value"))
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
