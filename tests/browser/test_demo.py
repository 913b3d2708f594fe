"""The demo in a real browser: every story from the click to the record, in the strict policy and on a narrow screen."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
STORIES = range(12)
HEAVIEST = 40_000


class Screen:
    """One browser page on the demo, with a list of everything that must not happen."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.faults: list[str] = []
        self.addresses: list[str] = []
        origin = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}/"
        page.on("console", lambda message: self._note("console", message.text, message.type in {"error", "warning"}))
        page.on("pageerror", lambda error: self._note("script", str(error)))
        page.on("request", lambda request: self._note("off-origin", request.url, not request.url.startswith(origin)))
        page.on("request", lambda request: self.addresses.append(request.url))
        page.expose_function("reportViolation", lambda directive: self._note("policy", directive))
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation', (event) => reportViolation(event.violatedDirective))"
        )
        page.goto(url)
        page.wait_for_selector("body[data-ready]")

    def _note(self, kind: str, text: str, is_fault: bool = True) -> None:
        if is_fault:
            self.faults.append(f"{kind}: {text}")

    def all(self, name: str) -> Locator:
        return self.page.get_by_test_id(name)

    def choose(self, story: int) -> str:
        """Opens the chart, which calls patient-view; gives what the screen then shows: card, silence or error."""
        if self.all("patients").get_attribute("open") is None:
            self.all("patients").locator("> summary").click()
        self.all("patient").nth(story).click()
        return self.shown()

    def shown(self) -> str:
        self.page.wait_for_selector("[data-testid=answer][data-state]")
        return self.all("answer").get_attribute("data-state") or ""

    def summaries(self) -> list[str]:
        return self.all("card-summary").all_inner_texts()

    def overflow(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def screen(browser: Browser, demo_url: str, request: pytest.FixtureRequest) -> Iterator[Screen]:
    """A page as wide as the test's parameter says, 1280 px unless told. Whatever the test does, no fault may remain."""
    context = browser.new_context(viewport={"width": getattr(request, "param", 1280), "height": 900})
    screen = Screen(context.new_page(), demo_url)
    yield screen
    faults = screen.faults
    context.close()
    assert faults == []


def accept(screen: Screen) -> None:
    screen.all("suggestion").first.click()
    expect(screen.all("recorded")).to_contain_text("Recorded: accepted")
    expect(screen.all("suggestion").first).to_be_disabled()


def override(screen: Screen) -> None:
    screen.all("override-menu").locator("> summary").click()
    if screen.all("override-reason").count():
        screen.all("override-reason").first.check()
    screen.all("override-comment").fill("Seen last week.")
    screen.all("override-submit").click()
    expect(screen.all("recorded")).to_contain_text("Recorded: overridden")


def test_twelve_stories_are_offered(screen: Screen) -> None:
    assert screen.all("patient").count() == len(STORIES)


@pytest.mark.parametrize("story", STORIES)
def test_story_ends_in_a_card_or_in_silence(screen: Screen, story: int) -> None:
    shown = screen.choose(story)
    assert shown in {"card", "silence"}
    assert screen.all("card").count() == (1 if shown == "card" else 0)
    assert screen.all("silence").count() == (1 if shown == "silence" else 0)
    assert screen.all("http-status").last.inner_text() == "200"
    assert screen.all("banner").get_by_text("Synthetic data").count() == 1


@pytest.mark.parametrize("story", STORIES)
def test_card_is_accepted_and_recorded(screen: Screen, story: int) -> None:
    offered = screen.choose(story) == "card" and screen.all("suggestion").count() > 0
    if offered:
        accept(screen)
    assert screen.all("recorded").count() == offered


@pytest.mark.parametrize("story", STORIES)
def test_card_is_overridden_and_recorded(screen: Screen, story: int) -> None:
    shown = screen.choose(story)
    if shown == "card":
        override(screen)
    assert screen.all("recorded").count() == (shown == "card")


def test_some_story_has_a_card_to_accept(screen: Screen) -> None:
    # Without this the two tests above could pass on twelve silences.
    assert any(screen.choose(story) == "card" and screen.all("suggestion").count() for story in STORIES)


@pytest.mark.parametrize("story", STORIES)
def test_bedside_fetching_itself_says_the_same(screen: Screen, story: int) -> None:
    screen.choose(story)
    with_prefetch = screen.summaries()
    screen.all("fetch-itself").check()
    screen.shown()
    assert screen.all("prefetch").inner_text().startswith("No prefetch sent")
    assert screen.summaries() == with_prefetch


@pytest.mark.parametrize("hook", ["encounter-start", "problem-list-item-create"])
def test_other_hooks_answer(screen: Screen, hook: str) -> None:
    screen.choose(0)
    screen.all(f"hook-{hook}").click()
    assert screen.shown() in {"card", "silence"}
    assert f'"{hook}"' in screen.all("request-json").last.inner_text()


@pytest.mark.parametrize("screen", [400, 320], indirect=True)
def test_nothing_is_wider_than_a_narrow_screen(screen: Screen) -> None:
    assert screen.overflow() == 0
    for story in STORIES:
        if screen.choose(story) == "card":
            screen.all("override-menu").locator("> summary").click()
        assert screen.overflow() == 0


def test_keyboard_alone_reaches_the_record(screen: Screen) -> None:
    story = next(story for story in STORIES if screen.choose(story) == "card" and screen.all("suggestion").count())
    screen.all("patient").nth(story).focus()
    screen.page.keyboard.press("Enter")
    screen.shown()
    for _ in range(60):
        if screen.page.evaluate("document.activeElement.dataset.testid") == "suggestion":
            break
        screen.page.keyboard.press("Tab")
    screen.page.keyboard.press("Enter")
    expect(screen.all("recorded")).to_be_visible()


def test_no_address_names_a_patient(screen: Screen) -> None:
    patients = screen.page.evaluate("fetch('patients.json').then((answer) => answer.json())")
    for story in STORIES:
        screen.choose(story)
    assert not [address for address in screen.addresses if any(patient["id"] in address for patient in patients)]


def test_page_is_light(screen: Screen) -> None:
    own = {address for address in screen.addresses if address.endswith((".js", ".css"))}
    assert own
    assert sum(len(screen.page.request.get(address).body()) for address in own) < HEAVIEST
