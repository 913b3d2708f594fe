"""Two EHRs, each with a chart and a sign-in of its own, our whole application between them, and its visitors."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import respx
from fastapi import FastAPI
from msgspec.structs import replace
from starlette.testclient import TestClient

from cds.site import Site
from cds.trust.own_keys import OwnKeys
from cds.web.demo.app import demo_ehr
from cds.web.demo.ehr import Ehr
from cds.web.demo.kept import Context
from cds.web.demo.records import CLINICIAN_RECORD, Records
from cds.web.demo.registered import App
from tests.cdshooks.charts import AT, Json, kidney
from tests.cdshooks.desk import SERVICE, Desk, site
from tests.safety.canaries import PATIENT, chart
from tests.trust.ehr import BASE, ISSUER, KeyServer, key, public, trust
from tests.web.clinic import CLINIC, CLINIC_ISSUER, HOSPITAL, Signer, clinic, hospital

OURS = {"sec-fetch-site": "same-origin"}
ONLY_HERE = "only-at-the-hospital"
"""A service that the hospital has, and the clinic has not."""
THEIRS = "clinic-patient-1"
Fault = Callable[[httpx.Request], httpx.Response]


class Charts(Records):
    """Holds the charts that it is given."""

    def __init__(self, resources: list[Json]) -> None:
        super().__init__(AT.date)
        self.resources = resources

    def _all(self) -> list[Json]:
        return [CLINICIAN_RECORD, *self.resources, *self._created.values()]

    @property
    def created(self) -> list[Json]:
        return list(self._created.values())


class OtherEhr:
    """The demo's EHR under an address of its own, asked as `seen`.

    `faults` answer in place of what they name: "POST /demo/auth/token", "/Observation".
    """

    def __init__(self, origin: str, records: Charts, app: App, clock: Callable[[], datetime]) -> None:
        self.origin, self.base = origin, f"{origin}/demo/fhir"
        self.ehr, self.records = Ehr(clock, [app]), records
        self.ehr.records = records
        served = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        served.include_router(demo_ehr(self.ehr))
        self.http = TestClient(served, base_url=origin, follow_redirects=False)
        self.within = httpx.ASGITransport(served)
        self.faults: dict[str, Fault] = {}
        self.seen: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        said = f"{request.method} {request.url.path}"
        for named, fault in self.faults.items():
            if named in said:
                return fault(request)
        answer = await self.within.handle_async_request(request)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())

    def sign_in(self, url: str) -> str:
        """The clinician signs in at this address; where that sends the browser, less our own origin."""
        sent = urlsplit(url)
        back: str = self.http.get(f"{sent.path}?{sent.query}").headers["location"]
        assert back.startswith(f"{BASE}/smart/callback?")
        return back.removeprefix(BASE)


@dataclass
class Visitor:
    """A browser with its own cookies. It keeps every response: none of them may tell what it should not."""

    http: httpx.Client
    said: list[httpx.Response]

    def get(self, url: str, **headers: str) -> httpx.Response:
        return self.send("GET", url, headers)

    def post(self, url: str, form: dict[str, str], headers: dict[str, str] | None = None) -> httpx.Response:
        return self.send("POST", url, OURS if headers is None else headers, form)

    def send(
        self, method: str, url: str, headers: dict[str, str] | None = None, form: dict[str, str] | None = None
    ) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        response = self.http.request(method, url, headers=named, data=form)
        self.said.append(response)
        return response

    def launch(
        self, at: OtherEhr, patient: str | None = PATIENT, service: str | None = SERVICE, into: str = "document"
    ) -> httpx.Response:
        """From the chart to our redirect to the sign-in, or into an "iframe" to the page that leads there."""
        launched = at.ehr.launch(Context(patient, None, service))
        return self.get(f"/smart/launch?iss={at.base}&launch={launched}", sec_fetch_dest=into)

    def back(self, at: OtherEhr, patient: str | None = PATIENT) -> str:
        """The address with which a sign-in ends."""
        return at.sign_in(onward(self.launch(at, patient)))

    def opened(self, at: OtherEhr, patient: str = PATIENT, service: str | None = SERVICE) -> str:
        """The path of an open page."""
        landed = self.get(at.sign_in(onward(self.launch(at, patient, service))))
        assert landed.status_code == 303, landed.text
        path: str = landed.headers["location"]
        return path


class TwoEhrs:
    """Our server with its two clients: the hospital, whose patient is made of canaries, and the clinic."""

    def __init__(self, open_desk: Callable[..., Desk], router: respx.MockRouter, own: OwnKeys, **changes: Any) -> None:
        # A hospital signs with our keys, a clinic's app is public: both ways have their secrets.
        frames = {"frame_ancestors": ["https://ehr.example.org"], "client_id": "bedside", "save": True}
        theirs = frames | {"frame_ancestors": ["https://clinic.example.net"], "auth": "public"}
        tables = (
            hospital(fhir_base="https://ehr.example.org/demo/fhir", smart=frames),
            clinic(fhir_base="https://clinic.example.net/demo/fhir", smart=theirs),
        )
        served = site(trust="clients", public_url=BASE, clients=tables, failures_per_minute=1e6, **changes)
        self.keys = KeyServer(*public(key(), key("clinic-1")))
        self.desk = open_desk(one_service_more(served), trust=trust(self.keys, *tables), keys=own)
        callback = (f"{BASE}/smart/callback",)
        ours = json.loads(own.public())
        self.a = OtherEhr(
            "https://ehr.example.org", Charts(chart()),
            App(client_id="bedside", redirect_uris=callback, jwks=ours), self.now,
        )  # fmt: skip
        self.b = OtherEhr(
            "https://clinic.example.net", Charts(kidney(of=THEIRS)),
            App(client_id="bedside", redirect_uris=callback), self.now,
        )  # fmt: skip
        for ehr in (self.a, self.b):
            router.route(url__startswith=f"{ehr.origin}/").mock(side_effect=ehr)
        self.hospital = Signer(ISSUER, key(), self.now)
        self.clinic = Signer(CLINIC_ISSUER, key("clinic-1"), self.now)

    def now(self) -> datetime:
        return self.desk.now

    def visitor(self) -> Visitor:
        http = TestClient(self.desk.app, base_url=BASE, follow_redirects=False, raise_server_exceptions=False)
        return Visitor(http, [])


def one_service_more(served: Site) -> Site:
    """The hospital gets a second service, under an id that nobody else has."""
    tenant = served.tenants[HOSPITAL]
    usual = tenant.services[SERVICE]
    more = replace(usual, service=replace(usual.service, id=ONLY_HERE))
    return replace(
        served, tenants={**served.tenants, HOSPITAL: replace(tenant, services={**tenant.services, ONLY_HERE: more})}
    )


def hidden(page: httpx.Response, name: str) -> str:
    """A hidden field of a page's first form that has it."""
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)">', page.text)
    assert found, page.text
    return found[1]


def onward(left: httpx.Response) -> str:
    """Where a launch leads: to the EHR's sign-in, by redirect or by a page's link."""
    if left.status_code == 303:
        return str(left.headers["location"])
    found = re.search(r'<a id="onward"[^>]* href="([^"]*)"', left.text)
    assert found, left.text
    return unescape(found[1])


def state_in(back: str) -> str:
    """The state in an address with which a sign-in ends."""
    return dict(parse_qsl(urlsplit(back).query))["state"]


@pytest.fixture
def outside() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False) as router:
        yield router


@pytest.fixture
def two(open_desk: Callable[..., Desk], outside: respx.MockRouter, own_keys: OwnKeys) -> TwoEhrs:
    return TwoEhrs(open_desk, outside, own_keys)


__all__ = ["CLINIC", "HOSPITAL", "TwoEhrs", "Visitor", "hidden", "onward", "outside", "state_in", "two"]
