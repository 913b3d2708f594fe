"""The gallery of models and their fact sheets in a real browser: read at every width, printed on two pages at most."""

import re
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]
LOOKS: tuple[tuple[int, Scheme], ...] = tuple((w, s) for w in (320, 400, 768, 1280) for s in ("light", "dark"))
PAGES = re.compile(rb"/Type\s*/Page\b")


@pytest.fixture
def page(browser: Browser, demo_url: str) -> Iterator[Page]:
    """A browser at the demo's gallery; no message, no failed request and nobody else asked."""
    origin = f"{urlsplit(demo_url).scheme}://{urlsplit(demo_url).netloc}/"
    faults: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    # One test asks for a page that is none, and a browser drops the icon of a page that it leaves.
    page.on("console", lambda said: None if "404" in said.text else faults.append(said.text))
    page.on("requestfailed", lambda sent: None if "ABORTED" in (sent.failure or "") else faults.append(sent.url))
    page.on("request", lambda sent: None if sent.url.startswith(origin) else faults.append(f"asked {sent.url}"))
    page.goto(f"{origin}models")
    yield page
    context.close()
    assert faults == []


def check(page: Page) -> int:
    """Every width in light and dark; how many looks that were."""
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{width} {scheme}: {found.generate_report()}"
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{wide} px in {width}"
    return len(LOOKS)


def sheets(page: Page) -> list[str]:
    return [str(link.get_attribute("href")) for link in page.locator(".gallery a").all()]


def test_the_gallery_breaks_no_rule_at_any_width(page: Page) -> None:
    assert len(sheets(page)) >= 3
    assert check(page) == 8


def test_a_fact_sheet_breaks_no_rule_at_any_width(page: Page) -> None:
    page.get_by_role("link", name="Kidney Failure Risk Equation (4-variable)").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Kidney Failure Risk Equation (4-variable)"
    assert page.locator(".attributes tbody tr").count() == 31
    assert check(page) == 8


def test_what_is_unverified_is_seen_without_scrolling(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.get_by_role("link", name="Kidney Failure Risk Equation (8-variable)").click()
    box = page.locator(".unverified").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 720


def test_every_sheet_is_printed_on_two_pages_at_most(page: Page) -> None:
    found = sheets(page)
    counted = {}
    for address in found:
        page.goto(f"{page.url.partition('/models')[0]}{address}")
        counted[address] = len(PAGES.findall(page.pdf(format="A4", prefer_css_page_size=True)))
    assert set(counted.values()) <= {1, 2}, counted
    assert len(counted) == len(found)


def test_the_models_are_found_from_a_page_that_is_none(page: Page) -> None:
    base = page.url.partition("/models")[0]
    page.goto(f"{base}/models/nothing-of-the-kind", wait_until="domcontentloaded")
    assert page.get_by_role("heading", level=1).inner_text() == "There is no such model here"
    assert check(page) == 8
    page.get_by_role("link", name="All models").click()
    assert page.url == f"{base}/models"
