"""A registered EHR, our app, and browsers that keep cookies, lose them, or belong to somebody else."""

import html
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
import respx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from cds.smart import SmartApp, SmartRefused
from cds.trust.own_keys import OwnKeys
from cds.web.guard import Guard
from cds.web.smart.door import Door
from cds.web.smart.errors import on_refused
from cds.web.smart.launch import smart_launch
from cds.web.state import State
from tests.cdshooks.desk import site
from tests.smart.ehr import AUTHORIZE, BASE, AuthorizationServer
from tests.smart.world import Clock, table

HOME = "https://localhost"
FRAMES = "https://ehr.example"
OURS = {"sec-fetch-site": "same-origin"}


class Clinic:
    """One server. Its page reads nothing and answers with what the door let through; its /save counts as a change."""

    def __init__(self, router: respx.MockRouter, keys: OwnKeys | None, *tables: Any, **settings: Any) -> None:
        self.clock = Clock()
        self.ehr = AuthorizationServer(router, self.clock)
        # In shadow, so that a launch leads to the overview: which page is opened is tried where there are pages.
        self.site = site(clients=tables or (table(),), service={"stage": "shadow"}, **settings)
        self.state = State(self.site, None, self.clock)
        self.smart = SmartApp(keys, self.clock)
        self.door = Door(self.state, self.smart)
        self.changes: list[str] = []
        self.app = Starlette(
            routes=[
                *smart_launch(self.state, self.smart, self.door),
                Route("/smart/app/{session}", self._page, methods=["GET", "POST"]),
                Route("/smart/app/{session}/save", self._change, methods=["POST"]),
            ],
            middleware=[Middleware(Guard, loopback_only=True)],
            exception_handlers={SmartRefused: on_refused(self.state)},
        )
        self.app.state.bedside = self.state

    async def _page(self, request: Request) -> Response:
        visit = await self.door.enter(request)
        await visit.session.access()
        said = {"patient": visit.session.patient_id, "ticket": visit.ticket, "by_cookie": visit.by_cookie}
        return JSONResponse(said, headers=visit.headers)

    async def _change(self, request: Request) -> Response:
        visit = await self.door.enter(request, unsafe=True)
        self.changes.append(visit.session.patient_id)
        return JSONResponse({"ticket": visit.ticket}, headers=visit.headers)

    def browser(self, *, cookies: bool = True) -> "Browser":
        return Browser(self, cookies=cookies)


class Browser:
    """Keeps its cookies, unless it is one in a frame that may not."""

    def __init__(self, clinic: Clinic, *, cookies: bool) -> None:
        self.clinic = clinic
        self.keeps = cookies
        self.http = TestClient(clinic.app, base_url=HOME, follow_redirects=False, raise_server_exceptions=False)

    def get(self, url: str, **headers: str) -> httpx.Response:
        return self._kept(self.http.get(url, headers={k.replace("_", "-"): v for k, v in headers.items()}))

    def post(self, url: str, form: dict[str, str], headers: dict[str, str] | None = None) -> httpx.Response:
        return self._kept(self.http.post(url, data=form, headers=OURS if headers is None else headers))

    def _kept(self, response: httpx.Response) -> httpx.Response:
        if not self.keeps:
            self.http.cookies.clear()
        return response

    def launch(self, launch: str = "launch-1", **headers: str) -> httpx.Response:
        return self.get(f"/smart/launch?iss={BASE}&launch={launch}", **headers)

    def sign_in(self, left: httpx.Response, patient: str | None = "patient-7") -> str:
        """The user signs in; the address with which the EHR sends the browser back."""
        self.clinic.ehr.patient = patient
        fields = asked(left)
        return f"/smart/callback?code={self.clinic.ehr.grant(fields)}&state={fields['state']}"

    def opened(self, patient: str = "patient-7", launch: str = "launch-1") -> str:
        """The path of a session, from launch to page by cookie."""
        back = self.get(self.sign_in(self.launch(launch), patient))
        assert back.status_code == 303, back.text
        return back.headers["location"]

    def entered(self, patient: str = "patient-7") -> tuple[str, str]:
        """The path of a session, from a launch in a frame without cookies, and the ticket that opens it."""
        left = self.launch(sec_fetch_dest="iframe")
        back = self.get(self.sign_in(left, patient))
        entering = self.post("/smart/callback", {"launch": field(back, "launch"), "secret": data(left, "secret")})
        action = re.search(r'action="([^"]+)"', entering.text)
        assert action, entering.text
        return html.unescape(action[1]), field(entering, "ticket")


def asked(left: httpx.Response) -> dict[str, str]:
    """The authorization request that a launch leads to, by redirect, link or form."""
    if left.status_code == 303:
        return dict(parse_qsl(urlsplit(left.headers["location"]).query))
    hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', left.text)
    if hidden:
        return {html.unescape(name): html.unescape(value) for name, value in hidden}
    link = re.search(r'<a id="onward"[^>]* href="([^"]*)"', left.text)
    assert link, left.text
    return dict(parse_qsl(urlsplit(html.unescape(link[1])).query))


def data(page: httpx.Response, name: str) -> str:
    """A data-… attribute of a page's script."""
    found = re.search(rf'data-{name}="([^"]*)"', page.text)
    assert found, page.text
    return html.unescape(found[1])


def field(page: httpx.Response, name: str) -> str:
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)">', page.text)
    assert found, page.text
    return html.unescape(found[1])


def title(page: httpx.Response) -> str:
    found = re.search(r"<h1[^>]*>([^<]*)</h1>", page.text)
    assert found, page.text
    return html.unescape(found[1])


def framed() -> dict[str, Any]:
    return table(smart={"frame_ancestors": [FRAMES]})


@pytest.fixture
def make_clinic(router: respx.MockRouter) -> Callable[..., Clinic]:
    def make(*tables: Any, keys: OwnKeys | None = None, **settings: Any) -> Clinic:
        return Clinic(router, keys, *tables, **settings)

    return make


@pytest.fixture
def clinic(make_clinic: Callable[..., Clinic]) -> Clinic:
    """An EHR that opens the app in a tab of its own."""
    return make_clinic()


@pytest.fixture
def frames(make_clinic: Callable[..., Clinic]) -> Clinic:
    """An EHR that shows the app in a frame."""
    return make_clinic(framed())


__all__ = ["AUTHORIZE", "BASE", "Browser", "Clinic", "asked", "clinic", "data", "field", "frames", "make_clinic"]
