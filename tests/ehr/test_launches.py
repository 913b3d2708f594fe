"""A launch from an EHR, and one without, against its authorization server: what we ask for, and what we then show."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from typing import Any

import httpx
import pytest

from cds.web.demo.conduct import CLINICIAN
from tests.ehr.clinic import CLIENT_ID, SERVICE, SIGNED, Clinic, clinic
from tests.ehr.standalone import ENCOUNTER, PATIENT

KINDS = {
    "ES384": {"auth": SIGNED, "algorithm": "ES384"},
    "RS384": {"auth": SIGNED, "algorithm": "RS384"},
    "public": {"auth": "public"},
}
READ = {"Condition", "Encounter", "Observation", "Patient", "Procedure"}
NUMBER = "15.4%"


@pytest.fixture(scope="module", params=KINDS)
def registered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """A clinic whose EHR knows us by one of the three ways in which an app proves itself."""
    with clinic(tmp_path_factory.mktemp("clinic"), smart=KINDS[request.param]) as running:
        running.kind = request.param
        yield running


@pytest.fixture(params=["from the chart", "standalone"])
def opened(request: pytest.FixtureRequest, registered: Clinic) -> tuple[str, httpx.Response]:
    """A launch of each sort that went all the way to the page."""
    registered.listening.heard.clear()
    tab = registered.visitor()
    if request.param == "standalone":
        return request.param, tab.standalone(PATIENT)
    return request.param, tab.launch(PATIENT, encounter=ENCOUNTER, service=SERVICE)


def read(part: str) -> dict[str, Any]:
    """A part of a JWT."""
    found: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


@pytest.mark.proves("S5", "3 kinds of client by 2 launches against a real authorization server: every parameter right")
@pytest.mark.proves("S6", "launch echoed as the EHR made it; none in a standalone launch")
@pytest.mark.proves("S8", "6 launches: the challenge in the request is the SHA-256 of the verifier in the exchange")
@pytest.mark.proves("S10", "6 launches: 5 types to read, 1 to create, 0 wildcards, 0 offline_access")
def test_the_request_says_whose_data_and_how_much(registered: Clinic, opened: tuple[str, httpx.Response]) -> None:
    asked, token = registered.listening.of("/authorize")[-1], registered.listening.of("/token")[-1]
    assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT_ID)
    assert asked["redirect_uri"] == token["redirect_uri"] == f"{registered.origin}/smart/callback"
    assert asked["aud"] == registered.ehr.fhir_base
    assert len(asked["state"]) >= 43
    scopes = asked["scope"].split()
    standalone = opened[0] == "standalone"
    assert ("launch" in asked, "launch" in scopes, "launch/patient" in scopes) == (
        not standalone, not standalone, standalone,
    )  # fmt: skip
    assert {one for one in scopes if one.startswith("patient/")} == {
        *(f"patient/{kind}.rs" for kind in READ), "patient/RiskAssessment.crs",
    }  # fmt: skip
    assert {"openid", "fhirUser"} <= set(scopes)
    assert "offline_access" not in scopes
    digest = sha256(token["code_verifier"].encode()).digest()
    assert asked["code_challenge_method"] == "S256"
    assert asked["code_challenge"] == urlsafe_b64encode(digest).rstrip(b"=").decode()


@pytest.mark.proves("S12", "a public client names itself; a confidential one sends its assertion and no client_id")
@pytest.mark.proves("S13", "ES384 and RS384: the EHR read our published keys and took the assertion")
def test_each_kind_of_client_proves_itself_in_its_own_way(
    registered: Clinic, opened: tuple[str, httpx.Response]
) -> None:
    [token] = registered.listening.of("/token")
    if registered.kind == "public":
        assert token["client_id"] == CLIENT_ID
        assert "client_assertion" not in token
        return
    assert token["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    header, claims = map(read, token["client_assertion"].split(".")[:2])
    keys = registered.ehr.http.get(f"{registered.origin}/.well-known/jwks.json").json()["keys"]
    assert (header["alg"], header["typ"]) == (registered.kind, "JWT")
    assert header["kid"] in {key["kid"] for key in keys if key["alg"] == registered.kind}
    assert len(keys) == 4
    assert not any("d" in key for key in keys)
    assert (claims["iss"], claims["sub"], claims["aud"]) == (CLIENT_ID, CLIENT_ID, registered.ehr.token_url)
    assert 0 < claims["exp"] - claims["iat"] <= 300


@pytest.mark.proves("S15", "6 launches: the page is of the patient that was open or chosen")
@pytest.mark.proves("S17", "6 launches: the id_token verified with the EHR's published keys, its user in the ledger")
@pytest.mark.proves("S24", "6 launches: code, state and launch in no address of the page")
def test_the_launch_ends_on_the_patients_page(registered: Clinic, opened: tuple[str, httpx.Response]) -> None:
    _, page = opened
    assert page.status_code == 200
    assert NUMBER in page.text
    assert "Osbert Quillfeather" in page.text
    assert str(page.url).startswith(f"{registered.origin}/smart/app/")
    assert str(page.url).endswith(f"/{SERVICE}")
    assert not page.url.query
    seen = registered.answers()[-1]
    assert (seen.hook, seen.user) == ("smart-page", CLINICIAN)
    assert seen.patient == f"{registered.ehr.fhir_base}|Patient/{PATIENT}"


@pytest.mark.proves("S23", "two charts in one browser: two sessions, each with its patient, one logged out and one not")
def test_each_launch_has_a_session_of_its_own_that_ends_alone(registered: Clinic) -> None:
    tab = registered.visitor()
    first = tab.launch(PATIENT)
    second = tab.launch("high-58m")
    assert first.url != second.url
    assert "Quillfeather" not in second.text
    tab.post("/smart/logout")
    assert "You have left the app" in tab.at.text
    assert tab.get(str(second.url)).status_code == 401
    assert "Quillfeather" in tab.get(str(first.url)).text


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Clinic]]:
    """Makes a clinic of which nothing is known yet, with an EHR of another conduct."""
    with ExitStack() as stack:

        def make(**conduct: Any) -> Clinic:
            running = stack.enter_context(clinic(tmp_path_factory.mktemp("clinic")))
            running.behave(**conduct)
            return running

        yield make


@pytest.mark.proves("S3", "relative endpoints resolved against the FHIR base, all the way to the page")
def test_an_ehr_of_the_older_sort_is_understood(fresh: Callable[..., Clinic]) -> None:
    older = fresh(
        relative_endpoints=True, capabilities=("launch-ehr", "client-public", "sso-openid-connect"),
        signing="RS256", id_token_kid=False, omitted=frozenset({"expires_in", "need_patient_banner"}),
    )  # fmt: skip
    page = older.visitor().launch(PATIENT)
    assert NUMBER in page.text
    scopes = older.listening.of("/authorize")[-1]["scope"].split()
    assert {one for one in scopes if one.startswith("patient/")} == {
        *(f"patient/{kind}.read" for kind in READ), "patient/RiskAssessment.read", "patient/RiskAssessment.write",
    }  # fmt: skip
    assert older.answers()[-1].user == CLINICIAN
