"""What the routes share: the site, the ledger, the clock, and how much is in progress."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cds.errors import Overloaded, UnsafeToServe
from cds.ledger import Ledger
from cds.site import Site, Tenant
from cds.trust import NotTrusted, Trust, bearer
from cds.web.metrics import Metrics


def utc_now() -> datetime:
    return datetime.now(UTC)


class State:
    """One server process. `ledger` is None only in benchmarks, which say so; `trust` only where the site is open."""

    def __init__(
        self,
        site: Site,
        ledger: Ledger | None,
        clock: Callable[[], datetime] = utc_now,
        trust: Trust | None = None,
    ) -> None:
        if (trust is None) == (site.settings.trust == "clients"):
            raise UnsafeToServe('a site is served with client tokens exactly where it says trust = "clients"')
        self.site = site
        self.ledger = ledger
        self.clock = clock
        self.trust = trust
        self.metrics = Metrics(site)
        self.in_progress = 0
        self.draining = False

    async def tenant(self, authorization: Sequence[str], endpoint: str, service: str | None = None) -> Tenant:
        """Whose call it is. Raises NotTrusted when that cannot be proven."""
        if self.trust is None:
            return self.site.local
        caller = await self.trust.verify(bearer(authorization), endpoint, self.clock(), service)
        found = self.site.tenants.get(caller.tenant)
        if found is None:
            raise NotTrusted("issuer", caller.tenant)
        return found

    def enter(self) -> None:
        """Count a call in. Raises Overloaded when draining or when too many are in progress."""
        if self.draining:
            raise Overloaded("the server is shutting down", retry_after=5)
        if self.in_progress >= self.site.settings.at_once:
            raise Overloaded("too many calls at once", retry_after=1)
        self.in_progress += 1

    def leave(self) -> None:
        self.in_progress -= 1
