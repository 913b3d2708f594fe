"""Runs the application until it is told to leave, in an order in which no caller is turned away."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from socket import socket
from types import FrameType
from typing import Any

import uvicorn

from cds.web.protocol import BoundedHttp
from cds.web.state import State

IN_PROGRESS_SECONDS = 25
"""How long answers in progress may take once nothing new is accepted; uvicorn alone would wait for ever."""

_CLOSE = (b"connection", b"close")


class Server(uvicorn.Server):
    """SIGTERM: not ready at once, everything answered for `drain_seconds` more, then nothing new accepted, then done.

    SIGINT, or a second signal, skips that wait; one more skips the answers in progress. What is recorded is on the disk
    either way. SIGHUP runs `reload`; without one it keeps its usual meaning.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        state: State,
        *,
        drain_seconds: float,
        reload: Callable[[], Awaitable[object]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(config)
        self._state = state
        self._drain_seconds = drain_seconds
        self._reload = reload
        self._clock = clock
        self._accept_until: float | None = None
        self._reloading: set[asyncio.Task[object]] = set()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """One signal after the other: leave, hurry, go. Not kept as uvicorn does, so that the process ends with 0."""
        first = not self._state.leaving
        self._leave()
        if self.should_exit:
            self.force_exit = True
        elif first and sig == signal.SIGTERM:
            self._accept_until = self._clock() + self._drain_seconds
        else:
            self.should_exit = True

    def _leave(self) -> None:
        """From here on readiness says 503, and each answer asks its caller to come back on another connection."""
        if not self._state.leaving:
            self._state.leaving = True
            self.config.encoded_headers.append(_CLOSE)
            self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]

    async def on_tick(self, counter: int) -> bool:
        done = await super().on_tick(counter)
        return done or (self._accept_until is not None and self._clock() >= self._accept_until)

    async def startup(self, sockets: list[socket] | None = None) -> None:
        await super().startup(sockets)
        if self._reload is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hang_up, self._reload)

    def _hang_up(self, reload: Callable[[], Awaitable[object]]) -> None:
        if not self._state.leaving:
            task = asyncio.ensure_future(_awaited(reload))
            self._reloading.add(task)  # the loop alone would let go of it half way
            task.add_done_callback(self._reloading.discard)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self.should_exit = True  # a signal from here on means: do not wait any longer
        await super().shutdown(sockets)
        if self.force_exit:
            await self.lifespan.shutdown()  # uvicorn would leave it out, and the ledger open


async def _awaited(work: Callable[[], Awaitable[object]]) -> object:
    return await work()


def configuration(application: Any, host: str, port: int, proxies: Sequence[str] = ()) -> uvicorn.Config:
    """How we have uvicorn serve: no log of addresses, no name of the server, and an end to every wait.

    `proxies`: the addresses or networks whose X-Forwarded-For and X-Forwarded-Proto are believed; from no others.
    """
    return uvicorn.Config(
        application, host=host, port=port, access_log=False, log_level="warning", server_header=False,
        timeout_graceful_shutdown=IN_PROGRESS_SECONDS, loop="uvloop", http=BoundedHttp, ws="none",
        proxy_headers=bool(proxies), forwarded_allow_ips=list(proxies),
    )  # fmt: skip
