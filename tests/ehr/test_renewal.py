"""A session outlives its access token: renewed before its end or when it is refused, once for all who wait."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cds.web.smart.words import WORDS
from tests.ehr.clinic import Clinic, Visitor, clinic
from tests.ehr.standalone import PATIENT

AT_ONCE = 6


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    with clinic(tmp_path_factory.mktemp("clinic")) as running:
        yield running


@pytest.fixture
def hospital(started: Clinic) -> Clinic:
    started.behave()
    started.listening.heard.clear()
    return started


def renewals(hospital: Clinic) -> list[str]:
    """The refresh tokens that were used, one for each renewal."""
    return [sent["refresh_token"] for sent in hospital.listening.of("/token") if sent["grant_type"] == "refresh_token"]


def all_at_once(tab: Visitor) -> list[httpx.Response]:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return [done.result() for done in [threads.submit(tab.http.get, str(tab.at.url)) for _ in range(AT_ONCE)]]


def forget_access(hospital: Clinic) -> None:
    """The EHR no longer knows any access token that it gave."""
    hospital.ehr.ehr.memory.access.drop(lambda _: True)


@pytest.mark.proves("S19", "tokens of 3 s: 4 views on one launch, each with a token renewed, 4 refresh tokens rotated")
def test_a_short_token_is_renewed_before_each_look(hospital: Clinic) -> None:
    hospital.behave(token_seconds=3)
    tab = hospital.visitor()
    tab.launch(PATIENT)
    for _ in range(3):
        hospital.clock.move(4)
        assert "15.4%" in tab.again().text
    used = renewals(hospital)
    assert len(used) == len(set(used)) == 4


@pytest.mark.proves("S19", "6 requests at once with a token near its end: 1 refresh, 6 pages")
def test_who_comes_at_once_is_served_by_one_renewal(hospital: Clinic) -> None:
    hospital.behave(token_seconds=120)
    tab = hospital.visitor()
    tab.launch(PATIENT)
    assert renewals(hospital) == []
    hospital.clock.move(100)
    assert [page.status_code for page in all_at_once(tab)] == [200] * AT_ONCE
    assert len(renewals(hospital)) == 1


@pytest.mark.proves("S19", "6 requests at once refused with 401 by the FHIR server: 1 refresh, 6 pages")
def test_a_token_that_the_fhir_server_refuses_is_renewed_once(hospital: Clinic) -> None:
    tab = hospital.visitor()
    tab.launch(PATIENT)
    forget_access(hospital)
    pages = all_at_once(tab)
    assert [page.status_code for page in pages] == [200] * AT_ONCE
    assert all("15.4%" in page.text for page in pages)
    assert len(renewals(hospital)) == 1
    assert "Saved to the chart." in tab.post("/save").text


@pytest.mark.proves("S19", "a refresh that is refused ends the session: its page, then 401 for good, and no second try")
def test_a_refresh_that_is_refused_ends_the_session(hospital: Clinic) -> None:
    tab = hospital.visitor()
    tab.launch(PATIENT)
    shown = len(hospital.answers())
    hospital.behave(refresh=False)
    forget_access(hospital)
    ended = tab.again()
    assert (ended.status_code, WORDS["refresh-refused"].happened in ended.text) == (401, True)
    assert tab.again().status_code == 401
    assert "Quillfeather" not in ended.text + tab.at.text
    assert len(renewals(hospital)) == 1
    assert len(hospital.answers()) == shown


def test_without_a_refresh_token_a_refused_token_ends_the_session(hospital: Clinic) -> None:
    hospital.behave(withheld=frozenset({"online_access"}))
    tab = hospital.visitor()
    assert "15.4%" in tab.launch(PATIENT).text
    forget_access(hospital)
    ended = tab.again()
    assert (ended.status_code, WORDS["token-rejected"].happened in ended.text) == (401, True)
    assert renewals(hospital) == []


def test_without_a_refresh_token_the_session_ends_with_its_token(hospital: Clinic) -> None:
    hospital.behave(withheld=frozenset({"online_access"}), token_seconds=120)
    tab = hospital.visitor()
    tab.launch(PATIENT)
    hospital.clock.move(100)
    assert tab.again().status_code == 200
    hospital.clock.move(21)
    assert tab.again().status_code == 401
