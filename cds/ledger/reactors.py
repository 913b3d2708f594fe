"""Knows of which patients anything was reported lately, so that most answers need not ask the database (D16)."""

from datetime import datetime
from time import monotonic

from sqlalchemy import Connection, select

from cds.ledger.rows import micros
from cds.ledger.schema import answers, feedback

FRESH = 30.0
"""Seconds after which what other servers have recorded is looked up."""
PAGE = 5_000
"""Reports read at once, so that an answer never waits for those of years."""
_OVERLAP = 1_000
"""Reports looked at again: of two servers' transactions, the one with the lower numbers may end later."""


class Reactors:
    """Pseudonyms of patients with a report on one of their cards. Read in the writer's thread, asked in any."""

    def __init__(self) -> None:
        self._patients = set[str]()
        self._read, self._since = 0, -1
        self._looked_at, self._whole = float("-inf"), False

    def rule_out(self, pseudonym: str, since: datetime) -> bool:
        """Whether surely nothing was reported of this patient since, as far as half a minute ago."""
        known = self._whole and monotonic() - self._looked_at < FRESH and micros(since) >= self._since
        return known and pseudonym not in self._patients

    def look(self, connection: Connection, since: datetime) -> None:
        """Read what has come since the last look; when there is much, a part of it."""
        if self._since < 0 or micros(since) < self._since:
            self._read, self._since = 0, micros(since)
        begin = max(0, self._read - _OVERLAP) if self._whole else self._read
        query = (
            select(feedback.c.seq, answers.c.patient)
            .join(answers, answers.c.seq == feedback.c.answer)
            .where(feedback.c.seq > begin, feedback.c.received_at >= self._since)
            .order_by(feedback.c.seq)
            .limit(PAGE + _OVERLAP)
        )
        now, found = monotonic(), connection.execute(query).all()
        self._patients.update(row.patient for row in found)
        self._read = max(self._read, found[-1].seq) if found else self._read
        self._looked_at, self._whole = now, len(found) < PAGE + _OVERLAP

    def outdate(self) -> None:
        """Something was reported here: the next who asks looks."""
        self._looked_at = float("-inf")
