"""What one hospital's ids are worth to another: nothing, on any route."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from cds.web.smart.cookies import launch_cookie, session_cookie
from tests.cdshooks.charts import Json, kidney, request
from tests.cdshooks.desk import PATH, SERVICE
from tests.safety.canaries import PATIENT, leaks
from tests.smart.world import own_keys
from tests.web.clinic import CLINIC, HOSPITAL
from tests.web.smart.clinic import data
from tests.web.test_openapi import routes
from tests.web.two_ehrs import ONLY_HERE, OURS, THEIRS, TwoEhrs, Visitor, hidden, outside, state_in, two

__all__ = ["outside", "own_keys", "two"]


@dataclass
class Known:
    """Everything of one tenant that somebody else might come to know."""

    path: str
    ticket: str
    card: str
    page_card: str
    assessment: str
    answers: tuple[str, ...]
    cookie: str

    @property
    def id(self) -> str:
        return self.path.split("/")[3]


class Outsider:
    """A clinician of the clinic, signed in there, with all that the hospital's pages and answers told by themselves."""

    def __init__(self, at: TwoEhrs) -> None:
        self.at = at
        self.victim, self.browser = at.visitor(), at.visitor()
        path = self.victim.opened(at.a)
        page = self.victim.get(path)
        call = at.desk.http.get("/cds-services", headers=at.hospital.headers("/cds-services")).json()
        self.templates: Json = call["services"][0]["prefetch"]
        card = self.call(at.hospital.headers())["cards"][0]["uuid"]
        self.theirs = Known(
            path, hidden(page, "ticket"), card, hidden(page, "card"), hidden(page, "assessment"),
            tuple(one.id for one in at.desk.answers()), self.victim.http.cookies[session_cookie(path.split("/")[3])],
        )  # fmt: skip
        self.path = self.browser.opened(at.b, THEIRS)
        self.id = self.path.split("/")[3]
        self.cookie = self.browser.http.cookies[session_cookie(self.id)]

    def call(self, headers: dict[str, str], path: str = PATH) -> Json:
        body = request(kidney(of=THEIRS), self.templates, of=THEIRS)
        found: Json = self.at.desk.post(body, path, **headers).json()
        return found

    def ticket(self) -> str:
        return hidden(self.browser.get(self.path), "ticket")

    def with_cookie(self, session: str, value: str) -> Visitor:
        """A browser that brings this value as that session's cookie, beside the outsider's own."""
        made = self.at.visitor()
        made.http.cookies.set(session_cookie(self.id), self.cookie)
        made.http.cookies.set(session_cookie(session), value)
        return made

    def forms(self, method: str, ticket: str) -> list[dict[str, str]]:
        known = {"card": self.theirs.page_card, "assessment": self.theirs.assessment, "verdict": "helpful"}
        return [{}, {"ticket": ticket}, known | {"ticket": ticket, "patient": PATIENT}] if method == "POST" else [{}]


Case = Callable[[Outsider, str, str], Iterator[httpx.Response]]


def session_route(one: Outsider, method: str, path: str) -> Iterator[httpx.Response]:
    """Their session with our cookies and tickets, and our session with theirs."""
    services = (SERVICE, ONLY_HERE) if "{service}" in path else ("",)
    for service in services:
        address = path.format(session=one.theirs.id, service=service)
        for form in one.forms(method, one.ticket()):
            yield one.browser.send(method, address, OURS, form)
            yield one.with_cookie(one.theirs.id, one.cookie).send(method, address, OURS, form)
    address = path.format(session=one.id, service=SERVICE)
    for form in one.forms(method, one.theirs.ticket):
        thief = one.at.visitor()
        thief.http.cookies.set(session_cookie(one.id), one.theirs.cookie)
        yield thief.send(method, address, OURS, form)
    yield one.browser.send(method, f"{address}?patient={PATIENT}", OURS, {"ticket": one.ticket()})
    for strange in (ONLY_HERE, one.theirs.card, one.theirs.page_card, *one.theirs.answers) if len(services) > 1 else ():
        address = path.format(session=one.id, service=strange)
        yield one.browser.send(method, address, OURS, {"ticket": one.ticket()} if method == "POST" else None)


def unsafe_route(one: Outsider, method: str, path: str) -> Iterator[httpx.Response]:
    yield from session_route(one, method, path)
    for form in one.forms(method, one.theirs.ticket):
        yield one.browser.send(method, path.format(session=one.id, service=SERVICE), OURS, form)


def launch(one: Outsider, method: str, path: str) -> Iterator[httpx.Response]:
    """A launch of theirs, taken to our EHR, and one of ours, taken to theirs: neither EHR knows it."""
    for mine, other in ((one.at.a, one.at.b), (one.at.b, one.at.a)):
        left = one.browser.launch(mine, PATIENT)
        launched = httpx.URL(left.headers["location"]).params["launch"]
        crossed = one.browser.get(f"{path}?iss={other.base}&launch={launched}", sec_fetch_dest="document")
        yield one.browser.get(other.sign_in(crossed.headers["location"]))


def standalone(one: Outsider, method: str, path: str) -> Iterator[httpx.Response]:
    """Whoever signs in anew shows himself to that EHR; a sign-in elsewhere does not count."""
    left = one.browser.get(f"{path}?iss={one.at.a.base}", sec_fetch_dest="document")
    assert left.headers["location"].startswith(f"{one.at.a.origin}/demo/auth/")
    state = httpx.URL(left.headers["location"]).params["state"]
    code = httpx.URL(one.browser.back(one.at.b, THEIRS)).params["code"]
    yield one.browser.get(f"/smart/callback?code={code}&state={state}")


def callback(one: Outsider, method: str, path: str) -> Iterator[httpx.Response]:
    """Their state with our code, our state with their code, our cookie under their launch's name, their held launch."""
    theirs, ours = one.victim.back(one.at.a), one.browser.back(one.at.b, THEIRS)
    their_code, our_code = (httpx.URL(back).params["code"] for back in (theirs, ours))
    if method == "GET":
        yield one.browser.get(f"{path}?code={their_code}&state={state_in(ours)}")
        name = next(one for one in one.victim.http.cookies if one.startswith(launch_cookie("")))
        ours = one.browser.back(one.at.b, THEIRS)
        mine = next(value for name, value in one.browser.http.cookies.items() if name.startswith(launch_cookie("")))
        one.browser.http.cookies.set(name, mine)
        yield one.browser.get(f"{path}?code={our_code}&state={state_in(theirs)}")
    else:
        asked = one.at.visitor().get(theirs)  # no cookie came along: the page asks its tab for the launch's secret
        frame = one.at.visitor()
        left = frame.launch(one.at.b, THEIRS, into="iframe")
        yield frame.post(path, {"launch": hidden(asked, "launch"), "secret": data(left, "secret")})


def logout(one: Outsider, method: str, path: str) -> Iterator[httpx.Response]:
    yield one.with_cookie(one.theirs.id, one.cookie).post(path, {"session": one.theirs.id, "ticket": one.ticket()})
    yield one.browser.post(path, {"session": one.theirs.id, "ticket": one.ticket()})
    yield one.browser.post(path, {"session": one.id, "ticket": one.theirs.ticket})


def hook(one: Outsider, method: str, path: str) -> Iterator[httpx.Response]:
    """Their service is one that does not exist; the answer says no more than for any other name."""
    desk, clinic = one.at.desk, one.at.clinic
    body: Json = {"feedback": []} if path.endswith("feedback") else request(kidney(of=THEIRS), one.templates, of=THEIRS)
    said = []
    for service in (ONLY_HERE, one.theirs.card, "no-such-service"):
        address = path.format(id=service)
        refused = desk.http.request(method, address, json=body, headers=clinic.headers(address))
        said.append((refused.status_code, refused.json()["issue"][0]["details"]))
        yield refused
    assert len({str(one) for one in said}) == 1
    address = path.format(id=ONLY_HERE)
    yield desk.http.request(method, address, json=body, headers=clinic.headers(PATH))
    cookie = {"cookie": f"{session_cookie(one.theirs.id)}={one.theirs.cookie}"}
    yield desk.http.request(method, address, json=body, headers=cookie)


def reaction(one: Outsider, method: str, path: str) -> Iterator[httpx.Response]:
    """A report on their card is kept as one on a card that nobody knows, and answered as such."""
    yield from hook(one, method, path)
    address = path.format(id=SERVICE)
    said = set()
    for card in (one.theirs.card, one.theirs.page_card, *one.theirs.answers, "3b1f8c1e-0000-4000-8000-000000000000"):
        report = {"card": card, "outcome": "overridden", "outcomeTimestamp": "2026-11-22T14:05:00Z"}
        told = one.at.desk.http.post(address, json={"feedback": [report]}, headers=one.at.clinic.headers(address))
        said.add((told.status_code, told.content))
    assert said == {(200, b"{}")}
    assert {(record.tenant) for record in one.at.desk.ledger.feedback_records()} == {CLINIC}
    assert {tally.model for tally in one.at.desk.ledger.tallies()} == {None}


def hooks_listed(one: Outsider, method: str, path: str) -> Iterator[httpx.Response]:
    found = one.at.desk.http.request(method, path, headers=one.at.clinic.headers(path))
    assert found.status_code in (200, 204)
    assert ONLY_HERE not in found.text
    yield one.at.desk.http.get(path)


def open_to_all(one: Outsider, method: str, path: str) -> Iterator[httpx.Response]:
    """Tells everybody the same, and nothing of anybody's chart."""
    found = one.browser.send(method, f"{path}?session={one.theirs.id}&patient={PATIENT}")
    assert path == "/metrics" or found.text == one.at.visitor().send(method, path).text
    yield from ()


def asked_what_is_allowed(one: Outsider, method: str, path: str) -> Iterator[httpx.Response]:
    said = one.at.desk.http.request(method, path.format(id=ONLY_HERE))
    assert (said.status_code, said.content) == (204, b"")
    yield from ()


def file(one: Outsider, method: str, path: str) -> Iterator[httpx.Response]:
    for name in (one.theirs.id, one.theirs.card, "..%2fledger.sqlite"):
        yield one.browser.send(method, path.format(name=name))


APP = "/smart/app/{session}"
CASES: dict[tuple[str, str], Case] = {
    ("get", "/cds-services"): hooks_listed,
    ("post", "/cds-services/{id}"): hook,
    ("post", "/cds-services/{id}/feedback"): reaction,
    ("options", "/cds-services"): asked_what_is_allowed,
    ("options", "/cds-services/{id}"): asked_what_is_allowed,
    ("options", "/cds-services/{id}/feedback"): asked_what_is_allowed,
    ("get", "/smart/launch"): launch,
    ("get", "/smart/standalone"): standalone,
    ("get", "/smart/callback"): callback,
    ("post", "/smart/callback"): callback,
    ("post", "/smart/logout"): logout,
    ("get", "/smart/static/{name}"): file,
    ("get", APP): session_route,
    ("post", APP): session_route,
    ("get", f"{APP}/{{service}}"): session_route,
    ("post", f"{APP}/{{service}}"): session_route,
    ("post", f"{APP}/{{service}}/what-if"): unsafe_route,
    ("post", f"{APP}/{{service}}/save"): unsafe_route,
    ("post", f"{APP}/{{service}}/feedback"): unsafe_route,
    ("get", "/smart/passage.js"): open_to_all,
    ("get", "/.well-known/jwks.json"): open_to_all,
    ("get", "/models"): open_to_all,
    ("get", "/models/{model}"): open_to_all,
    ("get", "/metrics"): open_to_all,
    ("get", "/health/live"): open_to_all,
    ("get", "/health/ready"): open_to_all,
    ("get", "/health/startup"): open_to_all,
}


def told(one: Outsider, said: httpx.Response) -> set[str]:
    """What of the hospital stands in a response that was not in the request."""
    text = said.text + str(said.headers)
    ids = (one.theirs.id, one.theirs.ticket, one.theirs.cookie, one.theirs.card, one.theirs.page_card)
    return leaks([text]) | {known for known in (*ids, *one.theirs.answers, ONLY_HERE) if known in text}


def of_the_hospital(at: TwoEhrs) -> list[tuple[str, str]]:
    """What was read and done in the hospital's name; that something was refused there is noted besides."""
    told = [event for event in at.desk.ledger.events() if event.tenant == HOSPITAL]
    events = [(event.kind, event.outcome) for event in told if event.outcome != "refused"]
    reactions = [("feedback", one.card) for one in at.desk.ledger.feedback_records() if one.tenant == HOSPITAL]
    answers = [("answer", one.id) for one in at.desk.answers() if one.tenant == HOSPITAL]
    return sorted([*events, *reactions, *answers])


@pytest.mark.proves("R34", "27 of 27 routes, the other tenant's ids in 140 requests: 0 answered, 0 of its data told")
def test_r34_no_route_takes_another_tenants_ids(two: TwoEhrs) -> None:
    assert set(CASES) == set(routes(two.desk.app.routes))
    assert len(CASES) == 27
    one = Outsider(two)
    before = of_the_hospital(two)
    refused = 0
    for (method, path), case in CASES.items():
        for said in case(one, method.upper(), path):
            refused += 1
            assert said.status_code in {400, 401, 403, 404, 409, 412, 502}, (method, path, said.status_code)
            assert told(one, said) == set(), (method, path)
    assert refused >= 140
    assert of_the_hospital(two) == before
    assert two.a.records.created == two.b.records.created == []
    assert one.victim.get(one.theirs.path).status_code == 200
    assert not any(leaks([said.text]) for said in one.browser.said)
