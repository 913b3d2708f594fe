"""What the routes share: the site, the ledger, the clock, and how much is in progress."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from cds.errors import Overloaded, TooManyCalls, UnsafeToServe
from cds.ledger import Ledger
from cds.site import Site, Tenant
from cds.trust import Client, NotTrusted, Trust, bearer
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
        self._held: Counter[str] = Counter()
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
        try:
            caller = await trust.verify(bearer(authorization), endpoint, now, service, partial(self._admit, site, now))
        except NotTrusted:
            # Only failures pay: a stranger behind the same proxy must not be able to keep an EHR out.
            _refuse(self._strangers.take(stranger(address), now.timestamp()))
            raise
        return site.tenants[caller.tenant]

    def _admit(self, site: Site, now: datetime, client: Client) -> None:
        if client.tenant not in site.tenants:
            raise NotTrusted("issuer", client.tenant)
        rate = Rate(client.requests_per_second, client.burst)
        _refuse(self._tenants.take(client.tenant, now.timestamp(), rate), client.tenant)

    @contextmanager
    def place(self, tenant: str = "") -> Iterator[None]:
        """A place among the calls in progress. Raises Overloaded when draining or when too many are.

        Where there are several tenants none has more than half of the places: one whose calls come slowly, or whose
        EHR hangs, leaves the others theirs.
        """
        site = self.site
        if self.draining:
            raise Overloaded("the server is shutting down", retry_after=5)
        most = site.settings.at_once
        share = most if len(site.tenants) < 2 else max(1, most // 2)
        if self.in_progress >= most or self._held[tenant] >= share:
            raise Overloaded("too many calls at once", retry_after=1)
        self.in_progress += 1
        self._held[tenant] += 1
        try:
            yield
        finally:
            self.in_progress -= 1
            self._held[tenant] -= 1


def _refuse(seconds: int | None, tenant: str | None = None) -> None:
    if seconds is not None:
        raise TooManyCalls("more calls than are allowed here", seconds, tenant)
