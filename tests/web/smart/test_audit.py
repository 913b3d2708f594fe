"""What of a launch stands in the ledger."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cds.ledger import Keyring, Ledger
from cds.web.smart.cookies import session_cookie
from tests.web.smart.clinic import BASE, Browser, Clinic, title

PATIENT = f"{BASE}|Patient/patient-7"


@contextmanager
def kept(clinic: Clinic, folder: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{folder / 'ledger.sqlite'}", Keyring.generate(), create=True, deadline=15.0)
    clinic.state.ledger = opened
    yield opened
    opened.close()


@pytest.fixture
def ledger(clinic: Clinic, tmp_path: Path) -> Iterator[Ledger]:
    with kept(clinic, tmp_path) as opened:
        yield opened


def said(ledger: Ledger) -> list[tuple[str, str, str | None, str | None, dict[str, str]]]:
    launches = [event for event in ledger.events() if event.kind in {"launch", "wrong-patient", "page-view"}]
    assert {event.tenant for event in launches} <= {"north-clinic"}
    return [(one.kind, one.outcome, one.who, one.patient, dict(one.detail)) for one in launches]


@pytest.mark.proves("R38", "launches: opened with user and patient, refused with the reason; another patient asked for")
def test_launches_stand_in_the_ledger(clinic: Clinic, ledger: Ledger) -> None:
    browser = clinic.browser()
    home = browser.opened()
    state = browser.sign_in(browser.launch()).rpartition("state=")[2]
    browser.get(f"/smart/callback?error=access_denied&state={state}")
    browser.get(f"{home}?patient=patient-8")
    browser.get("/smart/launch?iss=https://evil.example&launch=x")
    browser.get("/smart/callback?state=unknown&code=x")
    browser.get(f"/smart/launch?iss={BASE}")
    assert said(ledger) == [
        ("launch", "success", "Practitioner/dr-1", PATIENT, {}),
        ("launch", "refused", None, None, {"reason": "access-denied"}),
        ("wrong-patient", "refused", "Practitioner/dr-1", PATIENT, {"reason": "another-patient"}),
        ("launch", "refused", None, None, {"reason": "launch-missing"}),
    ]


@pytest.mark.proves(
    "R38", "at a session's page: a forged form with its user; 3 strangers by cookie, ticket or id without"
)
def test_who_tries_a_session_in_vain_stands_in_the_ledger(frames: Clinic, tmp_path: Path) -> None:
    with kept(frames, tmp_path) as ledger:
        browser = frames.browser()
        home = browser.opened()
        browser.post(f"{home}/save", {"ticket": browser.get(home).json()["ticket"]}, {"origin": "https://evil.example"})
        assert said(ledger)[1:] == [
            ("page-view", "refused", "Practitioner/dr-1", PATIENT, {"reason": "forged"}),
        ]  # fmt: skip
        for knock in (lambda b, h: b.get(h), lambda b, h: b.post(h, {"ticket": "guess"}), planted):
            frames.clock.forward(minutes=2)
            browser.get(home)
            knock(frames.browser(), home)
        unproven = ("page-view", "refused", None, PATIENT, {"reason": "unproven"})
        assert said(ledger)[2:] == [unproven] * 3


def planted(stranger: Browser, home: str) -> None:
    stranger.http.cookies.set(session_cookie(home.rpartition("/")[2]), "guessed")
    stranger.get(home)


@pytest.mark.proves("R38", "50 refused launches of one reason in a minute: 1 event, 50 counted; the next minute 1 more")
def test_strangers_cannot_make_the_chain_their_own(clinic: Clinic, ledger: Ledger) -> None:
    browser = clinic.browser()
    for turn in (1, 2):
        for _ in range(50):
            assert browser.get(f"/smart/launch?iss={BASE}").status_code == 400
        assert len(said(ledger)) == turn
        assert f'bedside_refused_requests_total{{status="400"}} {turn * 50}.0' in clinic.state.metrics.text().decode()
        clinic.clock.forward(minutes=1)


def test_a_refusal_that_cannot_be_noted_is_logged(
    clinic: Clinic, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.close()
    assert clinic.browser().get(f"/smart/launch?iss={BASE}").status_code == 400
    assert "not noted" in capsys.readouterr().out


def test_no_chart_is_opened_that_cannot_be_recorded(clinic: Clinic, ledger: Ledger) -> None:
    ledger.close()
    browser = clinic.browser()
    refused = browser.get(browser.sign_in(browser.launch()))
    assert refused.status_code == 503
    assert title(refused) == "The app cannot keep its records now"
    assert len(clinic.smart.sessions) == 0
    assert browser.launch().status_code == 303
