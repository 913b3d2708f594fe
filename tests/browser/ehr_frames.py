"""An EHR whose chart shows the app in a sandboxed frame on another site, and browsers of several tempers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from msgspec import Struct
from playwright.sync_api import BrowserContext, Page, Playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from tests.browser.conftest import ARGUMENTS
from tests.ehr.clinic import Clinic

# The frame of SMART's own launcher, which took it from athenahealth's EHR.
SANDBOX = (
    "allow-forms allow-modals allow-pointer-lock allow-popups allow-popups-to-escape-sandbox allow-same-origin "
    "allow-scripts allow-downloads"
)
FRAME = '<iframe title="App" sandbox="{}" src="{}"></iframe>'
HEAD = '<!doctype html><html lang="en"><title>Chart</title><link rel="icon" href="data:,"><h1>Chart</h1>'
PROBE = '<!doctype html><link rel="icon" href="data:,"><h1>{}</h1><a href="/probe">again</a>'


class Charts:
    """Adds two pages to the EHR: a chart that frames the app, and one that says whether its cookie came back."""

    def __init__(self) -> None:
        self.clinic: Clinic | None = None

    def around(self, app: FastAPI) -> Starlette:
        return Starlette(routes=[Route("/chart", self._chart), Route("/probe", self._probe), Mount("/", app)])

    def _chart(self, request: Request) -> Response:
        assert self.clinic is not None
        links = [self.clinic.link(patient) for patient in request.query_params.getlist("patient")]
        frames = [FRAME.format(SANDBOX, link.replace("&", "&amp;")) for link in links]
        probe = request.query_params.get("probe")
        return HTMLResponse(HEAD + "".join([*frames, *([f'<iframe src="{probe}"></iframe>'] if probe else [])]))

    def _probe(self, request: Request) -> Response:
        answer = HTMLResponse(PROBE.format("kept" if "probe" in request.cookies else "nothing kept"))
        answer.headers["set-cookie"] = "probe=1; Path=/; Secure; SameSite=None"
        return answer


class Temper(Struct, frozen=True):
    """What a browser does with cookies, by its own settings, and whether it runs scripts."""

    name: str
    cookies: dict[str, Any]
    third_party: str
    """What becomes of an ordinary cookie in a frame of another site."""
    road: str
    """How a framed page is reached: by cookie, by ticket, or not at all."""
    scripts: bool = True

    def __repr__(self) -> str:
        return f"{self.name}, {'scripts' if self.scripts else 'no scripts'}"


BLOCKED = {"cookie_controls_mode": 1, "block_third_party_cookies": True}
IN_FRAMES = {"content_settings": {"exceptions": {"cookies": {"http://localhost:*,http://127.0.0.1:*": {"setting": 2}}}}}
NONE = {"default_content_setting_values": {"cookies": 2}}
TEMPERS = (
    Temper("third-party cookies allowed", {"cookie_controls_mode": 0}, "kept", "cookie"),
    Temper("third-party cookies allowed", {"cookie_controls_mode": 0}, "kept", "cookie", scripts=False),
    Temper("third-party cookies blocked", BLOCKED, "nothing kept", "cookie"),
    Temper("third-party cookies blocked", BLOCKED, "nothing kept", "cookie", scripts=False),
    Temper("no cookies in frames", IN_FRAMES, "nothing kept", "ticket"),
    Temper("no cookies in frames", IN_FRAMES, "nothing kept", "nowhere", scripts=False),
    Temper("no cookies at all", NONE, "nothing kept", "ticket"),
    Temper("no cookies at all", NONE, "nothing kept", "nowhere", scripts=False),
)


@contextmanager
def browsing(driver: Playwright, chromium: Path, folder: Path, temper: Temper) -> Iterator[BrowserContext]:
    """A browser of its own with these settings, as its user would have made them."""
    (folder / "Default").mkdir()
    (folder / "Default" / "Preferences").write_text(json.dumps({"profile": temper.cookies}))
    context = driver.chromium.launch_persistent_context(
        str(folder), executable_path=str(chromium), args=ARGUMENTS, java_script_enabled=temper.scripts
    )
    context.set_default_timeout(15_000)
    yield context
    context.close()


class Faults(list[str]):
    """What must not happen on a page: messages of the console, script errors, requests to anybody else."""

    def watch(self, page: Page, *origins: str) -> Page:
        page.on("console", lambda said: None if _expected(said.text) else self.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: self.append(f"script: {error}"))
        page.on("request", lambda sent: None if sent.url.startswith(origins) else self.append(f"asked {sent.url}"))
        return page


def _expected(text: str) -> bool:
    # Chromium warns of every sandbox that has both flags, and SMART launchers give apps both.
    return "allow-scripts and allow-same-origin" in text
