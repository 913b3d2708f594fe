"""The least that any Python server does with a request: read the whole body and send it back, with no framework."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answer any HTTP request with its own body."""
    if scope["type"] == "http":
        await answer(await whole_body(receive), send)


async def short(scope: Message, receive: Receive, send: Send) -> None:
    """Read as much as the echo and answer with two bytes: what sending the body back costs is the difference."""
    if scope["type"] == "http":
        await whole_body(receive)
        await answer(b"{}", send)


async def whole_body(receive: Receive) -> bytes:
    """Every part of the body, joined."""
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def answer(content: bytes, send: Send) -> None:
    """200 with this content."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
