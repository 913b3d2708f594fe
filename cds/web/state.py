"""What the routes share: the site, the ledger, the clock, and how much is in progress."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from cds.errors import Overloaded, TooManyCalls, UnsafeToServe
from cds.ledger import Ledger
from cds.site import Site, Tenant
from cds.trust import NotTrusted, Trust, bearer
from cds.trust.rates import Buckets, Rate, stranger
from cds.web.audit import Audit
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
        self.audit = Audit(ledger, clock)
        if ledger is not None:
            self.metrics.spooled.set_function(ledger.spooled)
        allowed = site.settings.failures_per_minute
        self._strangers = Buckets(Rate(allowed / 60, max(1.0, allowed)))
        self._tenants = Buckets(Rate(50, 100))
        self.in_progress = 0
        self.draining = False
        """Nothing is answered any more."""
        self.leaving = False
        """Everything is still answered, but readiness sends callers elsewhere."""
        self.started = False
        """It has been ready once."""
        self.stale = False
        """site.toml was changed into something that cannot be served, and the earlier site still is."""

    def swap(self, site: Site) -> None:
        """Serve another site from here on; a call that has begun ends under the site it began with."""
        self.metrics.know(site)
        if self.trust is not None:
            self.trust = self.trust.with_clients(site.clients)
        self.site, self.stale = site, False

    async def tenant(
        self, authorization: Sequence[str], endpoint: str, service: str | None = None, address: str = ""
    ) -> Tenant:
        """Whose call it is. Raises NotTrusted when that cannot be proven, TooManyCalls when it comes too often."""
        site, trust = self.site, self.trust  # both of one moment: they may be swapped while a token is verified
        if trust is None:
            return site.local
        now = self.clock()
        self._refuse(self._strangers.wait(stranger(address), now.timestamp()))
        try:
            client = (await trust.verify(bearer(authorization), endpoint, now, service)).client
        except NotTrusted:
            self._strangers.take(stranger(address), now.timestamp())
            raise
        found = site.tenants.get(client.tenant)
        if found is None:
            raise NotTrusted("issuer", client.tenant)
        rate = Rate(client.requests_per_second, client.burst)
        self._refuse(self._tenants.take(found.id, now.timestamp(), rate), found.id)
        return found

    def _refuse(self, seconds: int | None, tenant: str | None = None) -> None:
        if seconds is not None:
            raise TooManyCalls("more calls than are allowed here", seconds, tenant)

    def enter(self) -> None:
        """Count a call in. Raises Overloaded when draining or when too many are in progress."""
        if self.draining:
            raise Overloaded("the server is shutting down", retry_after=5)
        if self.in_progress >= self.site.settings.at_once:
            raise Overloaded("too many calls at once", retry_after=1)
        self.in_progress += 1

    def leave(self) -> None:
        self.in_progress -= 1
