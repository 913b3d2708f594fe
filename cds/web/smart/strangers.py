"""Keeps strangers from crowding out whoever is signing in: only so many launches and failures from one address."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from cds.smart import Reason, SmartApp, SmartRefused
from cds.smart.launches import LIFE
from cds.trust.rates import Buckets, Rate, stranger
from cds.web.state import State

_THEIRS: frozenset[Reason] = frozenset({
    "issuer-missing", "issuer-unknown", "launch-missing", "state-missing", "state-unknown", "state-expired",
    "state-replayed", "other-browser", "code-missing", "forged", "request-unusable", "no-standalone",
})  # fmt: skip
"""What only the request was wrong about. An EHR that does not answer is no fault of those who wait for it."""

Work = Callable[[Request], Awaitable[Response]]


class Strangers:
    """Counts by address. Whoever comes back from sign-in frees the place that his launch took."""

    def __init__(self, state: State, app: SmartApp) -> None:
        allowed = state.site.settings.failures_per_minute
        self._state = state
        self._app = app
        self._failures = Buckets(Rate(allowed / 60, max(1.0, allowed)))
        self._launches = max(1, int(allowed * LIFE.total_seconds() / 60))

    def counted(self, work: Work) -> Work:
        """A route whose failures count: above their number they are "too-many", whatever they are.

        Only failures pay: who can sign in is let through, whoever else is behind the same proxy.
        """

        async def entered(request: Request) -> Response:
            try:
                return await work(request)
            except SmartRefused as fault:
                if fault.reason in _THEIRS and self._failures.take(self.key(request), self._now()) is not None:
                    raise SmartRefused("too-many", fault.tenant) from None
                raise

        return entered

    def key(self, request: Request) -> str:
        return stranger(request.client.host if request.client else "")

    def refuse_more(self, key: str, tenant: str) -> None:
        """Raises SmartRefused("too-many") where the launches that an address began and did not end are too many."""
        if self._app.launches.of(key) >= self._launches:
            raise SmartRefused("too-many", tenant)

    def _now(self) -> float:
        return self._state.clock().timestamp()
