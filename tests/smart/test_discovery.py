"""Where the authorization server is, read from the registered FHIR base only."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import respx

from cds.smart import SmartRefused
from cds.smart.discovery import LIFE_SECONDS, Configuration, Discovery
from cds.smart.hosts import registered
from cds.smart.outside import Outside
from tests.smart.ehr import AUTHORIZE, BASE, TOKEN

URL = f"{BASE}/.well-known/smart-configuration"
GOOD = {"authorization_endpoint": AUTHORIZE, "token_endpoint": TOKEN, "capabilities": ["permission-v2"]}


class Monotonic:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def read(router: respx.MockRouter, answer: Any) -> Configuration:
    router.get(URL).mock(**({"side_effect": answer} if isinstance(answer, Exception) else {"return_value": answer}))
    return await Discovery(Outside().read).of(BASE)


async def why(router: respx.MockRouter, answer: Any) -> str:
    with pytest.raises(SmartRefused) as refused:
        await read(router, answer)
    return refused.value.reason


@pytest.mark.proves("S1", "asked once with Accept: application/json and no credentials; 0 redirects of 5 followed")
async def test_the_configuration_is_asked_for_as_json_and_a_redirect_is_not_followed(router: respx.MockRouter) -> None:
    await read(router, httpx.Response(200, json=GOOD))
    sent = router.calls.last.request
    assert sent.headers["accept"] == "application/json"
    assert not {"authorization", "cookie"} & set(sent.headers)
    elsewhere = router.get(url__startswith="https://elsewhere.example").mock(
        return_value=httpx.Response(200, json=GOOD)
    )
    for status in (301, 302, 303, 307, 308):
        moved = httpx.Response(status, headers={"location": "https://elsewhere.example/smart"})
        assert await why(router, moved) == "discovery-missing"
    assert not elsewhere.called


@pytest.mark.proves("S3", "4 relative forms resolved against the FHIR base")
async def test_relative_endpoints_start_at_the_fhir_base(router: respx.MockRouter) -> None:
    for relative, absolute in (
        ("auth/token", f"{BASE}/auth/token"),
        ("/oauth/token", "https://ehr.example/oauth/token"),
        ("../token", "https://ehr.example/fhir/token"),
        ("//login.ehr.example/token", "https://login.ehr.example/token"),
    ):
        found = await read(router, httpx.Response(200, json={**GOOD, "token_endpoint": relative}))
        assert found.token_endpoint == absolute


@pytest.mark.proves("S3", "12 faulty answers, each refused by its own name")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(404), "discovery-missing"),
        (httpx.Response(200, html="<!doctype html><title>Login</title>"), "discovery-missing"),
        (httpx.Response(200, json=[]), "discovery-missing"),
        (httpx.Response(200, json={**GOOD, "capabilities": "permission-v2"}), "discovery-missing"),
        (httpx.Response(200, content=b"x" * 300_000), "discovery-missing"),
        (httpx.Response(200, content=b"[" * 100_000), "discovery-missing"),
        (httpx.Response(200, json={"token_endpoint": TOKEN}), "discovery-incomplete"),
        (httpx.Response(200, json={"authorization_endpoint": AUTHORIZE}), "discovery-incomplete"),
        (httpx.Response(200, json={**GOOD, "token_endpoint": ""}), "discovery-incomplete"),
        (httpx.Response(503), "unreachable"),
        (httpx.ConnectTimeout("canary"), "unreachable"),
        (httpx.ConnectError("canary"), "unreachable"),
    ],
    ids=str,
)
async def test_a_configuration_that_cannot_be_used_says_why(router: respx.MockRouter, answer: Any, reason: str) -> None:
    assert await why(router, answer) == reason


@pytest.mark.proves("S4", "6 endpoints without TLS or with a user refused")
async def test_endpoints_need_tls_except_on_this_machine(router: respx.MockRouter) -> None:
    for endpoint in (
        "http://login.ehr.example/token",
        "ftp://login.ehr.example/token",
        "javascript:alert(1)",
        "https://user@login.ehr.example/token",
        "https://login.ehr.example/token#x",
        "http://127.0.0.1.evil.example/token",
    ):
        assert await why(router, httpx.Response(200, json={**GOOD, "token_endpoint": endpoint})) == (
            "discovery-incomplete"
        )


WELL_KNOWN = "/.well-known/smart-configuration"
INSIDE = (
    "http://127.0.0.1:2375/containers/create", "http://localhost:8500/v1", "http://[::1]/x", "https://127.0.0.1/x",
    "https://169.254.169.254/latest", "https://10.0.0.5/admin", "https://vault/secret", "https://127.1/x",
    "https://vault.corp.internal/x", "https://example/x", "https://evil.example.org/x",
    "https://ehr.example.evil.example/x",
)  # fmt: skip


@pytest.mark.proves("S3", "12 servers outside the EHR's site in 4 members: 48 of 48 refused, each named")
@pytest.mark.parametrize("url", INSIDE)
async def test_a_document_sends_us_to_its_own_site_only(router: respx.MockRouter, url: str) -> None:
    for member in ("token_endpoint", "authorization_endpoint", "jwks_uri", "issuer"):
        router.get(URL).mock(return_value=httpx.Response(200, json={**GOOD, member: url}))
        with pytest.raises(SmartRefused) as refused:
            await Discovery(Outside().read).of(BASE)
        assert (refused.value.reason, refused.value.host) == ("host-unregistered", urlsplit(url).hostname)


async def test_a_registered_host_may_be_named_and_no_other(router: respx.MockRouter) -> None:
    router.get(URL).mock(return_value=httpx.Response(200, json={**GOOD, "token_endpoint": "https://login.idp.com/t"}))
    discovery = Discovery(Outside().read)
    with pytest.raises(SmartRefused):
        await discovery.of(BASE)
    assert (await discovery.of(BASE, ("login.idp.com",))).token_endpoint == "https://login.idp.com/t"
    with pytest.raises(SmartRefused):
        await discovery.of(BASE, ("idp.com",))


async def test_an_ehr_on_this_machine_may_name_this_machine(router: respx.MockRouter) -> None:
    here = "http://localhost:9000/fhir"
    said = {**GOOD, "token_endpoint": "http://127.0.0.1:8080/token", "authorization_endpoint": "/authorize"}
    router.get(f"{here}{WELL_KNOWN}").mock(return_value=httpx.Response(200, json=said))
    found = await Discovery(Outside().read).of(here)
    assert found.token_endpoint == "http://127.0.0.1:8080/token"
    assert found.authorization_endpoint == "http://localhost:9000/authorize"


@pytest.mark.parametrize(
    ("base", "host", "same"),
    [
        ("https://fhir.ehr.example.org", "login.example.org", True),
        ("https://ehr.example.org:8443/r4", "ehr.example.org", True),
        ("https://ehr.clinic.co.uk", "login.clinic.co.uk", True),
        ("https://ehr.clinic.co.uk", "bank.co.uk", False),
        ("https://fhir.north.nhs.uk", "login.south.nhs.uk", False),
        ("https://ehr.example", "other.example", False),
        ("https://10.0.0.4/fhir", "10.0.0.4", True),
        ("https://10.0.0.4/fhir", "10.1.0.4", False),
        ("https://EHR.example.org", "login.example.org", True),
    ],
)
def test_a_site_is_a_shared_domain_of_one_organisation(base: str, host: str, same: bool) -> None:
    assert registered(base, host, ()) is same


@pytest.mark.proves("R44", "4 endpoints that no header may carry refused at discovery")
async def test_an_endpoint_that_no_header_may_carry_is_refused(router: respx.MockRouter) -> None:
    for url in (
        "https://login.ex\u00e4mple/authorize", "https://ehr.example;sandbox/authorize",
        "https://login.ehr.example/\u4e2d", "https://ehr.example,x/authorize",
    ):  # fmt: skip
        assert await why(router, httpx.Response(200, json={**GOOD, "authorization_endpoint": url})) == (
            "discovery-incomplete"
        )


async def test_one_reading_serves_all_who_ask_until_its_life_is_over(router: respx.MockRouter) -> None:
    route = router.get(URL).mock(return_value=httpx.Response(200, json=GOOD))
    clock = Monotonic()
    discovery = Discovery(Outside().read, clock)
    await asyncio.gather(*(discovery.of(BASE) for _ in range(20)))
    await discovery.of(BASE)
    assert route.call_count == 1
    clock.now += LIFE_SECONDS
    await discovery.of(BASE)
    assert route.call_count == 2


async def test_a_failure_is_not_kept(router: respx.MockRouter) -> None:
    route = router.get(URL).mock(side_effect=[httpx.Response(503), httpx.Response(200, json=GOOD)])
    discovery = Discovery(Outside().read)
    with pytest.raises(SmartRefused):
        await discovery.of(BASE)
    assert (await discovery.of(BASE)).token_endpoint == TOKEN
    assert route.call_count == 2
