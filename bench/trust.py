"""What it costs to verify who calls: the same call with no token, with RS384 and with ES384, in one process."""

import argparse
import time
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

import uvloop
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.jwt import encode

from bench.echo import Application
from bench.payloads import bodies, fresh
from bench.peers import OUR_PATH, SITE
from bench.profile_online import call, started
from bench.report import Target, target_table
from cds.settings import read_settings
from cds.site import load_site
from cds.trust import Clients, MemoryReplays, PublicKeys, Trust
from cds.web.app import create_app

BASE = "https://cds.example.org"
ISSUER = "https://ehr.example.org"
BATCH = 100
ROUNDS = 25
RS384_LIMIT = 1.5  # times the call without a token
ES384_LIMIT = 100.0  # µs beyond the bare verification

Signing = RSAKey | ECKey


@dataclass(frozen=True)
class Road:
    """One way to call: an application, and how a call's token is signed; None is without one."""

    name: str
    app: Application
    key: Signing | None

    def headers(self) -> list[tuple[bytes, bytes]]:
        if self.key is None:
            return []
        return [(b"authorization", f"Bearer {token(self.name, self.key)}".encode())]


def token(algorithm: str, key: Signing, issuer: str = ISSUER) -> str:
    """A fresh token for the service's endpoint."""
    now = int(time.time())
    claims = {"iss": issuer, "aud": BASE + OUR_PATH, "iat": now, "exp": now + 300, "jti": str(uuid.uuid4())}
    return encode({"alg": algorithm, "typ": "JWT", "kid": key.kid}, claims, key, algorithms=[algorithm])


def roads() -> Iterator[Road]:
    """Bedside open on loopback and Bedside with a registered client, its keys at hand; the ledger is off in all."""
    yield Road("open", create_app(load_site(SITE)), None)
    keys: dict[str, Signing] = {
        "RS384": RSAKey.generate_key(2048, {"kid": "rsa"}),
        "ES384": ECKey.generate_key("P-384", {"kid": "ec"}),
    }
    for name, key in keys.items():
        public = {"keys": [key.as_dict(private=False)]}
        client = {"tenant": "bench", "issuer": ISSUER, "jwks": public, "burst": 100_000, "requests_per_second": 10_000}
        settings = read_settings(SITE, trust="clients", public_url=BASE, clients=({**client},))
        site = load_site(SITE, settings)
        trust = Trust(Clients.read(settings.clients), PublicKeys(never), MemoryReplays(), (BASE,))
        yield Road(name, create_app(site, trust=trust), key)


async def never(_: str) -> tuple[int, bytes, dict[str, str]]:
    """The keys stand in the settings: whoever asks for them has made a mistake."""
    raise SystemExit("the keys were to be at hand")


async def batch(road: Road, template: bytes) -> float:
    """CPU µs a call; bodies and tokens are made before the clock starts."""
    ready = [partial(call, road.app, fresh(template), road.headers()) for _ in range(BATCH)]
    start = time.process_time_ns()
    for one in ready:
        await one()
    return (time.process_time_ns() - start) / 1e3 / BATCH


def bare(algorithm: str, key: Signing) -> float:
    """CPU µs of verifying one signature, and nothing else."""
    model, message = JWSRegistry.algorithms[algorithm], b"x" * 400
    signatures = [model.sign(message, key) for _ in range(BATCH)]
    start = time.process_time_ns()
    for signature in signatures:
        model.verify(message, signature, key)
    return (time.process_time_ns() - start) / 1e3 / BATCH


async def measure(rounds: int) -> str:
    """Every road in every round, in turn; the table in Markdown."""
    template = bodies()["60 KB"]
    every = list(roads())
    calls: dict[str, list[float]] = {road.name: [] for road in every}
    alone: dict[str, list[float]] = {road.name: [] for road in every if road.key}
    async with AsyncExitStack() as running:
        for road in every:
            await running.enter_async_context(started(road.app))
        for number in range(rounds + 1):
            for road in every:
                spent = await batch(road, template)
                if number:  # the first round warms up
                    calls[road.name].append(spent)
                    if road.key:
                        alone[road.name].append(bare(road.name, road.key))
    return told(calls, alone)


def told(calls: dict[str, list[float]], alone: dict[str, list[float]]) -> str:
    """The table, and both targets by the median of what each round gives: a slow round is slow for all its roads."""
    base = calls["open"]
    lines = [f"{len(base)} rounds of {BATCH} calls a road, 60 KB prefetched, no ledger; CPU µs a call.", ""]
    lines += ["| token | median | least | beyond no token | bare verification |", "|---|--:|--:|--:|--:|"]
    beyond = {name: between(found, base) for name, found in calls.items()}
    for name, found in calls.items():
        rest = f"{beyond[name]:.0f} | {median(alone[name]):.0f}" if name in alone else "|"
        lines.append(f"| {'none' if name == 'open' else name} | {median(found):.0f} | {min(found):.0f} | {rest} |")
    ratio = median(spent / free for spent, free in zip(calls["RS384"], base, strict=True))
    more = median(s - f - b for s, f, b in zip(calls["ES384"], base, alone["ES384"], strict=True))
    promise = "CPU beyond no token and the bare verification"
    return "\n".join(
        [*lines, "", target_table([
            Target("RS384: CPU ÷ no token", f"≤ {RS384_LIMIT}", f"{ratio:.2f}", ratio <= RS384_LIMIT),
            Target(f"ES384: {promise}", f"≤ {ES384_LIMIT:.0f} µs", f"{more:.0f} µs", more <= ES384_LIMIT),
        ])]
    )  # fmt: skip


def between(found: list[float], base: list[float]) -> float:
    """The median over the rounds of how much more one took than the other."""
    return median(one - other for one, other in zip(found, base, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.trust", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    print(uvloop.run(measure(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
