"""The real application behind real sockets, in a thread of this process, for tests of what only a socket can show."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import uvicorn

from cds.web.protocol import BoundedHttp

Address = tuple[str, int]


def in_a_hurry(seconds: float) -> type[BoundedHttp]:
    """The protocol as it is served, with less time."""
    return type("InAHurry", (BoundedHttp,), {"header_seconds": seconds, "body_seconds": seconds})


@contextmanager
def served(app: Any, http: type[BoundedHttp] = BoundedHttp) -> Iterator[Address]:
    """Serves an ASGI application until the block ends."""
    options: dict[str, Any] = {"lifespan": "off", "log_level": "critical", "server_header": False}
    with closing(socket.create_server(("127.0.0.1", 0), backlog=1024)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, http=http, loop="uvloop", **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()
        server.should_exit = True
        thread.join(10)


def dial(address: Address, text: bytes = b"") -> socket.socket:
    """A connection on which this was said."""
    connection = socket.create_connection(address, timeout=20)
    connection.sendall(text)
    return connection


def heard(connection: socket.socket) -> bytes:
    """All that comes back until the other side hangs up."""
    parts = []
    with closing(connection):
        try:
            while part := connection.recv(65_536):
                parts.append(part)
        except ConnectionResetError:
            pass
    return b"".join(parts)


def status(answer: bytes) -> int:
    """The status of an answer; 0 when there is none."""
    return int(answer.split(b" ", 2)[1]) if answer else 0
