"""The demo in a real browser: every story from the click to the record, in the strict policy and on a narrow screen."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.screen import Screen

STORIES = range(12)
HEAVIEST = 42_000


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
