"""The app in an EHR's sandboxed frame on another site: whatever a browser keeps, the right page or a way to it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from playwright.sync_api import BrowserContext, Frame, Page, Playwright, expect, sync_playwright

from cds.web.smart.words import WORDS
from tests.browser.ehr_frames import TEMPERS, Charts, Faults, Temper, browsing
from tests.ehr.clinic import SERVICE, Clinic, clinic
from tests.ehr.running import running

HERS, HIS = ("refer-64m", "Quillfeather", "15.4%"), ("high-58m", "", "59.3%")
WITH_SCRIPTS = [temper for temper in TEMPERS if temper.scripts]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    charts = Charts()
    with clinic(tmp_path_factory.mktemp("clinic"), around=charts.around) as started:
        charts.clinic = started
        yield started


@pytest.fixture(scope="module")
def driver() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(params=TEMPERS, ids=repr)
def temper(request: pytest.FixtureRequest) -> Temper:
    found: Temper = request.param
    return found


@pytest.fixture
def browser(temper: Temper, driver: Playwright, chromium: Path, tmp_path: Path) -> Iterator[BrowserContext]:
    with browsing(driver, chromium, tmp_path, temper) as context:
        yield context


@pytest.fixture
def faults() -> Iterator[Faults]:
    found = Faults()
    yield found
    assert found == []


def shown(page: Page, hospital: Clinic, *patients: str, more: str = "") -> list[Frame]:
    """The frames of a chart page, by their place: their names may carry a launch's secret for a while."""
    page.goto(f"{hospital.ehr.origin}/chart?{'&'.join(f'patient={one}' for one in patients)}{more}")
    return page.main_frame.child_frames


def arrive(frame: Frame, temper: Temper) -> None:
    if not temper.scripts:
        frame.click("#onward")
    frame.wait_for_selector("#headline" if temper.road != "nowhere" else "text=Open the app in a new tab")


@pytest.mark.proves("R42", "third-party cookies allowed or blocked: by partitioned cookie; none: by ticket, 8 browsers")
@pytest.mark.proves("S22", "4 browsers that keep no cookie in frames: 2 with scripts reach the page, 2 a way to it")
@pytest.mark.proves("S25", "launch, sign-in, what-if, save and logout in the sandboxed frame, 6 browsers, 0 faults")
@pytest.mark.proves("S26", "0 popups; where nothing is kept, a link of target=_blank and rel=noopener")
def test_the_right_page_or_a_way_to_it(
    temper: Temper, browser: BrowserContext, hospital: Clinic, faults: Faults
) -> None:
    page = faults.watch(browser.new_page(), hospital.origin, hospital.ehr.origin, "data:")
    [frame] = shown(page, hospital, HERS[0])
    arrive(frame, temper)
    assert len(browser.pages) == 2  # the browser's own first one, and this
    if temper.road == "nowhere":
        link = frame.get_by_role("link", name="Open the app in a new tab")
        assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noopener")
        assert WORDS["cookies-blocked"].title in frame.inner_text("h1")
        assert "Quillfeather" not in frame.inner_text("body")
        return
    assert "?" not in frame.url
    expect(frame.locator("a.go" if temper.road == "cookie" else "form.go-form")).to_have_count(1)
    assert HERS[2] in frame.inner_text("#headline")
    frame.get_by_role("spinbutton", name="eGFR").fill("25")
    frame.get_by_role("button", name="Calculate").click()
    expect(frame.locator(".compare")).to_contain_text("Hypothetical: eGFR 25")
    frame.get_by_role("button", name="Save this risk to the chart").click()
    expect(frame.locator("p.notice")).to_have_text(re.compile("Saved to the chart|in the chart already"))
    frame.locator(".back .go").click()
    expect(frame.get_by_role("heading", level=1)).to_have_text("Risks for this patient")
    assert "Quillfeather" in frame.inner_text("header")
    frame.get_by_role("button", name="Close this app").click()
    expect(frame.get_by_role("heading", level=1)).to_have_text("You have left the app")


@pytest.mark.proves("S23", "two charts side by side in 4 browsers: 0 mixed, each acts on its own and ends alone")
@pytest.mark.parametrize("temper", WITH_SCRIPTS, ids=repr)
def test_two_charts_in_one_browser_never_mix(
    temper: Temper, browser: BrowserContext, hospital: Clinic, faults: Faults
) -> None:
    page = faults.watch(browser.new_page(), hospital.origin, hospital.ehr.origin, "data:")
    hers, his = shown(page, hospital, HERS[0], HIS[0])
    for frame, (_, _, number) in ((hers, HERS), (his, HIS)):
        arrive(frame, temper)
        assert number in frame.inner_text("#headline")
    for frame, (_, _, number) in ((hers, HERS), (his, HIS), (hers, HERS)):
        frame.get_by_role("button", name="Helpful", exact=True).click()
        expect(frame.locator("p.notice")).to_contain_text("Thank you")
        assert number in frame.inner_text("#headline")
    assert "Quillfeather" in hers.inner_text("header")
    assert "Quillfeather" not in his.inner_text("body")
    hers.get_by_role("button", name="Close this app").click()
    expect(hers.get_by_role("heading", level=1)).to_have_text("You have left the app")
    his.locator(".back .go").click()
    expect(his.get_by_role("heading", level=1)).to_have_text("Risks for this patient")


@pytest.mark.parametrize("temper", [one for one in WITH_SCRIPTS if one.name != "no cookies at all"], ids=repr)
def test_the_browsers_are_of_the_temper_that_they_claim(
    temper: Temper, browser: BrowserContext, hospital: Clinic
) -> None:
    page = browser.new_page()
    probe = hospital.ehr.origin.replace("127.0.0.1", "localhost") + "/probe"
    [frame] = shown(page, hospital, more=f"probe={probe}")
    frame.get_by_role("link").click()
    expect(frame.get_by_role("heading")).to_have_text(temper.third_party)


@pytest.mark.proves("S26", "from a frame that keeps nothing into a tab of its own: the page of the chosen patient")
@pytest.mark.parametrize(
    "temper", [one for one in TEMPERS if repr(one) == "no cookies in frames, no scripts"], ids=repr
)
def test_the_new_tab_leads_to_the_page(
    temper: Temper, browser: BrowserContext, hospital: Clinic, faults: Faults
) -> None:
    page = browser.new_page()
    [frame] = shown(page, hospital, HERS[0])
    arrive(frame, temper)
    with browser.expect_page() as opened:
        frame.get_by_role("link", name="Open the app in a new tab").click()
    tab = faults.watch(opened.value, hospital.origin, hospital.ehr.origin, "data:")
    tab.get_by_role("button", name="Osbert Quillfeather").click()
    expect(tab.get_by_role("heading", level=1)).to_contain_text(HERS[2])
    assert tab.url.endswith(f"/{SERVICE}")


@pytest.mark.proves("S24", "framed by another site than the EHR: 0 of our pages shown")
@pytest.mark.parametrize("temper", TEMPERS[:1], ids=repr)
def test_another_site_cannot_frame_the_app(temper: Temper, browser: BrowserContext, hospital: Clinic) -> None:
    charts = Charts()
    charts.clinic = hospital
    seen = len(hospital.answers())
    with running(charts.around(FastAPI())) as other:
        page = browser.new_page()
        violations: list[str] = []
        page.on("console", lambda said: violations.append(said.text))
        page.goto(f"{other}/chart?patient={HERS[0]}")
        page.wait_for_timeout(1_500)
        assert any("frame-ancestors" in said for said in violations)
    assert len(hospital.answers()) == seen
