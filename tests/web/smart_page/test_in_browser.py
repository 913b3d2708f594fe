"""The pages in a real browser: no rule of accessibility broken, nothing cut off, nothing asked of anybody else."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tests.cdshooks.desk import SERVICE
from tests.web.smart_page.bench import SAVE, App

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
ORIGIN = "http://localhost"
STORIES = ("refer", "high", "unit", "missing", "dialysis", "low")
WIDTHS = (320, 400, 1280)


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(chromium), args=ARGUMENTS)
        yield started
        started.close()


class Screen:
    """One browser page on the app, with a list of everything that must not happen."""

    def __init__(self, browser: Browser, app: App, *, scripts: bool = True) -> None:
        self.app = app
        self.faults: list[str] = []
        self.page: Page = browser.new_context(java_script_enabled=scripts).new_page()
        self.page.on("console", lambda message: self.faults.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.route("**/*", self._serve)

    def _serve(self, route: Route) -> None:
        request = route.request
        if not request.url.startswith(f"{ORIGIN}/smart/"):
            self.faults.append(f"asked {request.url}")
            route.abort()
            return
        sent = {name: value for name, value in request.headers.items() if name == "content-type"}
        path = request.url.removeprefix(ORIGIN)
        answer = self.app.http.request(request.method, path, content=request.post_data_buffer, headers=sent)
        route.fulfill(status=answer.status_code, headers=dict(answer.headers), body=answer.content)

    def open(self, service: str = f"/{SERVICE}") -> None:
        self.page.goto(f"{ORIGIN}{self.app.path}{service}")

    def unfold(self) -> None:
        for summary in self.page.locator("summary").all():
            summary.click()

    def check(self, where: str) -> int:
        """Every width in light and dark; how many looks that were."""
        looks = 0
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                self.page.set_viewport_size({"width": width, "height": 800})
                self.page.emulate_media(color_scheme=scheme)
                found = Axe().run(self.page)
                assert found.violations_count == 0, f"{where} {width} {scheme}: {found.generate_report()}"
                wide = self.page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, f"{where}: {wide} px in {width}"
                looks += 1
        return looks


@pytest.mark.proves("PAGE", "6 stories at 320, 400 and 1280 px, light and dark: 0 axe violations, 0 console messages")
@pytest.mark.parametrize("name", STORIES)
def test_a_page_breaks_no_rule_at_any_width(name: str, browser: Browser, open_app: Callable[..., App]) -> None:
    screen = Screen(browser, open_app(name, scope=SAVE))
    screen.open()
    assert Axe().run(screen.page).violations_count == 0
    screen.unfold()
    assert screen.check(name) == 6
    assert screen.faults == []


def test_a_what_if_breaks_no_rule_at_any_width(browser: Browser, open_app: Callable[..., App]) -> None:
    screen = Screen(browser, open_app("refer"))
    screen.open()
    screen.page.get_by_role("spinbutton", name="eGFR").fill("25")
    screen.page.get_by_role("button", name="Calculate").click()
    assert "36.7%" in screen.page.inner_text(".compare")
    assert screen.check("what-if") == 6
    assert screen.faults == []


def test_the_overview_breaks_no_rule_at_any_width(browser: Browser, open_app: Callable[..., App]) -> None:
    screen = Screen(browser, open_app("refer", by_cookie=False))
    screen.open("")
    assert screen.check("overview") == 6
    screen.page.get_by_role("button", name="Open kidney failure risk details").click()
    assert screen.page.get_by_role("heading", level=1).inner_text().startswith("Kidney failure risk 15.4%")
    assert screen.faults == []


def test_a_page_that_cannot_be_shown_breaks_no_rule_either(browser: Browser, open_app: Callable[..., App]) -> None:
    app = open_app("refer")
    app.records.denied.add("Patient")
    screen = Screen(browser, app)
    screen.open()
    assert screen.check("problem") == 6
    assert [fault for fault in screen.faults if "412" not in fault] == []  # the browser itself names the status


def test_everything_can_be_done_without_javascript(browser: Browser, open_app: Callable[..., App]) -> None:
    app = open_app("refer", scope=SAVE)
    screen = Screen(browser, app, scripts=False)
    screen.open()
    page = screen.page
    page.get_by_role("spinbutton", name="eGFR").fill("25")
    page.get_by_role("button", name="Calculate").click()
    assert "Hypothetical: eGFR 25" in page.inner_text(".compare")
    page.get_by_role("button", name="Save this risk to the chart").click()
    assert page.inner_text("[role=status]") == "Saved to the chart."
    page.get_by_text("Not helpful…").click()
    page.get_by_label("Data wrong or old").check()
    page.get_by_role("button", name="Send").click()
    assert page.inner_text("[role=status]").startswith("Thank you")
    assert len(app.records.created) == 1
    assert [one.reason_code for one in app.feedback()] == ["recipient-does-not-trust"]
    assert screen.faults == []


def test_a_print_has_every_value_and_no_button(browser: Browser, open_app: Callable[..., App]) -> None:
    screen = Screen(browser, open_app("refer", scope=SAVE))
    screen.open()
    screen.page.emulate_media(media="print")
    assert screen.page.get_by_role("button").count() == 0
    assert screen.page.get_by_text("UNVERIFIED").first.is_visible()
    assert screen.page.get_by_role("rowheader", name="4 May 2026").is_visible()


@pytest.mark.proves("R46", "the patient's name stays on screen at the foot of the page at 1280 px")
def test_the_banner_stays_in_sight_on_a_wide_screen(browser: Browser, open_app: Callable[..., App]) -> None:
    screen = Screen(browser, open_app("refer"))
    screen.page.set_viewport_size({"width": 1280, "height": 800})
    screen.open()
    screen.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    box = screen.page.get_by_text("Osbert Quillfeather").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 60
