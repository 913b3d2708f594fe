"""Who is let through the door of a session, and who is not."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from cds.web.smart.cookies import session_cookie
from cds.web.smart.errors import render
from tests.smart.world import table
from tests.web.smart.clinic import HOME, OURS, Browser, Clinic, field, framed, title

FORM = {"content-type": "application/x-www-form-urlencoded"}


def ticket(browser: Browser, home: str) -> str:
    found: str = browser.get(home).json()["ticket"]
    return found


@pytest.mark.proves(
    "R43",
    "with the right cookie, 10 foreign or unsaid origins and 2 made-up tickets: 24 of 24 changes and logouts refused",
)
@pytest.mark.parametrize(
    ("headers", "right_ticket"),
    [
        ({}, True),
        ({"origin": "null"}, True),
        ({"origin": "https://evil.example"}, True),
        ({"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, True),
        ({"origin": f"{HOME}.evil.example"}, True),
        ({"origin": "http://localhost"}, True),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"origin": HOME, "sec-fetch-site": "cross-site"}, True),
        (OURS, False),
        ({"origin": HOME}, False),
    ],
    ids=str,
)
def test_a_change_needs_the_ticket_and_a_page_of_ours(
    clinic: Clinic, headers: dict[str, str], right_ticket: bool
) -> None:
    browser = clinic.browser()
    home = browser.opened()
    sent = ticket(browser, home) if right_ticket else "made-up"
    for path in (f"{home}/save", "/smart/logout"):
        refused = browser.post(path, {"ticket": sent, "session": home.rpartition("/")[2]}, headers=headers)
        assert refused.status_code == 403
        assert title(refused) == "This request was not accepted"
    assert clinic.changes == []
    assert browser.get(home).status_code == 200, "a forged logout logs nobody out"


@pytest.mark.parametrize(
    "headers", [OURS, {"origin": HOME}, {**OURS, "origin": "null"}, {**OURS, "origin": HOME}], ids=str
)
def test_a_form_of_our_own_page_is_accepted_and_each_of_its_forms_too(clinic: Clinic, headers: dict[str, str]) -> None:
    browser = clinic.browser()
    home = browser.opened()
    sent = ticket(browser, home)
    for _ in range(3):
        assert browser.post(f"{home}/save", {"ticket": sent}, headers=headers).status_code == 200
    assert len(clinic.changes) == 3


def test_behind_a_proxy_the_public_origin_is_ours(make_clinic: Callable[..., Clinic]) -> None:
    clinic = make_clinic(public_url="https://cds.example.org")
    browser = clinic.browser()
    home = browser.opened()
    sent = {"ticket": ticket(browser, home)}
    assert browser.post(f"{home}/save", sent, headers={"origin": "https://cds.example.org"}).status_code == 200
    assert browser.post(f"{home}/save", sent, headers={"origin": HOME}).status_code == 403


def test_without_the_cookie_neither_the_id_nor_a_get_opens_anything(clinic: Clinic) -> None:
    home = clinic.browser().opened()
    stranger = clinic.browser()
    assert stranger.get(home).status_code == 401
    assert stranger.post(home, {"ticket": "guess"}).status_code == 401
    assert stranger.get(f"{home}?ticket=x").status_code == 401
    assert stranger.get("/smart/app/AAAAAAAAAAAAAAAAAAAAAA").status_code == 401


def test_a_ticket_opens_no_other_session(frames: Clinic) -> None:
    one, other = frames.browser(cookies=False), frames.browser(cookies=False)
    mine, sent = one.entered("patient-7")
    theirs, _ = other.entered("patient-8")
    assert other.post(theirs, {"ticket": sent}).status_code == 401
    assert other.post(mine, {"ticket": sent}).json()["patient"] == "patient-7"


@pytest.mark.proves(
    "R42", "a bare ticket opens nothing where nobody frames the app, nor where the cookie has come: 0 of 4"
)
@pytest.mark.parametrize("one", [table(), framed()], ids=["tab", "frame"])
def test_a_ticket_is_no_key_where_the_cookie_works(make_clinic: Callable[..., Clinic], one: dict[str, Any]) -> None:
    clinic = make_clinic(one)
    browser, thief = clinic.browser(), clinic.browser(cookies=False)
    home = browser.opened()
    assert thief.post(home, {"ticket": ticket(browser, home)}).status_code == 401
    assert thief.post(f"{home}/save", {"ticket": ticket(browser, home)}).status_code == 401
    assert clinic.changes == []


def test_a_cookie_that_comes_late_takes_the_tickets_place(frames: Clinic) -> None:
    browser = frames.browser(cookies=False)
    home, first = browser.entered()
    session = frames.smart.sessions.find(home.rpartition("/")[2])
    sent = browser.post(home, {"ticket": first}).json()["ticket"]
    kept = frames.browser()
    kept.http.cookies.set(session_cookie(session.id), session.new_cookie())
    assert kept.get(home).json()["by_cookie"] is True
    assert browser.post(home, {"ticket": sent}).status_code == 401


@pytest.mark.proves("R42", "a spent ticket: the same form once more within 3 s; 5 of 5 other uses refused")
@pytest.mark.parametrize(
    ("seconds", "agent", "form", "path"),
    [(0, "b", {}, ""), (0, "a", {"x": "2"}, ""), (0, "a", {}, "/save"), (4, "a", {}, ""), (0, "a", {}, "?x=1")],
    ids=["another browser", "another form", "another page", "too late", "another query"],
)
def test_a_double_click_is_answered_and_nothing_else(
    frames: Clinic, seconds: int, agent: str, form: dict[str, str], path: str
) -> None:
    browser = frames.browser(cookies=False)
    home, sent = browser.entered()

    def click(path: str = "", agent: str = "a", **form: str) -> int:
        return browser.post(f"{home}{path}", {"ticket": sent, **form}, {**OURS, "user-agent": agent}).status_code

    assert click() == 200
    frames.clock.forward(seconds=seconds)
    assert click(path, agent, **form) == 401
    assert click() == 401, "after that not even the same"
    assert frames.changes == []


def test_the_second_click_is_the_last(frames: Clinic) -> None:
    browser = frames.browser(cookies=False)
    home, sent = browser.entered()
    assert [browser.post(home, {"ticket": sent}).status_code for _ in range(3)] == [200, 200, 401]


@pytest.mark.proves(
    "S22", "no cookie: a server that is silent for a minute ends no session, its page has the next ticket"
)
def test_a_page_that_could_not_be_shown_can_be_tried_again(frames: Clinic) -> None:
    browser = frames.browser(cookies=False)
    home, sent = browser.entered()
    frames.clock.forward(seconds=250)
    frames.ehr.fault = lambda _: httpx.Response(503)
    failed = browser.post(home, {"ticket": sent})
    assert failed.status_code == 504
    assert f'<form method="post" action="{home}"' in failed.text
    frames.ehr.fault = None
    assert browser.post(home, {"ticket": field(failed, "ticket")}).json()["patient"] == "patient-7"


def test_a_page_with_a_problem_leads_on_with_the_next_ticket_or_a_link() -> None:
    said = {"head": "h", "what": "w", "correlation": "c", "root": "/bedside"}
    assert "Try again" not in render("problem.html", **said)
    for by_cookie, way in (
        (True, '<a class="go" href="/bedside/smart/app/id-1">'),
        (False, '<form method="post" action="/bedside/smart/app/id-1"'),
    ):
        visit = {"by_cookie": by_cookie, "ticket": "ticket-1", "session": {"id": "id-1"}}
        page = render("problem.html", **said, visit=visit)
        assert way in page
        assert ("ticket-1" in page) is not by_cookie
        assert "/bedside/x" in render("problem.html", **said, visit=visit, again="/bedside/x")


@pytest.mark.proves(
    "S16", "6 addresses and 1 form that name another patient or none refused; the same patient accepted"
)
@pytest.mark.parametrize(
    "query", ["patient=patient-8", "patientId=patient-8", "subject=Patient/patient-8", "PATIENT=patient-8", "patient=",
              "patient=patient-7&patient=patient-8"]
)  # fmt: skip
def test_an_address_that_names_another_patient_is_refused(clinic: Clinic, query: str) -> None:
    browser = clinic.browser()
    home = browser.opened("patient-7")
    refused = browser.get(f"{home}?{query}")
    assert refused.status_code == 409
    assert title(refused) == "This is another patient"
    form = {"ticket": ticket(browser, home), "patient": "patient-8"}
    assert browser.post(f"{home}/save", form).status_code == 409
    assert clinic.changes == []
    assert browser.get(f"{home}?patient=patient-7").status_code == 200


@pytest.mark.proves("R41", "15 idle minutes end it; somebody without its cookie does not keep it alive")
def test_an_idle_session_ends_whoever_knocks(clinic: Clinic) -> None:
    browser = clinic.browser()
    home = browser.opened()
    for _ in range(3):
        clinic.clock.forward(minutes=5)
        assert clinic.browser().get(home).status_code == 401
    ended = browser.get(home)
    assert ended.status_code == 401
    assert title(ended) == "Your session has ended"
    assert "No patient data is shown." in ended.text
    assert "patient-7" not in ended.text


@pytest.mark.proves("R41", "logout kills it: page, change and a second logout refused; its tokens gone")
def test_logging_out_ends_the_session(clinic: Clinic) -> None:
    browser = clinic.browser()
    home = browser.opened()
    id_ = home.rpartition("/")[2]
    session = clinic.smart.sessions.find(id_)
    sent = {"ticket": ticket(browser, home), "session": id_}
    out = browser.post("/smart/logout", sent)
    assert out.status_code == 200
    assert title(out) == "You have left the app"
    (gone,) = out.headers.get_list("set-cookie")
    assert "=; Path=/; Max-Age=0; Secure; HttpOnly" in gone
    assert browser.get(home).status_code == 401
    assert browser.post(f"{home}/save", sent).status_code == 401
    assert browser.post("/smart/logout", sent).status_code == 401
    assert "canary" not in str(vars(session))
    assert browser.http.get("/smart/logout").status_code == 405


def test_one_logout_leaves_the_other_chart_open(clinic: Clinic) -> None:
    browser = clinic.browser()
    first, second = browser.opened("patient-7"), browser.opened("patient-8")
    browser.post("/smart/logout", {"ticket": ticket(browser, first), "session": first.rpartition("/")[2]})
    assert browser.get(second).json()["patient"] == "patient-8"


def test_a_client_that_is_revoked_meanwhile_loses_its_sessions(make_clinic: Callable[..., Clinic]) -> None:
    clinic = make_clinic()
    browser = clinic.browser()
    home = browser.opened()
    later = make_clinic(table(revoked=True))
    clinic.state.site = later.site
    assert browser.get(home).status_code == 401
    assert len(clinic.smart.sessions) == 0


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"ticket=a&ticket=b", FORM["content-type"]),
        (b"x=" + b"y" * 70_000, FORM["content-type"]),
        (b"&".join(b"a%d=1" % number for number in range(300)), FORM["content-type"]),
        (b'{"ticket":"a"}', "application/json"),
        (b"ticket=a", "text/plain"),
        (b"ticket=a", ""),
        (b"\xff\xfe", FORM["content-type"]),
        (b"no pair", FORM["content-type"]),
    ],
    ids=["twice", "too long", "too many", "json", "text", "untyped", "not UTF-8", "no pair"],
)
def test_a_form_that_is_none_is_refused(clinic: Clinic, content: bytes, kind: str) -> None:
    browser = clinic.browser()
    home = browser.opened()
    for path in (home, f"{home}/save", "/smart/logout", "/smart/callback"):
        said = browser.http.post(path, content=content, headers={**OURS, "content-type": kind})
        assert said.status_code == 400
        assert title(said) == "This request cannot be used"
    assert clinic.changes == []


def test_in_a_frame_the_page_may_be_framed_by_that_ehr_only(make_clinic: Callable[..., Clinic]) -> None:
    browser = make_clinic(framed()).browser()
    page = browser.get(browser.opened())
    assert page.headers["content-security-policy"].endswith("frame-ancestors https://ehr.example")


@pytest.mark.parametrize("path", ["/smart/callback", "/smart/logout"])
async def test_whoever_hangs_up_within_a_form_is_no_failure_of_ours(clinic: Clinic, path: str) -> None:
    came: list[dict[str, Any]] = [{"type": "http.request", "body": b"launch=", "more_body": True}]
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return came.pop() if came else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    headers = [(b"content-type", b"application/x-www-form-urlencoded"), (b"sec-fetch-site", b"same-origin")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers}
    await clinic.app({**scope, "root_path": "", "scheme": "https", "server": ("localhost", 443)}, receive, send)  # type: ignore[arg-type]
    assert said[0]["status"] == 400


def test_no_two_pages_carry_the_same_ticket(clinic: Clinic) -> None:
    """A packed page's length tells a secret only when it stands there again and again (BREACH)."""
    browser = clinic.browser()
    home = browser.opened()
    assert len({ticket(browser, home) for _ in range(20)}) == 20
