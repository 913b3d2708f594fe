"""From patient to card to the real app in a panel beside the chart: it says what the card says, and leaves with it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Literal, cast
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Frame, Locator, Route, expect

from cds.ledger import Keyring, Ledger
from fhir_fixtures.stories import STORIES
from tests.browser.screen import Screen

STORY = 1
PATIENT = STORIES[STORY].patient
CARDS, NUMBERS = 7, 4
"""Of the twelve stories: those with a card, and those whose card has a number."""
Size = tuple[int, Literal["light", "dark"]]
SIZES: tuple[Size, ...] = tuple((width, scheme) for width in (320, 400, 1280) for scheme in ("light", "dark"))
SANDBOX = (
    "allow-forms allow-modals allow-pointer-lock allow-popups allow-popups-to-escape-sandbox "
    "allow-same-origin allow-scripts allow-downloads"
)


@pytest.fixture
def panel(browser: Browser, demo_url: str, request: pytest.FixtureRequest) -> Iterator[Screen]:
    """The demo as it is served. Width and scheme as told; whatever the test does, no fault may remain."""
    width, scheme = cast("Size", getattr(request, "param", (1280, "light")))
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    screen = Screen(context.new_page(), demo_url)
    yield screen
    # Chromium warns of every sandbox that has both flags, and SMART launchers give apps both.
    faults = [fault for fault in screen.faults if "allow-scripts and allow-same-origin" not in fault]
    context.close()
    assert faults == []


@pytest.fixture
def ledger(demo_data: Path) -> Iterator[Ledger]:
    """The demo's ledger, read beside the server."""
    folder = demo_data / "bedside"
    with closing(Ledger.open(f"sqlite:///{folder / 'demo.sqlite'}", Keyring.from_file(folder / "demo.key"))) as found:
        yield found


def link(screen: Screen) -> Locator:
    return screen.page.get_by_role("link", name="Open kidney failure risk details")


def opened(screen: Screen, story: int = STORY) -> Frame:
    """The app's frame, once the page of that story's patient is in it."""
    assert screen.choose(story) == "card"
    link(screen).click()
    return arrived(screen)


def arrived(screen: Screen) -> Frame:
    expect(screen.page.frame_locator("[data-testid=app-frame]").locator("#headline")).to_be_visible()
    (frame,) = screen.page.main_frame.child_frames
    return frame


def saved(screen: Screen, patient: str) -> int:
    """How many RiskAssessments the demo's FHIR server has of a patient."""
    found = screen.page.request.get(f"{screen.page.url.removesuffix('/')}/fhir/RiskAssessment?patient={patient}")
    return int(found.json()["total"])


def rows(card: Locator) -> dict[str, tuple[str, str]]:
    """The inputs that a card's table shows: value and date by name."""
    cells = [row.locator("td").all_inner_texts() for row in card.locator("[data-testid=card-detail] tbody tr").all()]
    return {name: (value, date) for name, value, date, *_ in cells}


def inputs(frame: Frame) -> dict[str, tuple[str, str]]:
    """The inputs that the page shows."""
    told = {}
    for row in frame.locator("[aria-labelledby=inputs] tbody tr").all():
        value, date = (row.locator(f"td[data-label={label}]").inner_text().split("\n") for label in ("Value", "Date"))
        told[row.locator("th").inner_text()] = (", ".join(part for part in value if part), date[0])
    return told


@pytest.mark.proves(
    "R44", "7 stories with a card: the page in the panel has its sentence; 4 with numbers: those and the inputs"
)
@pytest.mark.proves("R46", "7 stories: the panel shows the patient of the card")
def test_the_page_says_what_the_card_says(panel: Screen) -> None:
    cards, numbers = 0, 0
    for number, story in enumerate(STORIES):
        if panel.choose(number) != "card":
            assert link(panel).count() == 0
            continue
        link(panel).click()
        frame, card = arrived(panel), panel.all("card").first
        cards += 1
        assert frame.inner_text("#headline") == panel.summaries()[0]
        assert f"{story.given} {story.family}" in frame.inner_text("header")
        detail = " ".join(panel.all("card-detail").first.inner_text().split())
        for shown in frame.locator("section.number").all():
            years = shown.locator("h3").inner_text().removeprefix("Within ")
            assert f"{years}: {' '.join(shown.locator('.big').inner_text().split())}" in detail
            numbers += 1
        if frame.locator("section.number").count():
            on_card, on_page = rows(card), inputs(frame)
            assert on_card.pop("Age, sex")[0] == f"{on_page['Age'][0].removesuffix(' years')}, {on_page['Sex'][0]}"
            assert len(on_card) >= 2
            assert {name: on_page[name] for name in on_card} == on_card
    assert (cards, numbers) == (CARDS, 2 * NUMBERS)


def recorded(ledger: Ledger) -> tuple[int, int, int]:
    """Reactions to the app, what-ifs as answers, and what-ifs and saves as events."""
    asked = [record for record in ledger.answers() if record.hook == "smart-what-if"]
    events = [event for event in ledger.events() if event.kind in ("what-if", "save")]
    return len(list(ledger.feedback_records())), len(asked), len(events)


@pytest.mark.proves("R43", "save, save again, what-if, not helpful and logout in the panel: each accepted, 0 faults")
@pytest.mark.proves("S24", "the whole of it with 0 violations of the content security policy")
def test_what_is_done_in_the_panel_is_done_once_and_recorded(panel: Screen, ledger: Ledger) -> None:
    reactions, asked, events = recorded(ledger)
    before = saved(panel, PATIENT)
    frame = opened(panel)
    frame.get_by_role("button", name="Save this risk to the chart").click()
    expect(frame.locator("[role=status]")).to_have_text("Saved to the chart.")
    frame.get_by_role("button", name="Save this risk to the chart").click()
    expect(frame.locator("[role=status]")).to_have_text("This risk is in the chart already.")
    assert saved(panel, PATIENT) == before + 1
    frame.get_by_role("spinbutton", name="eGFR").fill("25")
    frame.get_by_role("button", name="Calculate").click()
    expect(frame.locator(".compare")).to_contain_text("Hypothetical: eGFR 25")
    frame.get_by_text("Not helpful…").click()
    frame.get_by_label("Data wrong or old").check()
    frame.get_by_role("button", name="Send").click()
    expect(frame.locator("p.notice")).to_contain_text("Thank you")
    frame.get_by_role("button", name="Close this app").click()
    expect(frame.get_by_role("heading", level=1)).to_have_text("You have left the app")
    assert recorded(ledger) == (reactions + 1, asked + 1, events + 5)  # each save is asked and done
    assert list(ledger.feedback_records())[-1].outcome == "overridden"


@pytest.mark.proves("S25", "the demo's frame has the sandbox of SMART's launcher, and no patient in its address")
def test_the_app_starts_in_a_frame_with_this_ehr_and_an_opaque_launch(panel: Screen) -> None:
    opened(panel)
    frame = panel.all("app-frame")
    address = urlsplit(frame.get_attribute("src") or "")
    sent = parse_qs(address.query)
    assert sent.keys() == {"iss", "launch"}
    assert sent["iss"] == [f"{address.scheme}://{address.netloc}/demo/fhir"]
    assert len(sent["launch"][0]) >= 22
    assert not [one for one in STORIES if any(one.patient in asked for asked in panel.addresses)]
    assert frame.get_attribute("sandbox") == SANDBOX
    assert "kidney" in (panel.all("exchange").last.text_content() or "")


def test_each_opening_is_a_launch_of_its_own(panel: Screen) -> None:
    opened(panel)
    first = panel.all("app-frame").get_attribute("src") or ""
    link(panel).click()
    expect(panel.all("app-frame")).not_to_have_attribute("src", first)
    assert panel.all("app").count() == 1


def test_focus_goes_to_the_panel_and_comes_back(panel: Screen) -> None:
    assert panel.choose(STORY) == "card"
    link(panel).focus()
    panel.page.keyboard.press("Enter")
    expect(panel.page.locator("#app-title")).to_be_focused()
    panel.page.keyboard.press("Tab")
    expect(panel.all("app-close")).to_be_focused()
    panel.page.keyboard.press("Enter")
    expect(link(panel)).to_be_focused()
    assert panel.all("app").count() == 0
    panel.page.keyboard.press("Enter")
    expect(panel.page.locator("#app-title")).to_be_focused()
    panel.page.keyboard.press("Escape")
    expect(link(panel)).to_be_focused()


def test_the_app_leaves_with_the_chart(panel: Screen) -> None:
    opened(panel)
    panel.choose(0)
    assert panel.all("app").count() == 0


def test_an_app_of_another_origin_gets_a_tab_and_no_frame(panel: Screen) -> None:
    elsewhere = panel.page.url.replace("127.0.0.1", "localhost").removesuffix("/demo/")
    foreign = {"label": "Elsewhere", "type": "smart", "url": f"{elsewhere}/smart/launch"}
    card = {"summary": "One", "indicator": "info", "source": {"label": "Test"}, "links": [foreign]}

    def answer(route: Route) -> None:
        route.fulfill(json={"cards": [card]})

    def blank(route: Route) -> None:
        route.fulfill(body="<!doctype html><title>Elsewhere</title>", content_type="text/html")

    panel.page.context.route("**/cds-services/kidney-failure-risk", answer)
    panel.page.context.route(f"{elsewhere}/smart/launch?*", blank)
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
        link(panel).click()
    panel.choose(0)
    with panel.page.expect_response("**/demo/launch") as answered:
        late[0].continue_()
    answered.value.finished()
    panel.page.wait_for_timeout(100)
    assert panel.all("app").count() == 0


@pytest.mark.proves("R44", "axe-core on the app inside the panel at 320, 400 and 1280 px, light and dark: 0 violations")
@pytest.mark.parametrize("panel", SIZES, indirect=True)
def test_the_panel_and_the_app_in_it_fit_every_screen_and_reader(panel: Screen) -> None:
    frame = opened(panel)
    assert panel.overflow() == 0
    box = panel.all("app-frame").bounding_box()
    assert box is not None
    assert box["width"] > 240
    assert frame.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    for summary in frame.locator("summary").all():
        summary.click()
    for where, context in ((panel.page, "#open-chart"), (frame, None)):
        found = Axe().run(where, context=context)
        assert found.response["violations"] == []
