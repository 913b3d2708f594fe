"""Knows of which patients anything was reported lately, so that most answers need not ask the database (D16)."""

from datetime import datetime
from time import monotonic

from sqlalchemy import Connection, func, select

from cds.ledger.reactions import Whose, last_reacted
from cds.ledger.records import AnswerRecord
from cds.ledger.rows import micros
from cds.ledger.schema import answers, feedback
from cds.ledger.seal import Keyring

FRESH = 30.0
"""Seconds after which what other servers have recorded is looked up."""
PAGE = 10_000
"""Reports read at once, so that an answer never waits for those of years."""
OVERLAP = 5_000
"""Reports looked at again: of two servers' transactions, the one with the lower numbers may end later."""


class Reactors:
    """Pseudonyms of patients with a report on one of their cards. Read in the writer's thread, asked in any."""

    def __init__(self) -> None:
        self._patients = set[str]()
        self._read, self._since = 0, -1
        self._looked_at, self._whole = float("-inf"), False

    def known(self, since: datetime) -> bool:
        """Whether all is known that was reported since, as far as half a minute ago."""
        return self._whole and monotonic() - self._looked_at < FRESH and 0 <= self._since <= micros(since)

    def rule_out(self, pseudonym: str, since: datetime) -> bool:
        """Whether surely nothing was reported of this patient since, as far as that is known."""
        return self.known(since) and pseudonym not in self._patients

    def look(self, connection: Connection, since: datetime) -> None:
        """Read what has come since the last look; when there is much, a part of it."""
        if self.known(since):
            return
        if self._since < 0 or micros(since) < self._since:
            self.outdate()
            self._whole, self._since = False, micros(since)
            self._read = _last_before(connection, self._since)
        begin = max(0, self._read - OVERLAP) if self._whole else self._read
        query = (
            select(feedback.c.seq, answers.c.patient)
            .outerjoin(answers, answers.c.seq == feedback.c.answer)
            .where(feedback.c.seq > begin)
            .order_by(feedback.c.seq)
            .limit(PAGE)
        )
        now, found = monotonic(), connection.execute(query).all()
        self._patients.update(row.patient for row in found if row.patient is not None)
        self._read = max(self._read, found[-1].seq) if found else self._read
        self._looked_at, self._whole = now, len(found) < PAGE

    def last(self, connection: Connection, whose: Whose, since: datetime, keyring: Keyring) -> AnswerRecord | None:
        """What `last_reacted` tells, asked only of a patient of whom something was reported."""
        self.look(connection, since)
        nobody = self.rule_out(keyring.pseudonym(whose.tenant, whose.patient), since)
        return None if nobody else last_reacted(connection, whose, since, keyring)

    def outdate(self) -> None:
        """Something was reported here: the next who asks looks."""
        self._looked_at = float("-inf")


def _last_before(connection: Connection, since: int) -> int:
    """The number after which the reports since an instant begin."""
    first = connection.execute(select(func.min(feedback.c.seq)).where(feedback.c.received_at >= since)).scalar()
    last = connection.execute(select(func.max(feedback.c.seq))).scalar() if first is None else first - 1
    return int(last or 0)
