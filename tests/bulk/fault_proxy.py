"""A proxy on loopback that breaks what passes through it, as networks and busy servers do, from a seed."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.bulk.server import outcome

PIECE = 8 * 1024
FAULTS = ("429 seconds", "429 date", "500 transient", "503", "cut", "410", "refused token")
_PASSED_ON = ("accept", "accept-encoding", "authorization", "content-type", "prefer", "range")
_GIVEN_BACK = ("content-type", "content-location", "location", "retry-after", "x-progress", "expires", "etag")


class FaultProxy:
    """To `behind`. Each request meets a fault with chance `often`; `met` counts them. `pause`: seconds before a piece.

    A file is gone (410) at most once: a client may take a second time for the truth.
    """

    def __init__(self, seed: int, often: float = 0.0, pause: float = 0.0) -> None:
        self.behind = ""
        self.often, self.pause = often, pause
        self.met: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._gone: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        fault = self._fault(request) if self._chance.random() < self.often else None
        if fault is not None:
            self.met[fault] += 1
        answer = _instead(fault) if fault not in (None, "cut") else await self._passed(request, cut=fault == "cut")
        await answer(scope, receive, send)

    def _fault(self, request: Request) -> str | None:
        """One that a client can meet there and live: an export that may have begun must not be asked for again."""
        path = request.url.path
        if path.endswith("/$export") or request.method == "DELETE" or "/bulk-" not in path:
            return None
        fault = self._chance.choice(FAULTS if "/bulk-files/" in path else FAULTS[:4])
        if fault == "410" and path in self._gone:
            return None
        if fault == "410":
            self._gone.add(path)
        return fault

    async def _passed(self, request: Request, *, cut: bool) -> Response:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        url = f"{self.behind}{request.url.path}" + (f"?{request.url.query}" if request.url.query else "")
        async with httpx.AsyncClient(timeout=30) as client:
            found = await client.request(request.method, url, headers=headers, content=await request.body())
        told = {name: found.headers[name] for name in _GIVEN_BACK if name in found.headers}
        until = self._chance.randrange(len(found.content) + 1) if cut else None
        told["content-length"] = str(len(found.content))
        return StreamingResponse(self._pieces(found.content, until), found.status_code, told)

    async def _pieces(self, content: bytes, until: int | None) -> AsyncIterator[bytes]:
        for start in range(0, len(content), PIECE):
            if until is not None and start + PIECE > until:
                yield content[start:until]
                raise ConnectionError("the plug is pulled")
            if self.pause:
                await asyncio.sleep(self.pause)
            yield content[start : start + PIECE]


def _instead(fault: str | None) -> Response:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    return {
        "429 seconds": outcome(429, "throttled", Retry_After="1"),
        "429 date": outcome(429, "throttled", Retry_After=soon),
        "500 transient": outcome(500, "transient"),
        "503": Response(status_code=503),
        "410": outcome(410, "deleted"),
        "refused token": outcome(401, "expired"),
    }[fault or ""]
