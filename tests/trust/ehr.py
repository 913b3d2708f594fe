"""An EHR that signs tokens, good and bad ones, with a key server that counts how often it is asked."""

import asyncio
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from joserfc.jwk import ECKey, Key, RSAKey
from joserfc.jws import JWSRegistry
from msgspec import json

from cds.trust import Caller, Clients, MemoryReplays, NotTrusted, PublicKeys, ReplayStore, Trust

ISSUER = "https://ehr.example.org/oauth2"
JWKS_URL = "https://ehr.example.org/oauth2/jwks"
BASE = "https://cds.example.org"
SERVICE = "kidney-failure-risk"
ENDPOINT = f"/cds-services/{SERVICE}"
NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
T = int(NOW.timestamp())

Json = dict[str, Any]


@cache
def key(kid: str = "ec-1", kind: str = "P-384", bits: int = 2048) -> ECKey | RSAKey:
    """A key pair, made once."""
    if kind == "RSA":
        return RSAKey.generate_key(bits, {"kid": kid})
    return ECKey.generate_key(kind, {"kid": kid})


def public(*keys: Key, **more: Any) -> list[Json]:
    return [{**one.as_dict(private=False), "use": "sig", **more} for one in keys]


def b64(part: bytes | Json) -> str:
    return urlsafe_b64encode(part if isinstance(part, bytes) else json.encode(part)).rstrip(b"=").decode()


def signed(header: bytes | Json, claims: bytes | Json, by: Key | bytes | None = None, algorithm: str = "") -> str:
    """A compact JWS of any header and claims, also of those that no library would write; bytes are an HMAC's key."""
    name = algorithm or (header["alg"] if isinstance(header, dict) and "alg" in header else "ES384")
    message = f"{b64(header)}.{b64(claims)}"
    if isinstance(by, bytes):
        signature = hmac.digest(by, message.encode(), f"sha{name[2:]}")
    else:
        signature = JWSRegistry.algorithms[name].sign(message.encode(), by or key())
    return f"{message}.{b64(signature)}"


def header(**changed: Any) -> Json:
    return _without_none({"alg": "ES384", "typ": "JWT", "kid": "ec-1", **changed})


def claims(**changed: Any) -> Json:
    """Claims of a token that was made this moment for the service; None leaves one out."""
    usual = {"iss": ISSUER, "aud": BASE + ENDPOINT, "iat": T, "exp": T + 300, "jti": "jti-1", "sub": "ehr-client"}
    return _without_none({**usual, **changed})


def token(**changed: Any) -> str:
    return signed(header(), claims(**changed))


def _without_none(members: Json) -> Json:
    return {name: value for name, value in members.items() if value is not None}


class KeyServer:
    """What the EHR publishes, and how often it was asked. It can fail, or wait until `open` is set."""

    def __init__(self, *keys: Json) -> None:
        self.keys: list[Json] = list(keys)
        self.headers: Mapping[str, str] = {}
        self.status = 200
        self.body: bytes | None = None
        self.fault: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[str] = []

    async def fetch(self, url: str) -> tuple[int, bytes, Mapping[str, str]]:
        self.asked.append(url)
        await self.open.wait()
        if self.fault is not None:
            raise self.fault
        body = json.encode({"keys": self.keys}) if self.body is None else self.body
        return self.status, body, self.headers


def table(**changed: Any) -> Json:
    """A `[[clients]]` table of site.toml."""
    return _without_none({"tenant": "general-hospital", "issuer": ISSUER, "jwks_url": JWKS_URL, **changed})


def trust(
    server: KeyServer, *tables: Json, replays: ReplayStore | None = None, bases: tuple[str, ...] = (BASE,)
) -> Trust:
    clients = Clients.read(tables or (table(),))
    return Trust(clients, PublicKeys(server.fetch), MemoryReplays() if replays is None else replays, bases)


async def refusal(door: Trust, sent: str, endpoint: str = ENDPOINT, now: datetime = NOW, **more: Any) -> NotTrusted:
    """The refusal of a token that must be refused."""
    try:
        caller = await door.verify(sent, endpoint, now, **more)
    except NotTrusted as refused:
        return refused
    raise AssertionError(f"accepted from {caller.tenant}")


async def accepted(door: Trust, sent: str, endpoint: str = ENDPOINT, now: datetime = NOW) -> Caller:
    return await door.verify(sent, endpoint, now)
