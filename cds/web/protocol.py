"""HTTP as uvicorn speaks it, with a limit on what a client may send before it is heard and on how long it may take."""

from asyncio import TimerHandle, Transport
from typing import ClassVar, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from cds.cdshooks.outcomes import body_of
from cds.errors import BedsideError, MalformedRequest, RequestTooLarge

_UNUSABLE, _SLOW, _LARGE = 400, 408, 431


class BoundedHttp(HttpToolsProtocol):
    """One connection, whose requests have 16 KiB for address and headers, and 10 s for those and 10 s for the body.

    uvicorn itself waits without end for both, and keeps headers of any length (R14, R18). No WebSocket is spoken here.
    """

    header_bytes: ClassVar[int] = 16 * 1024
    header_seconds: ClassVar[float] = 10.0
    body_seconds: ClassVar[float] = 10.0

    _reading: Literal["head", "body", "nothing"] = "head"
    _counted = 0
    _uncounted = 0
    _began = False
    _timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._start(self.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._reading == "nothing":
            self._reading = "head"
        self._began = False
        super().data_received(data)
        if self.transport.is_closing():
            self._stop()
        elif self._reading == "head" and not self._too_much(data):
            self._start(self.header_seconds)
        elif self._reading == "body":
            self._start(self.body_seconds)

    def _too_much(self, data: bytes) -> bool:
        """Whether a head that has no end yet is over the limit: the parser tells of a header only when it is whole."""
        self._uncounted = 0 if self._began else self._uncounted + len(data)
        if self._uncounted <= self.header_bytes:
            return False
        self._refuse(_LARGE, self._over_the_limit())
        return True

    def on_message_begin(self) -> None:
        self._reading, self._counted, self._began = "head", 0, True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def _count(self, more: int) -> None:
        self._counted += more
        if self._counted > self.header_bytes:
            raise self._over_the_limit()  # the parser stops here, and uvicorn calls send_400_response

    def _over_the_limit(self) -> RequestTooLarge:
        return RequestTooLarge(f"address and headers are over {self.header_bytes} bytes")

    def on_headers_complete(self) -> None:
        self._stop()
        self._reading, self._uncounted = "body", 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop()
        self._reading = "nothing"
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if self._counted > self.header_bytes:
            self._refuse(_LARGE, self._over_the_limit())
        else:
            self._refuse(_UNUSABLE, MalformedRequest("this is no HTTP request"))

    def _should_upgrade_to_ws(self) -> bool:
        return False

    def _start(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self._too_slow)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._reading == "head" and self._answering():
            self.cycle.keep_alive = False  # the request before this one still gets its answer
        elif self._reading == "head" and not (self._counted or self._uncounted):
            self.transport.close()  # nothing was asked
        else:
            self._refuse(_SLOW, MalformedRequest("the request took too long to arrive"))

    def _latest(self) -> RequestResponseCycle | None:
        return self.cycle  # uvicorn's own annotation leaves out that there is none before the first request

    def _answering(self) -> bool:
        latest = self._latest()
        return latest is not None and not latest.response_complete

    def _refuse(self, status: int, error: BedsideError) -> None:
        """Hang up; say why first, unless the application has begun to speak or an earlier request waits for it."""
        if self._reading == "head":
            silent = self._answering()
        else:
            latest = self._latest()
            silent = bool(self.pipeline) or (latest is not None and latest.response_started)
        if not silent and not self.transport.is_closing():
            self.transport.write(_response(status, body_of(error)))
        if self._answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


def _response(status: int, body: bytes) -> bytes:
    headers = (
        b"content-type: application/json; charset=utf-8",
        b"cache-control: no-store",
        b"connection: close",
        b"content-length: %d" % len(body),
    )
    return STATUS_LINE[status] + b"\r\n".join(headers) + b"\r\n\r\n" + body
