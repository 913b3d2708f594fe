"""What one process knows of the FHIR servers it asks: their connections, how much waits for them, whether they fail."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from time import monotonic

from cds.fhir.breaker import Breaker, State
from cds.fhir.http import Http, Transport, open_http
from cds.fhir.origins import origin

CALLERS = 64
"""Hook calls and pages that may be asking one server at once: a quarter of what a process takes, however slow it is."""


class FhirServer:
    """One server. Shared by all who ask it: nothing of theirs, no token and no cookie, stays here.

    `jitter` gives numbers in [0, 1), by which callers that failed together do not come back together.
    """

    def __init__(
        self,
        transport: Transport | None = None,
        clock: Callable[[], float] = monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.breaker = Breaker(clock)
        self.callers = 0
        self.jitter = jitter
        self._transport = transport
        self._keeper: asyncio.AbstractEventLoop | None = None
        self._kept: Http | None = None

    @asynccontextmanager
    async def connections(self) -> AsyncIterator[Http]:
        """Connections to the server: kept between callers while somebody keeps them, else closed at the end."""
        if self._keeper is not asyncio.get_running_loop():
            async with open_http(self._transport) as http:
                yield http
            return
        if self._kept is None:
            self._kept = open_http(self._transport)
        yield self._kept

    def take_place(self) -> bool:
        """Count a caller in, when there is room. Who has a place leaves it."""
        if self.callers >= CALLERS:
            return False
        self.callers += 1
        return True

    def leave_place(self) -> None:
        self.callers -= 1

    def keep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep connections between callers until `close`, for callers in this loop."""
        self._keeper = loop

    async def close(self) -> None:
        self._keeper, kept, self._kept = None, self._kept, None
        if kept is not None:
            await kept.aclose()


class Servers:
    """The servers that a tenant's data come from, by origin.

    As a context manager it keeps their connections open between callers; without, each caller opens its own. Their
    breakers and places are shared either way.
    """

    def __init__(self, clock: Callable[[], float] = monotonic, jitter: Callable[[], float] = random.random) -> None:
        self._clock, self._jitter = clock, jitter
        self._servers: dict[tuple[str, str, int | None], FhirServer] = {}
        self._keeper: asyncio.AbstractEventLoop | None = None

    def of(self, base: str, transport: Transport | None = None) -> FhirServer:
        """The server of a registered base URL."""
        key = origin(base)
        server = self._servers.get(key)
        if server is None:
            server = self._servers[key] = FhirServer(transport, self._clock, self._jitter)
            if self._keeper is not None:
                server.keep(self._keeper)
        return server

    def states(self) -> Mapping[str, State]:
        """Each server's breaker by "host:port", for metrics and for the operator's page."""
        return {f"{host}:{port}": server.breaker.state for (_, host, port), server in self._servers.items()}

    async def __aenter__(self) -> "Servers":
        self._keeper = asyncio.get_running_loop()
        for server in self._servers.values():
            server.keep(self._keeper)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keeper = None
        for server in self._servers.values():
            await server.close()
