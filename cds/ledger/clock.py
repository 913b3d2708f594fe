"""Compares the database's clock with the host's: two clocks that disagree would order the record wrongly."""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from cds.ledger.database import unavailable

TOLERATED = timedelta(seconds=30)
"""A clock that is further off than this stops the start and the readiness."""
UNREMARKED = timedelta(seconds=5)
"""A clock that is further off than this is worth a warning."""


def ahead(engine: Engine, host: Callable[[], datetime]) -> timedelta | None:
    """How far the database's clock is ahead of `host`'s (negative: behind); None for SQLite, which has the host's."""
    if engine.dialect.name != "postgresql":
        return None
    try:
        with engine.connect() as connection:
            before = host()
            theirs: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
            after = host()
    except DBAPIError as error:
        raise unavailable(error) from None
    return theirs - (before + (after - before) / 2)
