"""A card's SMART link in a real browser: the app opens in a panel beside the chart, and leaves with it."""

import json
from collections.abc import Iterator
from typing import Literal, cast
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Route, expect

from tests.browser.screen import Screen

APP = b"<!doctype html><html lang=en><title>Stand-in</title><h1>Stand-in app</h1><p id=where></p></html>"
STORY = 1
Size = tuple[int, Literal["light", "dark"]]
SANDBOX = (
    "allow-forms allow-modals allow-pointer-lock allow-popups allow-popups-to-escape-sandbox "
    "allow-same-origin allow-scripts allow-downloads"
)


@pytest.fixture
def panel(browser: Browser, demo_url: str, request: pytest.FixtureRequest) -> Iterator[Screen]:
    """The demo whose cards also link to an app; the app is a page that stands in for one. Width and scheme as told."""
    width, scheme = cast("Size", getattr(request, "param", (1280, "light")))
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(demo_url))

    def with_link(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        link = {"label": "Open kidney risk details", "type": "smart", "url": f"{origin}/smart/launch"}
        for card in body["cards"]:
            card["links"] = [link | {"appContext": "kidney"}]
        route.fulfill(response=answer, body=json.dumps(body))

    context.route("**/cds-services/kidney-failure-risk", with_link)
    context.route("**/smart/launch?*", lambda route: route.fulfill(body=APP, content_type="text/html"))
    screen = Screen(context.new_page(), demo_url)
    yield screen
    # Chromium warns of every sandbox that has both flags, and SMART launchers give apps both.
    faults = [fault for fault in screen.faults if "allow-scripts and allow-same-origin" not in fault]
    context.close()
    assert faults == []


def opened(screen: Screen, story: int = STORY) -> None:
    assert screen.choose(story) == "card"
    screen.all("card-link").first.click()
    expect(screen.page.frame_locator("[data-testid=app-frame]").get_by_role("heading")).to_have_text("Stand-in app")


def test_the_app_starts_in_a_frame_with_this_ehr_and_an_opaque_launch(panel: Screen) -> None:
    opened(panel)
    frame = panel.all("app-frame")
    address = urlsplit(frame.get_attribute("src") or "")
    sent = parse_qs(address.query)
    assert sent.keys() == {"iss", "launch"}
    assert sent["iss"] == [f"{address.scheme}://{address.netloc}/demo/fhir"]
    assert len(sent["launch"][0]) >= 22
    patients = panel.page.evaluate("fetch('patients.json').then((answer) => answer.json())")
    assert not [one for one in patients if one["id"] in address.query]
    assert frame.get_attribute("sandbox") == SANDBOX
    assert "kidney" in (panel.all("exchange").last.text_content() or "")


def test_each_opening_is_a_launch_of_its_own(panel: Screen) -> None:
    opened(panel)
    first = panel.all("app-frame").get_attribute("src") or ""
    panel.all("card-link").first.click()
    expect(panel.all("app-frame")).not_to_have_attribute("src", first)
    assert panel.all("app").count() == 1


def test_focus_goes_to_the_panel_and_comes_back(panel: Screen) -> None:
    assert panel.choose(STORY) == "card"
    panel.all("card-link").first.focus()
    panel.page.keyboard.press("Enter")
    expect(panel.page.locator("#app-title")).to_be_focused()
    panel.page.keyboard.press("Tab")
    expect(panel.all("app-close")).to_be_focused()
    panel.page.keyboard.press("Enter")
    expect(panel.all("card-link").first).to_be_focused()
    assert panel.all("app").count() == 0
    panel.page.keyboard.press("Enter")
    expect(panel.page.locator("#app-title")).to_be_focused()
    panel.page.keyboard.press("Escape")
    expect(panel.all("card-link").first).to_be_focused()


def test_the_app_leaves_with_the_chart(panel: Screen) -> None:
    opened(panel)
    panel.choose(0)
    assert panel.all("app").count() == 0


def test_an_app_of_another_origin_gets_a_tab_and_no_frame(panel: Screen) -> None:
    elsewhere = panel.page.url.replace("127.0.0.1", "localhost").removesuffix("/demo/")
    link = {"label": "Elsewhere", "type": "smart", "url": f"{elsewhere}/smart/launch"}
    card = {"summary": "One", "indicator": "info", "source": {"label": "Test"}, "links": [link]}

    def answer(route: Route) -> None:
        route.fulfill(json={"cards": [card]})

    panel.page.context.route("**/cds-services/kidney-failure-risk", answer)
    assert panel.choose(STORY) == "card"
    with panel.page.expect_popup() as opened_tab:
        panel.all("card-link").first.click()
    assert opened_tab.value.url.startswith(f"{elsewhere}/smart/launch?iss=http")
    assert panel.all("app").count() == 0


def test_the_page_frames_its_own_origin_and_is_framed_by_nobody(demo_url: str) -> None:
    policy = httpx.get(demo_url).headers["content-security-policy"].split("; ")
    assert {"frame-src 'self'", "frame-ancestors 'none'"} <= set(policy)


def test_a_launch_that_comes_after_the_chart_was_left_opens_nothing(panel: Screen) -> None:
    late: list[Route] = []

    def hold(route: Route) -> None:
        late.append(route)

    panel.page.route("**/demo/launch", hold)
    assert panel.choose(STORY) == "card"
    with panel.page.expect_request("**/demo/launch"):
        panel.all("card-link").first.click()
    panel.choose(0)
    with panel.page.expect_response("**/demo/launch") as answered:
        late[0].continue_()
    answered.value.finished()
    panel.page.wait_for_timeout(100)
    assert panel.all("app").count() == 0


@pytest.mark.parametrize("panel", [(1280, "light"), (1280, "dark"), (400, "light"), (320, "dark")], indirect=True)
def test_the_panel_fits_every_screen_and_reader(panel: Screen) -> None:
    opened(panel)
    assert panel.overflow() == 0
    box = panel.all("app-frame").bounding_box()
    assert box is not None
    assert box["width"] > 240
    found = Axe().run(panel.page, context="#open-chart")
    assert found.response["violations"] == []
