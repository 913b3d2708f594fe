"""Whatever an EHR does at a launch, its clinician gets a page that says what to do next, and support gets a code."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from cds.smart import Reason
from cds.web.smart.words import WORDS
from tests.ehr.clinic import CLIENT_ID, Clinic, clinic
from tests.ehr.standalone import KEY, PATIENT
from tests.web.smart_page.markup import Markup

CODE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
OF_THE_PATIENT = (PATIENT, "Quillfeather", "Osbert", "1962", "FX-REFER")
OF_THE_INSIDE = ("Traceback", 'File "', ".py", "Error(", "Exception", "access_token", "invalid_", "client_assertion")

READ = ("Condition", "Encounter", "Observation", "Patient", "Procedure")
ASKED = frozenset({
    "openid", "fhirUser", "launch", "online_access", "patient/RiskAssessment.crs",
    *(f"patient/{kind}.rs" for kind in READ),
})  # fmt: skip
Fault = tuple[dict[str, Any], Reason]
FAULTS: dict[str, Fault] = {
    "access_denied": ({"denied": "access_denied"}, "access-denied"),
    "invalid_scope": ({"denied": "invalid_scope"}, "scope-refused"),
    "unauthorized_client": ({"denied": "unauthorized_client"}, "client-refused"),
    "temporarily_unavailable": ({"denied": "temporarily_unavailable"}, "unreachable"),
    "server_error": ({"denied": "server_error"}, "unreachable"),
    "invalid_request": ({"denied": "invalid_request"}, "authorization-failed"),
    "unknown error": ({"denied": "login_required"}, "authorization-failed"),
    "launch expired": ({"launch_seconds": 0}, "authorization-failed"),
    "code expired": ({"code_seconds": 0}, "code-refused"),
    "every scope withheld": ({"withheld": ASKED}, "scope-refused"),
    "no access token": ({"omitted": frozenset({"access_token"})}, "token-unusable"),
    "no token type": ({"omitted": frozenset({"token_type"})}, "token-unusable"),
    "no scope": ({"omitted": frozenset({"scope"})}, "token-unusable"),
    "no patient": ({"omitted": frozenset({"patient"})}, "no-patient"),
}  # fmt: skip


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with clinic(tmp_path_factory.mktemp("clinic"), fetch_seconds=1.0) as running:
        yield running


@pytest.fixture
def hospital(started: Clinic) -> Clinic:
    started.behave()
    return started


def said(page: httpx.Response, reason: Reason) -> str:
    """The code for support of the page that this reason has, after everything else on it was looked at."""
    words, text = WORDS[reason], Markup(page.text).text
    assert page.status_code in {words.status, 400}, text
    assert words.title in text
    assert words.happened in text
    assert words.next in text
    _harmless(page)
    [code] = CODE.findall(text)
    return str(code)


def _harmless(page: httpx.Response) -> None:
    assert [word for word in (*OF_THE_PATIENT, *OF_THE_INSIDE) if word in page.text] == []
    assert Markup(page.text).active() == []
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"


@pytest.mark.proves("S14", "3 incomplete token responses of a real server: 0 sessions")
@pytest.mark.proves("S11", "14 faults of a real EHR: each its page with what to do next and the code in the log, 0 PHI")
@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_a_page_that_says_what_to_do(name: str, hospital: Clinic) -> None:
    conduct, reason = FAULTS[name]
    hospital.behave(**conduct)
    shown = len(hospital.answers())
    with capture_logs() as logs:
        code = said(hospital.visitor().launch(PATIENT), reason)
    logged = [line for line in logs if line.get("correlation") == code]
    assert [(line["event"], line["reason"]) for line in logged] == [("smart", reason)]
    assert len(hospital.answers()) == shown


def test_a_launch_without_a_chart_and_a_client_that_is_refused_have_theirs(hospital: Clinic) -> None:
    shown = len(hospital.answers())
    without = said(hospital.visitor().launch(None), "no-patient")
    known = hospital.ehr.ehr.apps[CLIENT_ID]
    other = {"keys": [KEY.as_dict(private=False)]}
    hospital.ehr.ehr.apps[CLIENT_ID] = msgspec.structs.replace(known, jwks_url=None, jwks=other)
    refused = said(hospital.visitor().launch(PATIENT), "client-refused")
    hospital.ehr.ehr.apps[CLIENT_ID] = known
    assert without != refused
    assert len(hospital.answers()) == shown


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("/smart/launch", "issuer-missing"),
        ("/smart/launch?iss=http://127.0.0.1:1/fhir&launch=x", "issuer-unknown"),
        ("/smart/launch?iss={base}", "launch-missing"),
        ("/smart/launch?iss={base}&iss={base}&launch=x", "request-unusable"),
        ("/smart/callback", "state-missing"),
        ("/smart/callback?code=x&state=made-up", "state-unknown"),
        ("/smart/callback?error=access_denied", "access-denied"),
    ],
)
def test_an_address_that_is_no_launch_has_its_page(address: str, reason: Reason, hospital: Clinic) -> None:
    shown = len(hospital.answers())
    said(hospital.visitor().get(hospital.origin + address.format(base=hospital.ehr.fhir_base)), reason)
    assert len(hospital.answers()) == shown


@pytest.mark.proves("S7", "a callback that comes twice, too late, or in another browser: its page and no session")
def test_a_sign_in_serves_once_soon_and_in_its_own_browser(hospital: Clinic) -> None:
    def back(seconds: float = 0, *, other: bool = False, twice: bool = False) -> httpx.Response:
        tab = hospital.visitor()
        tab.http.follow_redirects = False
        authorize = tab.launch(PATIENT).headers["location"]
        callback = tab.get(authorize).headers["location"]
        hospital.clock.move(seconds)
        if other:
            tab.cookies = dict.fromkeys(tab.cookies, "x" * 43)
        if twice:
            assert tab.get(callback).status_code == 303
        return tab.get(callback)

    said(back(twice=True), "state-replayed")
    said(back(other=True), "other-browser")
    said(back(601), "state-expired")


@pytest.mark.proves("S11", "a type withheld: the page names it as not granted, and shows no number")
def test_a_withheld_scope_is_named_and_nothing_is_calculated(hospital: Clinic) -> None:
    hospital.behave(withheld=frozenset({"patient/Observation.rs"}))
    page = hospital.visitor().launch(PATIENT)
    text = Markup(page.text).text
    assert "Kidney failure risk not calculated: needed data could not be read." in text
    assert "the launch did not grant the right to read Observation" in text
    assert "%" not in text
    hospital.behave(withheld=frozenset({"patient/RiskAssessment.crs"}))
    without = hospital.visitor().launch(PATIENT)
    assert "15.4%" in without.text
    assert "Save this risk to the chart" not in without.text
    hospital.behave(withheld=frozenset({"patient/Patient.rs"}))
    said(hospital.visitor().launch(PATIENT), "not-permitted")


def test_a_fhir_server_that_hangs_has_a_page_within_its_time(hospital: Clinic) -> None:
    hospital.behave(hanging=frozenset({"fhir"}))
    page = hospital.visitor().launch(PATIENT)
    assert "The patient could not be read" in page.text
    assert CODE.search(page.text)
    _harmless(page)


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Clinic]]:
    """Makes a clinic of which nothing is known yet, with an EHR that hangs somewhere."""
    with ExitStack() as stack:

        def make(place: str) -> Clinic:
            running = stack.enter_context(clinic(tmp_path_factory.mktemp("clinic")))
            running.behave(hanging=frozenset({place}), hang_seconds=12.0)
            return running

        yield make


@pytest.mark.proves("S1", "discovery, keys and token that hang: each its page after 5, 5 and 10 s")
def test_an_ehr_that_hangs_has_a_page_within_its_time(fresh: Callable[[str], Clinic]) -> None:
    tabs = [fresh(place).visitor() for place in ("discovery", "keys", "token")]
    with ThreadPoolExecutor(len(tabs)) as threads:
        pages = [done.result() for done in [threads.submit(tab.launch, PATIENT) for tab in tabs]]
    assert len({said(page, "unreachable") for page in pages}) == len(tabs)
