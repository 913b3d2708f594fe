"""Each way in which a launch fails has one page: what happened, what to do, a code for support, and nothing else."""

import re
from collections.abc import Callable
from typing import get_args
from urllib.parse import quote

import httpx
import pytest
from starlette.testclient import TestClient

from cds.smart import Reason, SessionEnded, SmartRefused
from cds.web.smart.words import WORDS
from tests.smart.ehr import BASE, refused
from tests.web.smart.clinic import Browser, Clinic, title

HOSTILE = '<script>alert("canary")</script>'
Failure = Callable[[Clinic, Browser], httpx.Response]


def configured(response: httpx.Response | Exception) -> Failure:
    def fail(clinic: Clinic, browser: Browser) -> httpx.Response:
        if isinstance(response, Exception):
            clinic.ehr.well_known.mock(side_effect=response)
        else:
            clinic.ehr.well_known.mock(return_value=response)
        return browser.launch()

    return fail


def came_back(error: str) -> Failure:
    def fail(clinic: Clinic, browser: Browser) -> httpx.Response:
        state = browser.sign_in(browser.launch()).rpartition("state=")[2]
        told = quote(HOSTILE, safe="")
        return browser.get(f"/smart/callback?error={error}&error_description={told}&error_uri={told}&state={state}")

    return fail


def exchanged(response: httpx.Response | Exception) -> Failure:
    def fail(clinic: Clinic, browser: Browser) -> httpx.Response:
        clinic.ehr.token.mock(
            **({"side_effect": response} if isinstance(response, Exception) else {"return_value": response})
        )
        return browser.get(browser.sign_in(browser.launch()))

    return fail


def get(path: str) -> Failure:
    return lambda _, browser: browser.get(path)


def replayed(_: Clinic, browser: Browser) -> httpx.Response:
    back = browser.sign_in(browser.launch())
    browser.get(back)
    return browser.get(back)


def expired(clinic: Clinic, browser: Browser) -> httpx.Response:
    back = browser.sign_in(browser.launch())
    clinic.clock.forward(minutes=11)
    return browser.get(back)


def without_code(_: Clinic, browser: Browser) -> httpx.Response:
    return browser.get(f"/smart/callback?state={browser.sign_in(browser.launch()).rpartition('state=')[2]}")


def code_replay(clinic: Clinic, browser: Browser) -> httpx.Response:
    first = browser.sign_in(browser.launch())
    browser.get(first)
    second = browser.sign_in(browser.launch())
    code = re.search(r"code=([^&]+)", first)
    assert code
    return browser.get(re.sub(r"code=[^&]+", f"code={code[1]}", second))


def no_patient(_: Clinic, browser: Browser) -> httpx.Response:
    return browser.get(browser.sign_in(browser.launch(), patient=None))


def wrong_identity(clinic: Clinic, browser: Browser) -> httpx.Response:
    clinic.ehr.claims = lambda usual: usual | {"aud": "somebody else"}
    return browser.get(browser.sign_in(browser.launch()))


def ended(clinic: Clinic, browser: Browser) -> httpx.Response:
    home = browser.opened()
    clinic.clock.forward(minutes=16)
    return browser.get(home)


def another(_: Clinic, browser: Browser) -> httpx.Response:
    return browser.get(f"{browser.opened()}?patient=patient-8")


CASES: dict[str, tuple[Failure, Reason]] = {
    "no iss": (get("/smart/launch?launch=x"), "issuer-missing"),
    "unknown iss": (get("/smart/launch?iss=https://evil.example&launch=x"), "issuer-unknown"),
    "no launch": (get(f"/smart/launch?iss={BASE}"), "launch-missing"),
    "discovery 404": (configured(httpx.Response(404)), "discovery-missing"),
    "discovery HTML": (configured(httpx.Response(200, html=f"<html>{HOSTILE}")), "discovery-missing"),
    "discovery without endpoints": (configured(httpx.Response(200, json={})), "discovery-incomplete"),
    "slow server": (configured(httpx.ReadTimeout(HOSTILE)), "unreachable"),
    "unreachable server": (configured(httpx.ConnectError(HOSTILE)), "unreachable"),
    "access_denied": (came_back("access_denied"), "access-denied"),
    "invalid_scope": (came_back("invalid_scope"), "scope-refused"),
    "invalid_client": (came_back("invalid_client"), "client-refused"),
    "unauthorized_client": (came_back("unauthorized_client"), "client-refused"),
    "server_error": (came_back("server_error"), "unreachable"),
    "an error of its own": (came_back(quote(HOSTILE, safe="")), "authorization-failed"),
    "server_error without state": (get("/smart/callback?error=server_error"), "unreachable"),
    "error without state": (get("/smart/callback?error=access_denied"), "access-denied"),
    "state missing": (get("/smart/callback?code=x"), "state-missing"),
    "state unknown": (get(f"/smart/callback?code=x&state={quote(HOSTILE, safe='')}"), "state-unknown"),
    "state expired": (expired, "state-expired"),
    "state replayed": (replayed, "state-replayed"),
    "no code": (without_code, "code-missing"),
    "PKCE mismatch": (exchanged(refused(401, "invalid_grant", error_description=HOSTILE)), "code-refused"),
    "code replay": (code_replay, "code-refused"),
    "client refused": (exchanged(refused(401, "invalid_client", error_description=HOSTILE)), "client-refused"),
    "token endpoint down": (exchanged(httpx.Response(502, html=HOSTILE)), "unreachable"),
    "token endpoint slow": (exchanged(httpx.ReadTimeout(HOSTILE)), "unreachable"),
    "token unusable": (exchanged(httpx.Response(200, json={"access_token": "access-canary"})), "token-unusable"),
    "no patient": (no_patient, "no-patient"),
    "wrong id_token": (wrong_identity, "identity-invalid"),
    "session ended": (ended, "session-ended"),
    "another patient": (another, "another-patient"),
}

SAID_IN_THE_ADDRESS = {
    "invalid_client",
    "unauthorized_client",
    "server_error",
    "server_error without state",
    "an error of its own",
}
"""Anybody can write an address: no five-hundred, unlike the same words from the server's own mouth."""


def check(page: httpx.Response, reason: Reason, status: int | None = None) -> None:
    words = WORDS[reason]
    assert page.status_code == (status or words.status)
    assert title(page) == words.title
    assert re.search(r"<code>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}</code>", page.text)
    assert page.headers["cache-control"] == "no-store"
    for leak in ("canary", "<script>alert", "Traceback", "httpx", "patient-7", "patient-8", "code-0", "invalid_"):
        assert leak not in page.text


@pytest.mark.proves("S27", "hostile error, error_description, state and bodies: 0 of 30 pages show any of it")
@pytest.mark.parametrize("case", CASES)
def test_each_failure_has_its_page(clinic: Clinic, capsys: pytest.CaptureFixture[str], case: str) -> None:
    fail, reason = CASES[case]
    page = fail(clinic, clinic.browser())
    check(page, reason, 400 if case in SAID_IN_THE_ADDRESS else None)
    logged = capsys.readouterr().out
    correlation = re.search(r"<code>([^<]+)</code>", page.text)
    assert correlation
    assert f"correlation={correlation[1]}" in logged
    assert f"reason={reason}" in logged
    assert not any(leak in logged for leak in ("canary", "patient-7", "code-0", "Traceback"))


@pytest.fixture
def raising(clinic: Clinic) -> Callable[[SmartRefused], httpx.Response]:
    """A page of a session that ends as asked."""

    def shown(fault: SmartRefused) -> httpx.Response:
        async def fails(*_: object, **__: object) -> None:
            raise fault

        clinic.door.enter = fails  # type: ignore[method-assign, assignment]
        http = TestClient(clinic.app, base_url="https://localhost", raise_server_exceptions=False)
        response: httpx.Response = http.get("/smart/app/x")
        return response

    return shown


@pytest.mark.parametrize("reason", get_args(Reason))
def test_every_reason_has_words_that_say_what_to_do(
    raising: Callable[[SmartRefused], httpx.Response], reason: Reason
) -> None:
    words = WORDS[reason]
    kind = SessionEnded if words.status == 401 else SmartRefused
    page = raising(kind(reason, "north-clinic"))
    check(page, reason)
    text = f"{words.title} {words.happened} {words.next}"
    assert words.next.endswith(".")
    assert len(text.split()) < 60, "a tired clinician reads this"
    for jargon in ("OAuth", "token", "scope", "PKCE", "state", "iss", "JWT", "SMART", "FHIR", "parameter", "callback"):
        assert not re.search(rf"\b{jargon}\b", text), jargon
    for word in re.findall(r"[a-z]+", text):
        assert len(word) < 15


def test_every_page_of_an_ended_session_says_that_nothing_is_shown() -> None:
    for words in WORDS.values():
        assert (words.status == 401) <= ("No patient data is shown." in words.happened)
