"""What the routes share: the site, the ledger, the clock, and how much is in progress."""

from collections.abc import Callable
from datetime import UTC, datetime

from cds.cdshooks.discovery import discovery
from cds.errors import Overloaded
from cds.ledger import Ledger
from cds.site import Site
from cds.web.metrics import Metrics


def utc_now() -> datetime:
    return datetime.now(UTC)


class State:
    """One server process. `ledger` is None only in benchmarks, which say so."""

    def __init__(self, site: Site, ledger: Ledger | None, clock: Callable[[], datetime] = utc_now) -> None:
        self.site = site
        self.ledger = ledger
        self.clock = clock
        self.metrics = Metrics(site)
        self.in_progress = 0
        self.draining = False
        self.discovery = discovery(site.services.values(), site.settings.cds_hooks)

    def enter(self) -> None:
        """Count a call in. Raises Overloaded when draining or when too many are in progress."""
        if self.draining:
            raise Overloaded("the server is shutting down", retry_after=5)
        if self.in_progress >= self.site.settings.at_once:
            raise Overloaded("too many calls at once", retry_after=1)
        self.in_progress += 1

    def leave(self) -> None:
        self.in_progress -= 1
