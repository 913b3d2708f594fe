"""A server as a site runs it, with its own ledger: the real application over real SQLite, and a fixed clock."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from cds.fhir.client import Transport
from cds.ledger import AnswerRecord, Keyring, Ledger
from cds.settings import Settings, read_settings
from cds.site import Site, load_site
from cds.trust import Trust
from cds.trust.own_keys import OwnKeys
from cds.web.app import create_app
from tests.cdshooks.charts import AT, Json, request

SERVICE = "kidney-failure-risk"
PATH = f"/cds-services/{SERVICE}"
JSON = {"content-type": "application/json"}
KEYRING = Keyring.generate()
"""Of this run: an empty ledger is signed once, and copied."""


def settings(
    service: Mapping[str, Any] | None = None, model: Mapping[str, Any] | None = None, **others: Any
) -> Settings:
    """A site's settings, live in North America unless said otherwise; time enough for a busy machine."""
    services = {SERVICE: {"stage": "live"} | dict(service or {})}
    models = {"kfre": {"region": "north-america"} | dict(model or {})}
    return read_settings(services=services, models=models, **({"answer_seconds": 20.0} | others))


def site(transport: Transport | None = None, **changes: Any) -> Site:
    return load_site(settings=settings(**changes), transport=transport)


class Desk:
    """One server. `post` calls the service; `answers` is what its ledger remembers."""

    def __init__(
        self,
        served: Site,
        folder: Path,
        empty: Path,
        *,
        demo: bool = False,
        trust: Trust | None = None,
        keys: OwnKeys | None = None,
    ) -> None:
        self.now = AT
        self.site = served
        self.database = folder / "ledger.sqlite"
        shutil.copy(empty, self.database)
        self.ledger = Ledger.open(f"sqlite:///{self.database}", KEYRING)
        self.app = create_app(served, self.ledger, demo=demo, clock=lambda: self.now, trust=trust, keys=keys)
        self.http = TestClient(
            self.app, base_url="http://localhost", follow_redirects=False, raise_server_exceptions=False
        )

    @property
    def state(self) -> Any:
        return self.app.state.bedside

    @property
    def templates(self) -> Json:
        found: Json = self.services()[0]["prefetch"]
        return found

    def services(self) -> list[Json]:
        """The discovery document's entries."""
        found: list[Json] = self.http.get("/cds-services").json()["services"]
        return found

    def call(self, resources: Iterable[Json], **members: Any) -> Json:
        """A fully prefetched call about these resources."""
        return request(resources, self.templates, **members)

    def post(self, body: Json | bytes | str, path: str = PATH, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes | str) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response: httpx.Response = self.http.post(path, content=content, headers=JSON | named)
        return response

    def card(self, resources: Iterable[Json], **members: Any) -> Json:
        """The one card about these resources; an empty object for silence."""
        response = self.post(self.call(resources, **members))
        assert response.status_code == 200, response.text
        cards = response.json()["cards"]
        assert len(cards) <= 1
        return cards[0] if cards else {}

    def answers(self) -> list[AnswerRecord]:
        return list(self.ledger.answers())

    def last(self) -> AnswerRecord:
        return self.answers()[-1]

    def metrics(self) -> str:
        return str(self.http.get("/metrics").text)

    def close(self) -> None:
        self.ledger.close()


def outcome(response: httpx.Response) -> Json:
    """The one issue of an error's OperationOutcome."""
    body = response.json()
    assert body["resourceType"] == "OperationOutcome"
    (issue,) = body["issue"]
    assert isinstance(issue, dict)
    return issue


def without(call: Json, *keys: str) -> Json:
    """The call with some prefetch keys left out."""
    return call | {"prefetch": {key: value for key, value in call["prefetch"].items() if key not in keys}}


def with_key(call: Json, key: str, value: Any) -> Json:
    return call | {"prefetch": call["prefetch"] | {key: value}}
