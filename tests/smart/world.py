"""What the tests of the SMART app share: a clock to set, a registered EHR with its server, and the app between them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import respx

from cds.smart import Begun, Session, SmartApp
from cds.trust.clients import Client
from cds.trust.own_keys import OwnKeys
from tests.smart.ehr import BASE, CLIENT, AuthorizationServer

REDIRECT = "https://cds.example.org/smart/callback"
TYPES = ("Observation", "Condition", "Patient")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


def table(**changed: Any) -> dict[str, Any]:
    """A `[[clients]]` table with a SMART app; `smart` changes its own table."""
    smart = {"client_id": CLIENT, "auth": "public", **changed.pop("smart", {})}
    usual = {"tenant": "north-clinic", "issuer": "https://ehr.example", "jwks_url": "https://ehr.example/hooks-jwks"}
    return {**usual, "fhir_base": BASE, "smart": smart, **changed}


def client(**smart: Any) -> Client:
    return Client.model_validate(table(smart=smart))


def asked(begun: Begun) -> dict[str, str]:
    """The authorization request's parameters."""
    return dict(parse_qsl(urlsplit(begun.request.url).query))


class World:
    """`launch` goes the whole road, as a browser and a user would."""

    def __init__(self, router: respx.MockRouter, keys: OwnKeys | None) -> None:
        self.clock = Clock()
        self.ehr = AuthorizationServer(router, self.clock)
        self.app = SmartApp(keys, self.clock)

    async def begin(self, one: Client | None = None, launch: str | None = "launch-1") -> Begun:
        return await self.app.begin(one or client(), TYPES, REDIRECT, launch)

    async def launch(self, one: Client | None = None, launch: str | None = "launch-1") -> Session:
        begun = await self.begin(one, launch)
        code = self.ehr.sign_in(begun.request.url)
        return await self.app.complete(one or client(), self.app.launches.take(begun.pending.state), code)


@pytest.fixture
def world(router: respx.MockRouter) -> World:
    return World(router, None)


@pytest.fixture(scope="session")
def own_keys(tmp_path_factory: pytest.TempPathFactory) -> OwnKeys:
    """Keys made once: making an RSA key takes a while."""
    return OwnKeys.create(Path(tmp_path_factory.mktemp("keys")) / "bedside-keys.json")
