"""What the FHIR client makes of a server's answers: read as prefetch is, and followed on their own origin only."""

import time

import httpx
import pytest

from cds.errors import DataUnavailable
from cds.fhir.client import FhirClient
from cds.fhir.resources import Resource

BASE = "https://ehr.example/fhir"


async def fetched(*pages: str | bytes) -> list[Resource]:
    """All pages of a search that a server answers with these bodies in turn."""
    bodies = iter(pages)
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=next(bodies)))
    async with FhirClient(BASE, None, time.monotonic() + 5, transport) as client:
        return await client.follow(await client.first_page("Condition?patient=p"))


def page(link: str, inner: str = "{}") -> str:
    return f'{{"resourceType":"Bundle","link":[{{"relation":"next","url":"{link}"}}],"entry":[{{"resource":{inner}}}]}}'


async def test_a_resource_with_a_wrong_member_does_not_spoil_the_page() -> None:
    broken = '{"resourceType":"Condition","id":"one","clinicalStatus":"active"}'
    first, last = await fetched(page(f"{BASE}?page=2", broken), '{"resourceType":"Bundle"}')
    assert first.entry is not None
    assert first.entry[0].resource is not None
    assert first.entry[0].resource.faults == ("clinicalStatus",)
    assert last.resource_type == "Bundle"


@pytest.mark.parametrize(
    "link",
    ["https://other.example/fhir?page=2", "http://ehr.example/fhir?page=2", "https://ehr.example:8443/",
     "//other.example", "https://ehr.example:port/", "https://[/", "https://ehr.example/\\u0000", "https://ehr.example@other.example/"],
)  # fmt: skip
async def test_no_link_leads_elsewhere_or_breaks(link: str) -> None:
    with pytest.raises(DataUnavailable):
        await fetched(page(link))


NO_FHIR = ["", "<html>", "[]", "7", '{"resourceType":"Bundle","entry":{}}', b"\xff", "[" * 9_000]


@pytest.mark.parametrize("body", NO_FHIR, ids=range(len(NO_FHIR)))
async def test_what_is_no_fhir_is_unavailable(body: str | bytes) -> None:
    with pytest.raises(DataUnavailable):
        await fetched(body)


async def test_a_search_without_end_is_given_up() -> None:
    with pytest.raises(DataUnavailable, match="too many pages"):
        await fetched(*[page("?page=2")] * 60)
