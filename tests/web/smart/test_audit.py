"""What of a launch stands in the ledger."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cds.ledger import Keyring, Ledger
from tests.web.smart.clinic import BASE, Clinic, title


@pytest.fixture
def ledger(clinic: Clinic, tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path / 'ledger.sqlite'}", Keyring.generate(), create=True)
    clinic.state.ledger = opened
    yield opened
    opened.close()


def said(ledger: Ledger) -> list[tuple[str, str, str | None, str | None, dict[str, str]]]:
    launches = [event for event in ledger.events() if event.kind in {"launch", "wrong-patient"}]
    assert {event.tenant for event in launches} <= {"north-clinic"}
    return [(one.kind, one.outcome, one.who, one.patient, dict(one.detail)) for one in launches]


@pytest.mark.proves("R38", "launches: opened with user and patient, refused with the reason, another patient asked for")
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
        ("launch", "success", "Practitioner/dr-1", f"{BASE}|Patient/patient-7", {}),
        ("launch", "refused", None, None, {"reason": "access-denied"}),
        ("wrong-patient", "refused", None, None, {"reason": "another-patient"}),
        ("launch", "refused", None, None, {"reason": "launch-missing"}),
    ]


def test_no_chart_is_opened_that_cannot_be_recorded(clinic: Clinic, ledger: Ledger) -> None:
    ledger.close()
    browser = clinic.browser()
    refused = browser.get(browser.sign_in(browser.launch()))
    assert refused.status_code == 503
    assert title(refused) == "The app cannot keep its records now"
    assert len(clinic.smart.sessions) == 0
    assert browser.launch().status_code == 303
