"""What another site's page, a planted cookie or a crafted address can make a clinician's browser do here: nothing."""

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from cds.web.smart.cookies import launch_cookie, session_cookie
from tests.cdshooks.desk import SERVICE
from tests.safety.canaries import leaks
from tests.smart.world import own_keys
from tests.trust.ehr import BASE
from tests.web.clinic import HOSPITAL
from tests.web.smart.clinic import data
from tests.web.smart.test_launch import PAYLOADS
from tests.web.test_openapi import routes
from tests.web.two_ehrs import OURS, THEIRS, TwoEhrs, hidden, onward, outside, two

__all__ = ["outside", "own_keys", "two"]

APP = "/smart/app/{session}"
READ_BY_POST = {APP, f"{APP}/{{service}}"}
"""Pages that are read by a form where no cookie is kept; reading them by cookie takes no ticket."""
CHANGES = {f"{APP}/{{service}}/{what}" for what in ("what-if", "save", "feedback")} | {"/smart/logout"}
SIGN_IN = {"/smart/callback"}
BY_TOKEN = {"/cds-services/{id}", "/cds-services/{id}/feedback"}
"""No cookie counts here."""

FOREIGN: tuple[dict[str, str], ...] = (
    {"origin": "https://evil.example"},
    {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
    {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
    {"origin": "null", "sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"origin": "https://ehr.example.org"},
    {"origin": f"{BASE}.evil.example"},
    {"origin": BASE.replace("https", "http")},
    {},
)
"""What a browser says of a form that stands on somebody else's page, in the order of how much it says."""


class Signed:
    """A clinician with two charts open, and a form that would change something in the first."""

    def __init__(self, at: TwoEhrs) -> None:
        self.at, self.browser = at, at.visitor()
        self.path, self.other = self.browser.opened(at.a), self.browser.opened(at.a)
        page = self.browser.get(self.path)
        self.id = self.path.split("/")[3]
        self.form = {
            "session": self.id, "egfr": "25", "acr": "310", "assessment": hidden(page, "assessment"),
            "card": hidden(page, "card"), "verdict": "helpful",
        }  # fmt: skip

    def ticket(self, path: str | None = None) -> str:
        return hidden(self.browser.get(path or self.path), "ticket")

    def changed(self) -> list[object]:
        kinds = {"save", "what-if", "launch"}
        noted = [one for one in self.at.desk.ledger.events() if one.tenant == HOSPITAL and one.outcome == "success"]
        events = [one.kind for one in noted if one.kind in kinds]
        return [*events, *self.at.desk.ledger.feedback_records(), *self.at.a.records.created]


def forgeries(one: Signed, path: str) -> Iterator[httpx.Response]:
    """The right form without its ticket, with others' tickets, and, with the right one, from elsewhere."""
    address = path.format(session=one.id, service=SERVICE)
    stranger = one.at.visitor()
    theirs = hidden(stranger.get(stranger.opened(one.at.b, THEIRS)), "ticket")
    if path not in READ_BY_POST:
        for ticket in ("", "x", one.ticket(one.other), theirs):
            yield one.browser.post(address, one.form | {"ticket": ticket})
        yield one.browser.post(address, one.form)
    for headers in FOREIGN:
        yield one.browser.post(address, one.form | {"ticket": one.ticket()}, headers=headers)
        yield one.at.visitor().post(address, one.form | {"ticket": one.ticket()}, headers=headers)
    yield one.at.visitor().post(address, one.form)
    for kind in ("text/plain", "application/json", "multipart/form-data; boundary=x"):
        content = "&".join(f"{name}={value}" for name, value in {**one.form, "ticket": one.ticket()}.items())
        yield one.browser.http.post(address, content=content, headers=OURS | {"content-type": kind})


def forged_sign_in(one: Signed) -> Iterator[httpx.Response]:
    """The way back with the right secret from elsewhere, and with another launch's."""
    another = data(one.browser.launch(one.at.a, into="iframe"), "secret")
    for headers, secret in (*((headers, None) for headers in FOREIGN), (None, another), (None, ""), (None, "x")):
        victim = one.at.visitor()
        left = victim.launch(one.at.a, into="iframe")
        victim.http.cookies.clear()
        held = hidden(victim.get(one.at.a.sign_in(onward(left))), "launch")
        form = {"launch": held, "secret": data(left, "secret") if secret is None else secret}
        yield victim.post("/smart/callback", form, headers=headers)


@pytest.mark.proves("R43", "9 unsafe routes, enumerated: 170 forged requests, 0 accepted, nothing changed")
def test_r43_no_forged_request_changes_anything(two: TwoEhrs) -> None:
    unsafe = {path for method, path in routes(two.desk.app.routes) if method not in {"get", "head", "options"}}
    assert unsafe == READ_BY_POST | CHANGES | SIGN_IN | BY_TOKEN
    one = Signed(two)
    before = one.changed()
    refused = 0
    for path in sorted(unsafe - BY_TOKEN):
        for said in forged_sign_in(one) if path in SIGN_IN else forgeries(one, path):
            refused += 1
            assert said.status_code in {400, 401, 403}, (path, said.status_code, said.request.headers)
            assert leaks([said.text]) == set()
    for path in BY_TOKEN:
        for headers in ({}, OURS, *FOREIGN):
            refused += 1
            said = one.browser.send("POST", path.format(id=SERVICE), headers)
            assert (said.status_code, said.content) == (401, b"")
    assert refused >= 170
    assert one.changed() == before
    assert one.browser.get(one.path).status_code == 200, "nobody was logged out"
    for path in sorted(CHANGES):  # and with ticket, cookie and our own page each of them does
        said = one.browser.post(path.format(session=one.id, service=SERVICE), one.form | {"ticket": one.ticket()})
        assert said.status_code == 200, path
    done = [deed for deed in one.changed() if deed not in before]
    assert {deed for deed in done if isinstance(deed, str)} == {"save", "what-if"}
    assert len([deed for deed in done if not isinstance(deed, str)]) == 2, "a reaction, and what was saved"
    assert one.browser.get(one.path).status_code == 401


NAMES = (
    "iss", "launch", "code", "state", "error", "error_description", "error_uri", "patient", "ticket", "session",
    "next", "redirect_uri", "redirect", "url", "return_to", "RelayState", "target", "continue",
)  # fmt: skip
"""What our routes read, and what other applications redirect by."""


def elsewhere(said: httpx.Response) -> str | None:
    """The Location of a response, unless it leads to a page of ours or to a registered EHR's sign-in."""
    location: str = said.headers.get("location", "")
    sign_ins = tuple(
        f"{origin}/demo/auth/authorize?" for origin in ("https://ehr.example.org", "https://clinic.example.net")
    )
    return location if location and not location.startswith(("/smart/app/", *sign_ins)) else None


@pytest.mark.proves("R45", "20 payloads in 18 parameters, path, Host and form of 27 routes: 0 Locations elsewhere")
def test_r45_no_route_leads_elsewhere(two: TwoEhrs) -> None:
    browser = two.visitor()
    home = browser.opened(two.a).rpartition("/")[0]
    found, sent = [], 0
    every = sorted(set(routes(two.desk.app.routes)))
    for payload in PAYLOADS:
        query = "&".join(f"{name}={quote(payload, safe='')}" for name in NAMES)
        form = dict.fromkeys(NAMES, payload)
        host = {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "http"}
        for method, path in every:
            for end in ("", "/"):
                address = path.replace("{", "").replace("}", quote(payload, safe="")) + end
                said = browser.send(method, f"{address}?{query}", OURS | host, form if method == "post" else None)
                sent += 1
                found.append(elsewhere(said))
        for path in ("//evil.example/", "/smart/callback/", "//evil.example/%2e%2e/", "/smart//evil.example/"):
            found += [elsewhere(browser.send("GET", f"{BASE}{path}?{query}", host))]
    query = "&".join(f"{name}={quote(payload, safe='')}" for name in NAMES[10:] for payload in PAYLOADS)
    for path in ("", f"/{SERVICE}"):
        said = browser.get(f"{home}{path}?{query}")
        assert said.status_code == 200
        assert "evil" not in said.text
    assert [one for one in found if one is not None] == []
    assert (len(PAYLOADS), len(NAMES), len(every), sent) == (20, 18, 27, 1080)


@pytest.mark.proves(
    "R41", "20 sign-ins in a browser with planted ids and cookies: 20 new ids, none of them the planter's"
)
def test_r41_a_planted_session_is_nobody_elses(two: TwoEhrs) -> None:
    planter, victim = two.visitor(), two.visitor()
    planted = planter.opened(two.b, THEIRS)
    pending = planter.launch(two.b, THEIRS)
    jar = dict(planter.http.cookies.items())
    ids = {planted.split("/")[3]}
    for number in range(20):
        for name, value in jar.items():
            victim.http.cookies.set(name, value)
        brought = set(victim.http.cookies.values())
        path = victim.opened(two.a)
        made = victim.http.cookies[session_cookie(path.split("/")[3])]
        assert made not in brought, "a cookie that was there before the sign-in is not the session's"
        ids.add(path.split("/")[3])
        assert len(ids) == number + 2
        assert leaks([planter.get(path).text]) == set()
        planter.http.cookies.set(session_cookie(path.split("/")[3]), jar[session_cookie(planted.split("/")[3])])
        assert planter.get(path).status_code == 401
    callback = two.b.sign_in(onward(pending))
    fresh = two.visitor()
    shown = fresh.get(callback)
    assert 'data-step="returning"' in shown.text, "the planter's sign-in is not taken over by who follows his link"
    assert not any(name.startswith(launch_cookie("")) for name in fresh.http.cookies)
    assert THEIRS not in shown.text
    assert fresh.get(planted).status_code == 401
