"""What it costs to verify who calls: the same call with no token, with RS384 and with ES384, in one process."""

import argparse
import time
import uuid
from collections.abc import Callable, Iterator
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
    """One way to call: an application, how a call's token is signed, and a signature to verify after each call."""

    name: str
    app: Application
    key: Signing | None = None
    bare: Signing | None = None

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
    """The same registered client on every road, its keys at hand and the ledger off; only the token differs."""
    keys: dict[str, Signing] = {
        "RS384": RSAKey.generate_key(2048, {"kid": "rsa"}),
        "ES384": ECKey.generate_key("P-384", {"kid": "ec"}),
    }
    public = {"keys": [key.as_dict(private=False) for key in keys.values()]}
    client = {"tenant": "bench", "issuer": ISSUER, "jwks": public, "burst": 100_000, "requests_per_second": 10_000}
    unproven = create_app(load_site(SITE, read_settings(SITE, clients=(client,))))
    yield Road("none", unproven)
    settings = read_settings(SITE, trust="clients", public_url=BASE, clients=(client,))
    for name, key in keys.items():
        trust = Trust(Clients.read(settings.clients), PublicKeys(never), MemoryReplays(), (BASE,))
        yield Road(bare(name), unproven, bare=key)
        yield Road(name, create_app(load_site(SITE, settings), trust=trust), key)


def bare(algorithm: str) -> str:
    return f"none, then a bare {algorithm}"


async def never(_: str) -> tuple[int, bytes, dict[str, str]]:
    """The keys stand in the settings: whoever asks for them has made a mistake."""
    raise SystemExit("the keys were to be at hand")


async def batch(road: Road, template: bytes) -> float:
    """CPU µs a call; bodies, tokens and signatures are made before the clock starts."""
    ready = [partial(call, road.app, fresh(template), road.headers()) for _ in range(BATCH)]
    verify = verification(road.name[-5:], road.bare) if road.bare else None
    start = time.process_time_ns()
    for one in ready:
        await one()
        if verify is not None:
            verify()
    return (time.process_time_ns() - start) / 1e3 / BATCH


def verification(algorithm: str, key: Signing) -> Callable[[], bool]:
    """Verifies one signature, and does nothing else."""
    model, message = JWSRegistry.algorithms[algorithm], b"x" * 400
    return partial(model.verify, message, model.sign(message, key), key)


async def measure(rounds: int) -> str:
    """Every road in every round, in turn; the table in Markdown."""
    template = bodies()["60 KB"]
    every = list(roads())
    spent: dict[str, list[float]] = {road.name: [] for road in every}
    alone: dict[str, list[float]] = {road.name: [] for road in every if road.key}
    async with AsyncExitStack() as running:
        for app in dict.fromkeys(road.app for road in every):
            await running.enter_async_context(started(app))
        for number in range(rounds + 1):
            for road in every:
                found = await batch(road, template)
                if number:  # the first round warms up
                    spent[road.name].append(found)
                    if road.key:
                        alone[road.name].append(in_a_loop(verification(road.name, road.key)))
    return told(spent, alone)


def in_a_loop(verify: Callable[[], bool]) -> float:
    """CPU µs of one among many."""
    start = time.process_time_ns()
    for _ in range(BATCH):
        verify()
    return (time.process_time_ns() - start) / 1e3 / BATCH


def told(spent: dict[str, list[float]], alone: dict[str, list[float]]) -> str:
    """The table, and both targets by the median of what each round gives: a slow round is slow for all its roads."""
    base = spent["none"]
    lines = [f"{len(base)} rounds of {BATCH} calls a road, 60 KB prefetched, no ledger; CPU µs a call.", ""]
    lines += ["| token | median | least | beyond none |", "|---|--:|--:|--:|"]
    for name, found in spent.items():
        lines.append(f"| {name} | {median(found):.0f} | {min(found):.0f} | {beyond(found, base):.0f} |")
    ratio = median(one / none for one, none in zip(spent["RS384"], base, strict=True))
    more = beyond(spent["ES384"], spent[bare("ES384")])
    targets = (
        Target("RS384: CPU ÷ no token", f"≤ {RS384_LIMIT}", f"{ratio:.2f}", ratio <= RS384_LIMIT),
        Target(
            "ES384: CPU beyond no token and a bare verification",
            f"≤ {ES384_LIMIT:.0f} µs",
            f"{more:.0f} µs",
            more <= ES384_LIMIT,
        ),
    )
    looped = ", ".join(f"{name} {median(found):.0f} µs" for name, found in alone.items())
    against = median(s - n - b for s, n, b in zip(spent["ES384"], base, alone["ES384"], strict=True))
    note = f"A bare verification in a loop of its own: {looped}; against that ES384 takes {against:.0f} µs beyond."
    return "\n".join([*lines, "", note, "", target_table(targets)])


def beyond(found: list[float], base: list[float]) -> float:
    """The median over the rounds of how much more one road took than another."""
    return median(one - other for one, other in zip(found, base, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.trust", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="default: %(default)s")
    print(uvloop.run(measure(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
