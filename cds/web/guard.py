"""Headers on every page, no word of a fault's own, and only this machine's names as Host where the site is open."""

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cds.cdshooks.outcomes import body_of
from cds.errors import RequestError
from cds.web.errors import error_response

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": CSP,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LOOPBACK = frozenset({b"localhost", b"127.0.0.1", b"[::1]"})


class Guard:
    """Outermost layer. A foreign Host means that a web page elsewhere has pointed its name at this machine: refused.

    A fault that nobody foresaw ends here: whoever runs us would print it, and its text may hold a token or a value.
    """

    def __init__(self, app: ASGIApp, *, loopback_only: bool = True) -> None:
        self.app = app
        self.loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif self.loopback_only and not _known_host(scope):
            await _refuse(send)
        elif scope["path"].startswith("/cds-services"):
            await self._answered(scope, receive, send)  # JSON only, and the road that must be fast
        else:
            await self._answered(scope, receive, _with_page_headers(send))

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            return await self.app(scope, receive, send)
        except ClientDisconnect:
            return None
        except Exception as error:  # noqa: BLE001 - the outermost layer
            said = error_response(error)
        return await said(scope, receive, send)  # outside of the fault, which would be told with one of this


def _known_host(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"host":
            host: bytes = value.rpartition(b":")[0] if not value.endswith(b"]") and b":" in value else value
            return host.lower() in _LOOPBACK
    return True


def _with_page_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _PAGE_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending


async def _refuse(send: Send) -> None:
    body = body_of(RequestError("this server answers to this machine's own names only"))
    headers = [(b"content-type", b"application/json; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": body})
