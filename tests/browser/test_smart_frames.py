"""The launch in a real browser: in an EHR's sandboxed frame and in a tab, without cookies, without JavaScript."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import uvicorn
from playwright.sync_api import Browser, Frame, Page, sync_playwright
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cds.smart import SmartApp, SmartRefused
from cds.web.guard import Guard
from cds.web.smart.door import Door
from cds.web.smart.errors import on_refused
from cds.web.smart.launch import smart_launch
from cds.web.state import State
from tests.cdshooks.desk import site
from tests.smart.world import table

# The frame of SMART's own launcher, which took it from athenahealth's EHR.
SANDBOX = (
    "allow-forms allow-modals allow-pointer-lock allow-popups allow-popups-to-escape-sandbox allow-same-origin "
    "allow-scripts allow-downloads"
)


class Ehr:
    """An EHR at one origin: a chart that frames the app, and the least of an authorization server."""

    def __init__(self, port: int, ours: str) -> None:
        self.origin, self.ours = f"http://127.0.0.1:{port}", ours
        self.app = Starlette(
            routes=[
                Route("/chart", self._chart),
                Route("/fhir/.well-known/smart-configuration", self._configuration),
                Route("/authorize", self._authorize, methods=["GET", "POST"]),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    @property
    def launch(self) -> str:
        return f"{self.ours}/smart/launch?iss={quote(f'{self.origin}/fhir', safe='')}&launch=launch-1"

    def _chart(self, _: Request) -> Response:
        return HTMLResponse(f'<!doctype html><iframe name="app" sandbox="{SANDBOX}" src="{self.launch}"></iframe>')

    def _configuration(self, _: Request) -> Response:
        endpoints = {"authorization_endpoint": f"{self.origin}/authorize", "token_endpoint": f"{self.origin}/token"}
        return JSONResponse(endpoints | {"capabilities": ["permission-v2"]})

    def _authorize(self, request: Request) -> Response:
        asked = request.query_params
        back = urlencode({"code": "code-1", "state": asked["state"]})
        return RedirectResponse(f"{asked['redirect_uri']}?{back}", status_code=302)

    def _token(self, _: Request) -> Response:
        said = {"access_token": "t", "token_type": "Bearer", "scope": "launch", "expires_in": 300}
        return JSONResponse(said | {"patient": "patient-7"})


class Forgetful:
    """Keeps no cookie where told so: what a browser does that blocks them all."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.forget = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if self.forget and message["type"] == "http.response.start":
                message["headers"] = [one for one in message["headers"] if one[0].lower() != b"set-cookie"]
            await send(message)

        await self.app(scope, receive, sending)


class Ours:
    """The app on this machine's other name, so that the EHR's frame is another site's."""

    def __init__(self, port: int, ehr_port: int) -> None:
        origin = f"http://localhost:{port}"
        self.ehr = Ehr(ehr_port, origin)
        registered = table(fhir_base=f"{self.ehr.origin}/fhir", smart={"frame_ancestors": [self.ehr.origin]})
        state = State(site(clients=(registered,), service={"stage": "shadow"}), None, lambda: datetime.now(UTC))
        smart = SmartApp(None, state.clock)
        self.door = Door(state, smart)
        self.visits: list[dict[str, Any]] = []
        self.app = Forgetful(
            Starlette(
                routes=[
                    *smart_launch(state, smart, self.door),
                    Route("/smart/app/{session}", self._page, methods=["GET", "POST"]),
                ],
                middleware=[Middleware(Guard)],
                exception_handlers={SmartRefused: on_refused(state)},
            )
        )

    async def _page(self, request: Request) -> Response:
        visit = await self.door.enter(request, unsafe=request.method == "POST" and bool(self.visits))
        self.visits.append({"by_cookie": visit.by_cookie, "method": request.method})
        form = f'<form method="post"><input type="hidden" name="ticket" value="{visit.ticket}"><button>Next</button>'
        said = json.dumps(self.visits[-1] | {"patient": visit.session.patient_id})
        return HTMLResponse(f"<!doctype html><title>Page</title><h1>{said}</h1>{form}</form>", headers=visit.headers)


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _serve(app: Any, host: str, port: int) -> uvicorn.Server:
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="critical", lifespan="off", ws="none"))
    threading.Thread(target=server.run, daemon=True).start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.01)
    return server


@pytest.fixture(scope="module")
def ours() -> Iterator[Ours]:
    port, ehr_port = _port(), _port()
    made = Ours(port, ehr_port)
    servers = [_serve(made.app, "localhost", port), _serve(made.ehr.app, "127.0.0.1", ehr_port)]
    yield made
    for server in servers:
        server.should_exit = True


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def faults(ours: Ours) -> list[str]:
    ours.visits.clear()
    ours.app.forget = False
    return []


def watched(page: Page, faults: list[str]) -> Page:
    """A page whose script errors and policy violations are kept."""
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    return page


def framed(page: Page, ours: Ours) -> Frame:
    page.goto(f"{ours.ehr.origin}/chart")
    (frame,) = page.main_frame.child_frames  # not by its name, which may carry the launch's secret for a while
    return frame


def shown(frame: Frame | Page) -> dict[str, Any]:
    frame.wait_for_selector("text=patient-7", timeout=15_000)
    said: dict[str, Any] = json.loads(frame.inner_text("h1"))
    return said


@pytest.mark.proves("S25", "launched, signed in and a form sent inside the sandboxed frame, 0 script errors")
@pytest.mark.proves("R42", "a partitioned cookie arrives in a third-party frame of Chromium")
def test_in_the_ehrs_sandboxed_frame_the_cookie_arrives(browser: Browser, ours: Ours, faults: list[str]) -> None:
    page = watched(browser.new_page(), faults)
    frame = framed(page, ours)
    assert shown(frame) == {"by_cookie": True, "method": "GET", "patient": "patient-7"}
    assert "?" not in frame.url
    frame.click("button")
    frame.wait_for_selector("text=POST")
    assert shown(frame) == {"by_cookie": True, "method": "POST", "patient": "patient-7"}
    assert faults == []
    page.close()


@pytest.mark.proves("S22", "no cookie at all: the page reached in the sandboxed frame and its form accepted")
def test_in_a_frame_without_any_cookie_the_page_is_reached_all_the_same(
    browser: Browser, ours: Ours, faults: list[str]
) -> None:
    ours.app.forget = True
    page = watched(browser.new_page(), faults)
    frame = framed(page, ours)
    assert shown(frame) == {"by_cookie": False, "method": "POST", "patient": "patient-7"}
    frame.click("button")
    page.wait_for_timeout(1_000)
    assert shown(frame) == {"by_cookie": False, "method": "POST", "patient": "patient-7"}
    assert len(ours.visits) == 2
    assert faults == []
    page.close()


def test_without_javascript_a_click_leads_to_the_sign_in(browser: Browser, ours: Ours, faults: list[str]) -> None:
    context = browser.new_context(java_script_enabled=False)
    frame = framed(context.new_page(), ours)
    frame.click("#onward")
    assert shown(frame)["by_cookie"] is True
    context.close()


@pytest.mark.proves("S26", "with nothing kept in a tab: a page with a link of target=_blank and rel=noopener, no popup")
def test_a_tab_that_keeps_nothing_is_told_so(browser: Browser, ours: Ours, faults: list[str]) -> None:
    page = watched(browser.new_page(), faults)
    page.goto(ours.ehr.launch)
    assert shown(page)["by_cookie"] is True
    ours.app.forget = True
    page.goto(ours.ehr.launch)
    link = page.wait_for_selector("a.button")
    assert link is not None
    assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noopener")
    assert page.url.endswith("/smart/callback"), "code and state are gone from the address"
    assert len(page.context.pages) == 1
    assert faults == []
    page.context.close()


@pytest.mark.proves("S24", "framed by another site than the EHR: 0 of our pages shown")
def test_another_site_cannot_frame_the_app(browser: Browser, ours: Ours, faults: list[str]) -> None:
    port = _port()
    other = Ehr(port, ours.ehr.ours)
    other.origin = ours.ehr.origin  # the same launch link, on a page of another origin
    server = _serve(other.app, "127.0.0.1", port)
    page = watched(browser.new_page(), faults)
    page.goto(f"http://127.0.0.1:{port}/chart")
    page.wait_for_timeout(2_000)
    assert ours.visits == []
    assert any("frame-ancestors" in fault for fault in faults)
    server.should_exit = True
    page.close()
