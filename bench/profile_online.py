"""Where the time of one call goes inside Bedside: its application called in this process, without a socket."""

import argparse
import asyncio
import cProfile
import os
import pstats
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import uvloop

from bench import echo
from bench.echo import Application, Message
from bench.payloads import bodies, fresh
from bench.peers import OUR_PATH, SITE, ledger_environment

BATCH = 100  # calls made ready ahead of the clock, so that their making is not measured


def application(name: str, folder: Path) -> Application:
    """The ASGI application to measure; the one place that knows how Bedside's is made."""
    if name == "echo":
        return echo.app
    os.environ.update(ledger_environment(name, folder))
    from cds.cli.common import open_ledger
    from cds.ledger import upgrade
    from cds.settings import read_settings
    from cds.site import load_site
    from cds.web.app import create_app

    settings = read_settings(SITE)
    if name == "durable":
        upgrade(str(settings.ledger))
    app: Application = create_app(load_site(SITE, settings), open_ledger(settings) if name == "durable" else None)
    return app


def main() -> None:
    """Call the application many times and print the CPU time of a call, and on demand its functions."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile_online", description=__doc__)
    parser.add_argument("app", choices=("off", "durable", "echo"), help="Bedside by its ledger, or the bare echo")
    parser.add_argument("--size", default="60 KB", help="60 KB or 500 KB (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--together", type=int, default=1, help="calls under way at a time (default: %(default)s)")
    parser.add_argument(
        "--cprofile", action="store_true", help="print the functions that cost most (and slow all down)"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=".ledger-", dir=Path(__file__).parent) as folder:
        uvloop.run(measure(application(asked.app, Path(folder)), asked))


async def measure(app: Application, asked: argparse.Namespace) -> None:
    """Warm up, measure, print."""
    template = bodies()[asked.size]
    async with started(app):
        await batch(app, template, 200, asked.together)
        profile = cProfile.Profile() if asked.cprofile else None
        batches = [
            await batch(app, template, BATCH, asked.together, profile) for _ in range(max(1, asked.calls // BATCH))
        ]
    print(
        f"{asked.app}, {asked.size}: {median(batches):.1f} µs CPU a call (best {min(batches):.1f}, {asked.calls} calls)"
    )
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)


async def batch(
    app: Application, template: bytes, count: int, together: int, profile: cProfile.Profile | None = None
) -> float:
    """CPU time of the whole process in µs a call, over `count` calls of which no two are the same."""
    waiting = [fresh(template) for _ in range(count)]

    async def one_after_another() -> None:
        while waiting:
            await call(app, waiting.pop())

    if profile is not None:
        profile.enable()
    start = time.process_time_ns()
    await asyncio.gather(*(one_after_another() for _ in range(together)))
    spent = time.process_time_ns() - start
    if profile is not None:
        profile.disable()
    return spent / 1e3 / count


async def call(app: Application, body: bytes, more: Sequence[tuple[bytes, bytes]] = (), expect: int = 200) -> None:
    """One POST in ASGI's words; any other status than `expect` ends the measurement."""
    length = (b"content-length", b"%d" % len(body))
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"), length, *more]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": OUR_PATH,
        "raw_path": OUR_PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
        "state": {},
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if sent[0]["status"] != expect:
        raise SystemExit(f"status {sent[0]['status']}: {sent[1]['body'][:2000]!r}")


@asynccontextmanager
async def started(app: Application) -> AsyncIterator[None]:
    """The application between its startup and its shutdown, as a server would keep it."""
    said: asyncio.Queue[Message] = asyncio.Queue()
    heard: asyncio.Queue[Message] = asyncio.Queue()
    life = asyncio.ensure_future(
        app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, said.get, heard.put)
    )
    await said.put({"type": "lifespan.startup"})
    listening = asyncio.create_task(heard.get())
    await asyncio.wait({life, listening}, return_when=asyncio.FIRST_COMPLETED)
    if life.done():
        life.result()  # an application without a lifespan ends at once; a broken one says why
    if listening.done() and listening.result()["type"] == "lifespan.startup.failed":
        raise SystemExit(listening.result().get("message", "the application did not start"))
    try:
        yield
    finally:
        listening.cancel()
        await said.put({"type": "lifespan.shutdown"})
        await life


if __name__ == "__main__":
    main()
