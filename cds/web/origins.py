"""Lets pages elsewhere call from a browser: only those of the origins that the site, as it is served now, names."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from cds.site import Site
from cds.web.state import State


class NamedOrigins(CORSMiddleware):
    """Starlette's own answers to browsers. Where no origin is named there is nothing to answer, as without it."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        super().__init__(
            app, allow_methods=["GET", "POST", "OPTIONS"], allow_headers=["Authorization", "Content-Type", "Accept"]
        )
        self._state = state
        self._of: Site | None = None
        self._named: frozenset[str] = frozenset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._of is not self._state.site:
            self._of, self._named = self._state.site, named(self._state.site)
        await (super().__call__ if self._named else self.app)(scope, receive, send)

    def is_allowed_origin(self, origin: str) -> bool:
        return origin in self._named


def named(site: Site) -> frozenset[str]:
    clients = (tenant.client for tenant in site.tenants.values() if tenant.client)
    return frozenset(site.settings.browser_origins).union(*(client.browser_origins for client in clients))
