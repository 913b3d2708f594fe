"""Every response of the app, good or bad, says who may frame it, and that nobody keeps it or passes its address on."""

import re
from collections.abc import Callable
from html import unescape

import httpx
import pytest

from tests.cdshooks.desk import SERVICE
from tests.safety.canaries import PATIENT, leaks
from tests.smart.world import own_keys
from tests.web.smart.clinic import data
from tests.web.test_openapi import routes
from tests.web.two_ehrs import THEIRS, OtherEhr, TwoEhrs, Visitor, hidden, onward, outside, two

__all__ = ["outside", "own_keys", "two"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors {}"
)


def fails(code: int) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(code, text="<html>")


class Walk:
    """Goes everywhere that one tenant's clinician can come to, and where she cannot."""

    def __init__(self, at: TwoEhrs, ehr: OtherEhr, patient: str) -> None:
        self.at, self.ehr, self.patient = at, ehr, patient
        self.browser = at.visitor()

    def known(self) -> list[httpx.Response]:
        """Every response from which on it is known whose app this is."""
        at, browser, ehr = self.at, self.browser, self.ehr
        framed = browser.launch(ehr, self.patient, into="iframe")
        path = browser.opened(ehr, self.patient)
        home, id_ = path.rpartition("/")[0], path.split("/")[3]
        ticket = hidden(browser.get(path), "ticket")
        form = {"ticket": ticket, "egfr": "25", "acr": "310", "session": id_, "verdict": "helpful"}
        for address in (home, path, f"{home}/none"):
            browser.get(address)
            browser.get(f"{address}?patient=somebody-else")
            browser.post(address, form)
            browser.post(address, form, headers={"origin": "https://evil.example"})
        for what in ("what-if", "save", "feedback"):
            browser.post(f"{path}/{what}", form)
            browser.post(f"{path}/{what}", form | {"ticket": "made-up"})
            browser.post(f"{home}/none/{what}", form)
        for fault, code in (("/Patient/", 500), ("/Observation", 503), ("/Patient/", 404)):
            ehr.faults[fault] = fails(code)
            browser.get(path)
            browser.get(home)
            ehr.faults.clear()
        browser.get(f"/smart/launch?iss={ehr.base}")
        self._draining(path)
        self._without_cookies()
        at.visitor().get(path)
        browser.said[-1:] = [browser.said[-1], *self._refused_sign_ins()]
        browser.post("/smart/logout", form)
        return [framed, *browser.said]

    def _draining(self, path: str) -> None:
        self.at.desk.state.draining = True
        self.browser.get(path)
        self.at.desk.state.draining = False

    def _without_cookies(self) -> None:
        frame = self.at.visitor()
        left = frame.launch(self.ehr, self.patient, into="iframe")
        frame.http.cookies.clear()
        back = frame.get(self.ehr.sign_in(onward(left)))
        entering = frame.post("/smart/callback", {"launch": hidden(back, "launch"), "secret": data(left, "secret")})
        action = re.search(r'action="([^"]+)"', entering.text)
        assert action
        frame.http.cookies.clear()
        frame.post(action[1], {"ticket": hidden(entering, "ticket")})
        self.browser.said += frame.said

    def _refused_sign_ins(self) -> list[httpx.Response]:
        browser = self.at.visitor()
        state = httpx.URL(browser.back(self.ehr, self.patient)).params["state"]
        browser.get(f"/smart/callback?error=access_denied&state={state}")
        self.ehr.faults["/auth/token"] = fails(500)
        browser.get(browser.back(self.ehr, self.patient))
        self.ehr.faults.clear()
        return browser.said


def strangers(at: TwoEhrs) -> list[httpx.Response]:
    """Responses of which nobody knows whose they are."""
    browser: Visitor = at.visitor()
    for path in (
        "/smart/standalone", "/smart/launch", "/smart/launch?iss=https://evil.example&launch=x",
        f"/smart/launch?iss={at.a.base}&iss=x", "/smart/callback", "/smart/callback?state=x&code=y",
        "/smart/callback?error=access_denied", "/smart/app/unknown", f"/smart/app/unknown/{SERVICE}",
    ):  # fmt: skip
        browser.get(path)
    for path in ("/smart/logout", "/smart/callback", "/smart/app/unknown", f"/smart/app/unknown/{SERVICE}/save"):
        browser.post(path, {"session": "unknown", "ticket": "x"})
        browser.post(path, {}, headers={})
    return browser.said


def check(said: httpx.Response, ancestors: str) -> None:
    assert said.headers["referrer-policy"] == "no-referrer"
    assert said.headers["cache-control"] == "no-store"
    assert said.headers["x-content-type-options"] == "nosniff"
    assert said.headers["content-security-policy"] == POLICY.format(ancestors), said.request.url
    assert said.headers.get("x-frame-options") == ("DENY" if ancestors == "'none'" else None)


@pytest.mark.proves("R44", "100 responses of two tenants, good and refused: each with its tenant's frame-ancestors")
@pytest.mark.proves("R28", "100 responses under /smart: no-referrer and no-store on each")
@pytest.mark.proves("S24", "100 responses of two tenants: policy, nosniff, no-referrer and no-store on each")
def test_every_response_of_the_app_has_its_headers(two: TwoEhrs) -> None:
    seen: set[tuple[str, int]] = set()
    total = 0
    for ehr, patient in ((two.a, PATIENT), (two.b, THEIRS)):
        for said in Walk(two, ehr, patient).known():
            check(said, ehr.origin)
            seen.add((said.request.method, said.status_code))
            total += 1
    for said in strangers(two):
        check(said, "'none'")
        total += 1
    assert total >= 100
    assert {code for _, code in seen} >= {200, 303, 400, 403, 404, 409, 412, 503, 504}


@pytest.mark.proves("R44", "JSON, scripts, styles and what the router refuses: nosniff, no-referrer, framed by nobody")
def test_what_is_no_page_has_its_headers_too(two: TwoEhrs) -> None:
    browser = two.visitor()
    found = [
        *(browser.get(f"/smart/static/{name}") for name in ("page.css", "mark.svg", "none.css")),
        *(browser.get(path) for path in ("/smart/passage.js", "/.well-known/jwks.json", "/health/ready", "/metrics")),
        *(browser.get(path) for path in ("/smart/none", "/smart/app", "/smart/callback/", "/smart/logout")),
        *(browser.send("PUT", path) for path in ("/smart/launch", "/smart/callback", f"/smart/app/x/{SERVICE}")),
        *(browser.send("DELETE", path) for _, path in routes(two.desk.app.routes) if path.startswith("/smart")),
    ]
    for said in found:
        assert said.headers["x-content-type-options"] == "nosniff"
        assert said.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in said.headers["content-security-policy"]
        assert said.headers["content-security-policy"].endswith("frame-ancestors 'none'")
        assert said.status_code == 200 or said.headers["cache-control"] == "no-store"
        assert said.status_code in {200, 404, 405}
    kept = {said.request.url.path: said.headers["cache-control"] for said in found if said.status_code == 200}
    assert kept == {
        "/smart/static/page.css": "no-cache", "/smart/static/mark.svg": "no-cache", "/smart/passage.js": "no-cache",
        "/.well-known/jwks.json": "public, max-age=3600", "/health/ready": "no-store", "/metrics": "no-store",
    }  # fmt: skip


@pytest.mark.proves("R28", "every link, form, script and redirect of 40 responses: 0 words of a record, 0 tokens")
def test_no_address_that_we_write_names_a_patient(two: TwoEhrs) -> None:
    walk = Walk(two, two.a, PATIENT)
    said = walk.known()
    addresses = [one.headers.get("location", "") for one in said]
    for one in said:
        addresses += [unescape(found) for found in re.findall(r'(?:href|src|action)="([^"]*)"', one.text)]
    assert len(said) >= 40
    assert len(addresses) >= 300
    assert leaks(addresses) == set()
    assert not any(name in address for address in addresses for name in ("code=", "access_token", "id_token", "ticket"))
    outside_fhir = [
        str(one.url) for one in two.a.seen if "/demo/fhir/" not in one.url.path or "well-known" in one.url.path
    ]
    assert leaks(outside_fhir) == set()
    held = {
        one.headers["authorization"].removeprefix("Bearer ") for one in two.a.seen if "authorization" in one.headers
    }
    assert not any(token in str(one.url) for one in two.a.seen for token in held)
