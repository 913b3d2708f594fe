"""Two charts open at the same time in one browser: each page shows its own, however they are asked for."""

import asyncio
import random
from typing import Any

import httpx
import pytest

from tests.cdshooks.charts import Json, kidney
from tests.smart.world import own_keys
from tests.trust.ehr import BASE
from tests.web.two_ehrs import OURS, TwoEhrs, hidden, outside, two

__all__ = ["outside", "own_keys", "two"]

FIRST, SECOND = "first-patient-1", "second-patient-2"


def named(of: str, **kidneys: Any) -> list[Json]:
    resources = kidney(of=of, **kidneys)
    resources[0]["name"] = [{"family": f"family-of-{of}"}]
    for one in resources[1:]:
        one["id"] = f"{of}-{one['id']}"
    return resources


class Chart:
    """One of the open charts: its page's path, and which words only it may show."""

    def __init__(self, of: str, path: str) -> None:
        self.of, self.path = of, path
        self.ticket = ""

    def mixed(self, text: str) -> bool:
        other = SECOND if self.of == FIRST else FIRST
        return f"family-of-{other}" in text or f"family-of-{self.of}" not in text or other in text


async def ask(browser: httpx.AsyncClient, chart: Chart, what: str) -> httpx.Response:
    """One request of a page of this chart, at some moment among the others."""
    await asyncio.sleep(random.random() / 50)
    if what == "what-if":
        form = {"ticket": chart.ticket, "egfr": "25", "acr": "300"}
        page = await browser.post(f"{chart.path}/what-if", data=form, headers=OURS)
    else:
        page = await browser.get(chart.path if what == "page" else chart.path.rpartition("/")[0])
    if page.status_code == 200:
        chart.ticket = hidden(page, "ticket")
    return page


@pytest.mark.proves("R46", "0 of 200 pages mix two charts; each says whose it is and since when, and outlives a change")
@pytest.mark.proves("S23", "200 interleaved requests to two sessions of one user in one browser: 0 mixed")
async def test_r46_s23_two_charts_in_one_browser_never_mix(two: TwoEhrs) -> None:
    two.a.records.resources = [*named(FIRST, egfr=34), *named(SECOND, egfr=22)]
    signing_in = two.visitor()
    charts = [Chart(of, signing_in.opened(two.a, of)) for of in (FIRST, SECOND)]
    cookies = dict(signing_in.http.cookies.items())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(two.desk.app), base_url=BASE, cookies=cookies
    ) as browser:
        for chart in charts:
            await ask(browser, chart, "page")
        asked = [
            (charts[number % 2], ("page", "overview", "page", "what-if")[number // 2 % 4]) for number in range(200)
        ]
        random.shuffle(asked)
        pages = []
        for start in range(0, 200, 20):
            pages += await asyncio.gather(*(ask(browser, *one) for one in asked[start : start + 20]))
    assert [page.status_code for page in pages] == [200] * 200
    assert [chart.of for (chart, _), page in zip(asked, pages, strict=True) if chart.mixed(page.text)] == []
    assert all("Opened from the chart 22 Nov 2026 14:02 UTC" in page.text for page in pages)
    assert all("this page does not follow a change of patient there" in page.text for page in pages)
    of_each = {one.patient for one in two.desk.answers()}
    assert {one.rpartition("/")[2] for one in of_each} == {FIRST, SECOND}
    read = {(one.headers["authorization"], one.url.path) for one in two.a.seen if "/Patient/" in one.url.path}
    assert len({token for token, _ in read}) == len(read) == 2, "each chart is read with its own launch's token"
