"""Who is let through the door of a session, and who is not."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.smart.world import table
from tests.web.smart.clinic import HOME, OURS, Browser, Clinic, framed, title

FORM = {"content-type": "application/x-www-form-urlencoded"}


def ticket(browser: Browser, home: str) -> str:
    found: str = browser.get(home).json()["ticket"]
    return found


@pytest.mark.proves(
    "R43", "12 of 12 forged changes refused, with right cookie: no ticket, wrong ticket, foreign origins"
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
    one, other = frames.browser(), frames.browser()
    mine, theirs = one.opened("patient-7"), other.opened("patient-8")
    sent = ticket(one, mine)
    thief = frames.browser(cookies=False)
    assert thief.post(theirs, {"ticket": sent}).status_code == 401
    assert thief.post(mine, {"ticket": sent}).json()["patient"] == "patient-7"


@pytest.mark.proves("S16", "7 of 7 addresses and forms that name another patient refused, the same one accepted")
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
