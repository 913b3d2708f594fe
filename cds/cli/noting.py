"""Notes in the site's ledger what a command did with many patients' data, and who ran it."""

import asyncio
import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from cds.cli.common import err, open_ledger
from cds.errors import BedsideError, RequestError, RunUnusable, SiteError
from cds.ledger.events import Event, Kind, Outcome
from cds.settings import Settings
from cds.site import LOCAL


def note_done(settings: Settings, kind: Kind, detail: Mapping[str, str], outcome: Outcome = "success") -> None:
    """An event in the chain of the site itself, where the site has a ledger: one whose key is set."""
    if settings.ledger_key is None:
        return
    event = Event(kind, LOCAL, datetime.now(UTC), outcome, f"command line: {who()}", None, detail)
    with open_ledger(settings) as ledger:
        asyncio.run(ledger.note(event))


@contextmanager
def noted(settings: Settings, kind: Kind, detail: Mapping[str, str]) -> Iterator[None]:
    """Notes that it begins, and an end that raises: a beginning that stands alone in the ledger is a kill.

    Raises SiteError, LedgerUnavailable: what nobody can record does not begin.
    """
    note_done(settings, kind, {**detail, "state": "begins"})
    try:
        yield
    except BaseException as fault:
        refused = isinstance(fault, (RequestError, RunUnusable, SiteError))
        how = "interrupted" if isinstance(fault, KeyboardInterrupt) else "refused" if refused else "failed"
        try:
            note_done(settings, kind, {**detail, "state": "ended", "how": how}, "refused" if refused else "failed")
        except BedsideError as other:
            err.print(other.message)
        raise


def who() -> str:
    """By the process, not by a variable that anybody may set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
