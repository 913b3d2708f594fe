"""What one client's hanging FHIR server does to the others: their slowest hundredth with and without it."""

import argparse
import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from statistics import median, quantiles

import msgspec
import uvloop
from joserfc.jwk import RSAKey

from bench.echo import Application
from bench.payloads import bodies, fresh
from bench.peers import SITE
from bench.profile_online import call, started
from bench.report import Target, target_table
from bench.trust import BASE, never, token
from cds.settings import read_settings
from cds.site import load_site
from cds.trust import Clients, MemoryReplays, PublicKeys, Trust
from cds.web.app import create_app

LIMIT = 1.5
ROUNDS = 11
TOGETHER = 4  # calls of the quick client under way
CALLS = 300  # of the quick client in one round
SLOW_EVERY = 0.1  # seconds between the slow client's calls


def application(hanging: str) -> tuple[Application, RSAKey]:
    """Two clients with one key; the FHIR server of `slow` accepts and never answers."""
    key = RSAKey.generate_key(2048, {"kid": "rsa"})
    common = {"jwks": {"keys": [key.as_dict(private=False)]}, "requests_per_second": 10_000, "burst": 100_000}
    tables = (
        {"tenant": "slow", "issuer": "slow", "fhir_base": hanging, **common},
        {"tenant": "quick", "issuer": "quick", "fhir_base": "https://ehr.example.org/fhir", **common},
    )
    settings = read_settings(SITE, trust="clients", public_url=BASE, clients=tables, answer_seconds=30.0)
    site = load_site(SITE, settings)
    trust = Trust(Clients.read(tables), PublicKeys(never), MemoryReplays(), (BASE,))
    return create_app(site, trust=trust), key


def headers(issuer: str, key: RSAKey) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {token('RS384', key, issuer)}".encode())]


async def quick(app: Application, key: RSAKey, template: bytes) -> float:
    """p99 in ms of fully prefetched calls, some of them together."""
    ready = [(fresh(template), headers("quick", key)) for _ in range(CALLS)]
    took: list[float] = []

    async def one_after_another() -> None:
        while ready:
            body, sent = ready.pop()
            start = time.perf_counter()
            await call(app, body, sent)
            took.append((time.perf_counter() - start) * 1e3)
            await asyncio.sleep(0.002)  # an EHR's calls come with pauses

    await asyncio.gather(*(one_after_another() for _ in range(TOGETHER)))
    return quantiles(took, n=100, method="inclusive")[98]


@asynccontextmanager
async def hung(app: Application, key: RSAKey, template: bytes, base: str) -> AsyncIterator[None]:
    """While this lasts, the slow client calls at its pace, with nothing prefetched."""
    calls: set[asyncio.Task[None]] = set()

    async def keep_calling() -> None:
        while True:
            body = msgspec.json.decode(fresh(template)) | {"prefetch": {}, "fhirServer": base}
            task = asyncio.create_task(call(app, msgspec.json.encode(body), headers("slow", key), expect=412))
            calls.add(task)
            task.add_done_callback(calls.discard)
            await asyncio.sleep(SLOW_EVERY)

    calling = asyncio.create_task(keep_calling())
    await asyncio.sleep(2.5)  # by now the first ones hang, or the breaker is open
    try:
        yield
    finally:
        calling.cancel()
        with suppress(asyncio.CancelledError):
            await calling
        await asyncio.gather(*calls)


async def measure(rounds: int) -> str:
    """Without and with the hanging server, in turn; the table in Markdown."""
    template = bodies()["60 KB"]
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(512)
        base = f"http://127.0.0.1:{silent.getsockname()[1]}/r4"
        app, key = application(base)
        alone, beside = [], []
        async with started(app):
            await quick(app, key, template)
            for _ in range(rounds):
                alone.append(await quick(app, key, template))
                async with hung(app, key, template, base):
                    beside.append(await quick(app, key, template))
    return told(alone, beside)


def told(alone: list[float], beside: list[float]) -> str:
    """What each round gave, and the median of the rounds' ratios."""
    ratios = [one / other for one, other in zip(beside, alone, strict=True)]
    lines = [
        f"{len(alone)} rounds of {CALLS} calls, {TOGETHER} together; p99 in ms of the client whose server is well.",
        "",
    ]
    lines += ["| the other client's FHIR server | median | least | most |", "|---|--:|--:|--:|"]
    for name, found in (("is not asked", alone), ("hangs", beside)):
        lines.append(f"| {name} | {median(found):.2f} | {min(found):.2f} | {max(found):.2f} |")
    ratio = median(ratios)
    target = Target("p99 beside a hanging server ÷ alone", f"≤ {LIMIT}", f"{ratio:.2f}", ratio <= LIMIT)
    return "\n".join([*lines, "", target_table([target])])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hanging", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    print(uvloop.run(measure(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
