"""Where the authorization server is, read from the registered FHIR base only."""

import asyncio
from typing import Any

import httpx
import pytest
import respx

from cds.smart import SmartRefused
from cds.smart.discovery import LIFE_SECONDS, Configuration, Discovery
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


@pytest.mark.proves("S4", "6 endpoints without TLS or with a user refused, http on loopback taken")
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
    local = httpx.Response(200, json={**GOOD, "token_endpoint": "http://127.0.0.1:8080/token"})
    assert (await read(router, local)).token_endpoint == "http://127.0.0.1:8080/token"


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
