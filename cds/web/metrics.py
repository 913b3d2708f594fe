"""Counters with closed label sets: nothing that a caller sends ever becomes a label."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from cds.site import Site

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """A server's own registry. Labels are service ids, prefetch keys, statuses and kinds of this site, or "other"."""

    def __init__(self, site: Site) -> None:
        self.registry = CollectorRegistry()
        self._keys: set[str] = set()
        labels = ("service", "kind", "status")
        self._answers = Counter("bedside_answers", "Hook calls answered", labels, registry=self.registry)
        self._seconds = Histogram(
            "bedside_answer_seconds", "Time to an answer", ("service",), buckets=_BUCKETS, registry=self.registry
        )
        self._reasons = Counter(
            "bedside_outcomes", "Why a model did not score", ("model", "reason"), registry=self.registry
        )
        self._missing = Counter(
            "bedside_missing_keys", "Needs that could not be had", ("service", "key"), registry=self.registry
        )
        self._feedback = Counter(
            "bedside_feedback", "Reactions reported", ("service", "outcome"), registry=self.registry
        )
        self._refused = Counter(
            "bedside_refused_requests", "Requests that were no call", ("status",), registry=self.registry
        )
        self.spooled = Gauge("bedside_spooled_events", "Events that wait for the ledger", registry=self.registry)
        self._answer_children: dict[tuple[str, str, int], Counter] = {}
        self._time_children: dict[str, Histogram] = {}
        self.know(site)

    def know(self, site: Site) -> None:
        """Add the labels of a site; those of an earlier one stay, for the calls that began under it."""
        for deployed in (deployed for tenant in site.served() for deployed in tenant.services.values()):
            self._keys |= {need.key for need in deployed.needs}
            self._time_children.setdefault(deployed.service.id, self._seconds.labels(deployed.service.id))

    def answered(self, service: str, kind: str, status: int, seconds: float) -> None:
        key = (service, kind, status)
        child = self._answer_children.get(key)
        if child is None:
            child = self._answer_children[key] = self._answers.labels(service, kind, str(status))
        child.inc()
        self._time_children[service].observe(seconds)

    def not_scored(self, model: str, reason: str) -> None:
        self._reasons.labels(model, reason).inc()

    def missing(self, service: str, key: str) -> None:
        self._missing.labels(service, key if key in self._keys else "other").inc()

    def feedback(self, service: str, outcome: str) -> None:
        self._feedback.labels(service, outcome).inc()

    def refused(self, status: int) -> None:
        self._refused.labels(str(status)).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)
