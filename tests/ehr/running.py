"""Runs an application on a port of its own, in a thread of the test."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(app: Any, port: int | None = None, host: str = "127.0.0.1", **options: Any) -> Iterator[str]:
    """The origin at which the application answers until the block ends; a request that hangs is cut off then."""
    port = port or free_port()
    usual = {"log_level": "critical", "lifespan": "off", "ws": "none", "timeout_graceful_shutdown": 1}
    config = uvicorn.Config(app, host=host, port=port, **{**usual, **options})
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    yield f"http://{host}:{port}"
    server.should_exit = True
    thread.join(10)
