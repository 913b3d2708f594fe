"""A door that lets a known session in, and the server behind it: the launch itself is tried elsewhere."""

import json
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct
from starlette.requests import Request
from starlette.testclient import TestClient

from cds.ledger import AnswerRecord, FeedbackRecord, Ledger
from cds.site import Site
from cds.smart import SessionEnded
from cds.web.app import create_app
from cds.web.smart.app import smart_app
from cds.web.smart.visiting import Session
from fhir_fixtures.search import read, search
from tests.cdshooks.charts import AT, Json
from tests.cdshooks.desk import KEYRING, SERVICE, site

BASE = "https://ehr.example/fhir"
TICKET = "ticket-0123456789"
ID = "7f3c0a2be5d94c1f8a6b2c3d4e5f6071"
READ = "patient/Patient.rs patient/Observation.rs patient/Condition.rs patient/Procedure.rs patient/Encounter.rs"
SAVE = f"{READ} patient/RiskAssessment.c"


class Token(Struct, frozen=True):
    token: str = "canary-token-7Q"
    expires_in: int = 3000
    scope: str = READ


class Launch(Struct, frozen=True):
    """A session as a launch leaves it."""

    patient_id: str
    granted: Token = Token()
    id: str = ID
    tenant: str = "local"
    fhir_base: str = BASE
    encounter_id: str | None = None
    user: str | None = "Practitioner/dr-hale"
    launched_at: datetime = AT

    async def access(self) -> Token:
        return self.granted

    async def refused(self, access: object) -> Token:
        raise SessionEnded("token-rejected", self.tenant)


class Came(Struct, frozen=True):
    """A visit: what the request brought, and the headers of the EHR that frames the page."""

    session: Launch
    form: Mapping[str, str]
    ticket: str = TICKET
    by_cookie: bool = True
    headers: Mapping[str, str] = {}


class KnownDoor:
    """Lets the one session in; with `by_cookie` false, pages are reached by posting the ticket."""

    def __init__(self, session: Launch, *, by_cookie: bool = True) -> None:
        self.session = session
        self.by_cookie = by_cookie
        self.unsafe: list[str] = []

    async def enter(self, request: Request, *, unsafe: bool = False) -> Came:
        assert request.path_params["session"] == self.session.id
        form = {name: str(value) for name, value in (await request.form()).items()} if request.method == "POST" else {}
        if unsafe:
            self.unsafe.append(request.url.path)
            assert form.get("ticket") == TICKET
        policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'"
        headers = {"Content-Security-Policy": f"{policy}; frame-ancestors https://ehr.example"}
        return Came(self.session, form, by_cookie=self.by_cookie, headers=headers)


class Records:
    """The EHR's FHIR server: the resources that it holds, and those that were created in it."""

    def __init__(self, resources: list[Json]) -> None:
        self.resources = resources
        self.created: list[Json] = []
        self.denied: set[str] = set()
        self.finds_by_identifier = True
        self.conditional = False
        """Whether a create asked for with If-None-Exist makes none when there is one."""
        self.at_create: Callable[[], object] | None = None
        """What happens meanwhile, while something is created."""
        self.leaked: Json | None = None
        """A resource that every search for Observations gives besides."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        kind, _, identity = request.url.path.removeprefix("/fhir/").partition("/")
        if kind in self.denied:
            return httpx.Response(403, json={"resourceType": "OperationOutcome"})
        if request.method == "POST":
            return self._create(request)
        params = list(request.url.params.multi_items())
        if kind == "RiskAssessment":
            return self._saved(dict(params))
        if identity:
            found = read(self.resources, kind, identity)
            return httpx.Response(200 if found else 404, json=found or {"resourceType": "OperationOutcome"})
        bundle = search(self.resources, kind, params, BASE)
        if self.leaked and kind == self.leaked["resourceType"]:
            bundle.setdefault("entry", []).append({"resource": self.leaked, "search": {"mode": "match"}})
        return httpx.Response(200, json=bundle)

    def _create(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if self.at_create is not None:
            self.at_create()
        name = request.headers.get("if-none-exist", "").rpartition("|")[2]
        known = [one for one in self.created if one["identifier"][0]["value"] == name]
        if self.conditional and known:
            return httpx.Response(200, json=known[0])
        self.created.append({**body, "id": f"saved-{len(self.created) + 1}"})
        location = f"{BASE}/RiskAssessment/{self.created[-1]['id']}"
        return httpx.Response(201, json=self.created[-1], headers={"Location": location})

    def _saved(self, params: Mapping[str, str]) -> httpx.Response:
        if not self.finds_by_identifier:
            return httpx.Response(400, json={"resourceType": "OperationOutcome"})
        wanted = params["identifier"].rpartition("|")[2]
        found = [one for one in self.created if one["identifier"][0]["value"] == wanted]
        bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in found]}
        return httpx.Response(200, json=bundle)


class App:
    """One server with one session. `open` reads a page, `act` sends one of its forms."""

    def __init__(self, records: Records, launch: Launch, folder: Path, empty: Path, **changes: Any) -> None:
        self.now = AT
        self.records = records
        self.launch = launch
        self.notes: list[tuple[str, str, Mapping[str, str]]] = []
        by_cookie = changes.pop("by_cookie", True)
        note = None if changes.pop("audited", False) else self._note
        self.site: Site = changes.pop("served", None) or site(
            httpx.MockTransport(records), fhir_servers=(BASE,), **changes
        )
        self.ledger_path = folder / "ledger.sqlite"
        shutil.copy(empty, self.ledger_path)
        self.ledger = Ledger.open(f"sqlite:///{self.ledger_path}", KEYRING)
        self.app = create_app(self.site, self.ledger, clock=lambda: self.now)
        self.door = KnownDoor(launch, by_cookie=by_cookie)
        self.app.router.routes[:0] = smart_app(self.app.state.bedside, self.door, note)  # before the real door's
        self.http = TestClient(self.app, base_url="http://localhost", follow_redirects=False)
        self.path = f"/smart/app/{launch.id}"

    async def _note(self, kind: str, session: Session, at: datetime, outcome: str, detail: Mapping[str, str]) -> None:
        assert session is self.launch
        self.notes.append((kind, outcome, detail))

    def open(self, service: str = SERVICE, status: int = 200) -> str:
        response = self.http.get(f"{self.path}/{service}" if service else self.path)
        assert response.status_code == status, response.text
        return str(response.text)

    def act(self, what: str, form: Mapping[str, str] | None = None, status: int = 200, service: str = SERVICE) -> str:
        response = self.http.post(f"{self.path}/{service}/{what}", data={"ticket": TICKET, **(form or {})})
        assert response.status_code == status, response.text
        return str(response.text)

    def answers(self) -> list[AnswerRecord]:
        return list(self.ledger.answers())

    def feedback(self) -> list[FeedbackRecord]:
        return list(self.ledger.feedback_records())

    def close(self) -> None:
        self.ledger.close()
