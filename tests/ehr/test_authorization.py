"""The demo's authorization server holds to SMART App Launch, so that an app which passes here meets real rules."""

import httpx
import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cds.web.demo.conduct import Conduct
from cds.web.demo.registered import App
from tests.ehr.running import running
from tests.ehr.standalone import CALLBACK, ENCOUNTER, KEY, PATIENT, Standalone, Visit, granted, told


def conduct(at: Standalone, **changed: object) -> None:
    at.ehr.conduct = msgspec.structs.replace(at.ehr.conduct, **changed)


@pytest.mark.parametrize("client_id", ["public-app", "signing-app"])
def test_a_launch_from_the_chart_tells_patient_encounter_and_clinician(ehr: Standalone, client_id: str) -> None:
    visit = Visit(ehr, client_id)
    question = visit.question(launch=ehr.launch(encounter=ENCOUNTER, appContext="kidney"))
    body = granted(visit, **question)
    assert (body["patient"], body["encounter"], body["appContext"]) == (PATIENT, ENCOUNTER, "kidney")
    assert (body["token_type"], body["expires_in"], body["need_patient_banner"]) == ("Bearer", 3600, True)
    keys = KeySet.import_key_set(ehr.http.get(f"{ehr.origin}/demo/auth/jwks").json())
    token = jwt.decode(body["id_token"], keys, algorithms=["ES384"])
    assert token.header["kid"] == "demo-es384"
    assert token.claims["iss"] == f"{ehr.origin}/demo/auth"
    assert (token.claims["aud"], token.claims["nonce"]) == (client_id, question["nonce"])
    assert token.claims["fhirUser"] == f"{ehr.fhir_base}/Practitioner/demo-clinician"
    assert ehr.get("Practitioner/demo-clinician", body["access_token"]).status_code == 200


def test_the_state_comes_back_and_the_address_names_no_patient(ehr: Standalone) -> None:
    visit = Visit(ehr)
    answer = visit.authorize()
    assert told(answer)["state"] == visit.state
    assert PATIENT not in answer.headers["location"]


def test_a_request_by_post_is_answered_as_one_by_get(ehr: Standalone) -> None:
    visit = Visit(ehr)
    answer = ehr.http.post(f"{ehr.origin}/demo/auth/authorize", data=visit.question())
    assert visit.token(told(answer)["code"]).status_code == 200


def test_without_a_launch_the_clinician_chooses_among_twelve(ehr: Standalone) -> None:
    visit = Visit(ehr)
    question = visit.question(scope="launch/patient patient/Patient.r")
    page = ehr.http.get(f"{ehr.origin}/demo/auth/authorize", params=question)
    assert page.text.count('name="choose"') == 12
    assert "https://app.example.org" in page.headers["content-security-policy"]
    chosen = ehr.http.post(f"{ehr.origin}/demo/auth/authorize", data=question | {"choose": "high-58m"})
    assert visit.token(told(chosen)["code"]).json()["patient"] == "high-58m"
    stranger = ehr.http.post(f"{ehr.origin}/demo/auth/authorize", data=question | {"choose": "nobody"})
    assert stranger.status_code == 200
    assert stranger.text.count('name="choose"') == 12


@pytest.mark.parametrize("changed", [{"redirect_uri": "https://app.example.org/callback/"}, {"client_id": "stranger"}])
def test_nobody_is_sent_to_an_address_that_is_not_registered(ehr: Standalone, changed: dict[str, str]) -> None:
    answer = Visit(ehr).authorize(**changed)
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"aud": "https://other.example.org/fhir"}, "invalid_request"),
        ({"aud": None}, "invalid_request"),
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"launch": "made-up"}, "invalid_request"),
        ({"scope": "openid patient/Patient.r", "launch": "made-up"}, "invalid_scope"),
        ({"scope": "launch", "launch": None}, "invalid_request"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_a_wrong_request_is_told_to_the_app(ehr: Standalone, changed: dict[str, str | None], error: str) -> None:
    visit = Visit(ehr)
    answer = told(visit.authorize(**changed))
    assert (answer["error"], answer["state"]) == (error, visit.state)
    assert "code" not in answer


def test_a_launch_serves_once_and_not_for_long(ehr: Standalone) -> None:
    launched = ehr.launch()
    assert "code" in told(Visit(ehr).authorize(launch=launched))
    assert told(Visit(ehr).authorize(launch=launched))["error"] == "invalid_request"
    late = ehr.launch()
    ehr.clock.move(301)
    assert told(Visit(ehr).authorize(launch=late))["error"] == "invalid_request"


@pytest.mark.parametrize("verifier", [None, "x" * 43, ""])
def test_a_code_is_worth_nothing_without_its_verifier(ehr: Standalone, verifier: str | None) -> None:
    for client_id in ("public-app", "signing-app"):
        visit = Visit(ehr, client_id)
        answer = visit.token(visit.code(), code_verifier=verifier)
        assert answer.status_code == 400
        assert answer.json()["error"] in {"invalid_grant", "invalid_request"}


def test_a_code_that_comes_twice_ends_what_it_began(ehr: Standalone) -> None:
    visit = Visit(ehr)
    code = visit.code()
    body = visit.token(code).json()
    assert ehr.get(f"Patient/{PATIENT}", body["access_token"]).status_code == 200
    assert visit.token(code).json()["error"] == "invalid_grant"
    assert ehr.get(f"Patient/{PATIENT}", body["access_token"]).status_code == 401
    assert visit.refresh(body["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_code_is_bound_to_its_redirect_its_client_and_its_minute(ehr: Standalone) -> None:
    visit = Visit(ehr)
    assert visit.token(visit.code(), redirect_uri="https://app.example.org/").json()["error"] == "invalid_grant"
    other = Visit(ehr, "signing-app")
    other.verifier = visit.verifier
    assert other.token(visit.code()).json()["error"] == "invalid_grant"
    code = visit.code()
    ehr.clock.move(61)
    assert visit.token(code).json()["error"] == "invalid_grant"


def test_a_refresh_token_rotates_and_its_reuse_ends_the_session(ehr: Standalone) -> None:
    visit = Visit(ehr)
    first = granted(visit)
    second = visit.refresh(first["refresh_token"]).json()
    assert second["patient"] == PATIENT
    assert second["refresh_token"] != first["refresh_token"]
    assert ehr.get(f"Patient/{PATIENT}", second["access_token"]).status_code == 200
    assert visit.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"
    assert ehr.get(f"Patient/{PATIENT}", second["access_token"]).status_code == 401
    assert visit.refresh(second["refresh_token"]).json()["error"] == "invalid_grant"


def test_a_refresh_gives_no_more_than_was_granted(ehr: Standalone) -> None:
    visit = Visit(ehr)
    body = granted(visit)
    answer = visit.refresh(body["refresh_token"], scope="patient/*.cruds")
    assert answer.json()["error"] == "invalid_scope"
    assert "refresh_token" not in granted(Visit(ehr), scope="launch patient/Patient.r")


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "http://127.0.0.1/other"},
        {"iss": "public-app"},
        {"exp": 1},
        {"exp": 4102444800},
        {"jti": None},
        {"sub": "stranger"},
        {"sub": ["signing-app"]},
        {"exp": "soon"},
        {"iss": {}},
    ],
)
def test_an_assertion_that_does_not_hold_is_refused(ehr: Standalone, changed: dict[str, object]) -> None:
    visit = Visit(ehr, "signing-app")
    answer = visit.token(visit.code(), client_assertion=visit.assertion(**changed))
    assert answer.json()["error"] == "invalid_client"


def test_an_assertion_serves_once_and_no_client_does_without(ehr: Standalone) -> None:
    visit = Visit(ehr, "signing-app")
    assertion = visit.assertion()
    assert visit.token(visit.code(), client_assertion=assertion).status_code == 200
    assert visit.token(visit.code(), client_assertion=assertion).json()["error"] == "invalid_client"
    bare = {"client_assertion": None, "client_assertion_type": None, "client_id": "signing-app"}
    assert visit.token(visit.code(), **bare).json()["error"] == "invalid_client"


def test_a_launch_from_a_worklist_has_no_patient_and_opens_no_chart(ehr: Standalone) -> None:
    launched = ehr.http.post(f"{ehr.origin}/demo/launch", json={}).json()["launch"]
    body = granted(Visit(ehr), launch=launched)
    assert "patient" not in body
    assert ehr.get(f"Patient/{PATIENT}", body["access_token"]).status_code == 403


@pytest.mark.parametrize("sent", [{"patient": "nobody"}, {"patient": PATIENT, "encounter": "x"}, {"secret": "x"}, []])
def test_a_launch_of_what_is_not_there_is_refused(ehr: Standalone, sent: object) -> None:
    assert ehr.http.post(f"{ehr.origin}/demo/launch", json=sent).status_code in {400, 404}


def test_another_page_cannot_launch(ehr: Standalone) -> None:
    address = f"{ehr.origin}/demo/launch"
    assert ehr.http.post(address, content=b'{"patient":"refer-64m"}').status_code == 415
    crossing = {"Sec-Fetch-Site": "cross-site"}
    assert ehr.http.post(address, json={"patient": PATIENT}, headers=crossing).status_code == 403


def test_the_conduct_of_this_ehr_can_be_another(ehr: Standalone) -> None:
    where = f"{ehr.fhir_base}/.well-known/smart-configuration"
    usual = ehr.http.get(where).json()
    assert (usual["issuer"], usual["code_challenge_methods_supported"]) == (f"{ehr.origin}/demo/auth", ["S256"])
    assert {"launch-ehr", "permission-v2", "authorize-post"} <= set(usual["capabilities"])
    conduct(ehr, denied="access_denied")
    assert told(Visit(ehr).authorize())["error"] == "access_denied"
    ehr.ehr.conduct = Conduct(capabilities=("launch-ehr",), relative_endpoints=True)
    other = ehr.http.get(where).json()
    assert (other["token_endpoint"], other["capabilities"]) == ("/demo/auth/token", ["launch-ehr"])
    assert granted(Visit(ehr), scope="launch patient/Patient.read patient/Observation.rs")["scope"] == (
        "launch patient/Patient.read"
    )
    ehr.ehr.conduct = Conduct(signing="RS256", id_token_kid=False, omitted=frozenset({"expires_in", "patient"}))
    body = granted(Visit(ehr))
    assert not {"expires_in", "patient"} & body.keys()
    keys = KeySet.import_key_set(ehr.http.get(usual["jwks_uri"]).json())
    assert "kid" not in jwt.decode(body["id_token"], keys.keys[0], algorithms=["RS256"]).header
    ehr.ehr.conduct = Conduct(refresh=False, withheld=frozenset({"patient/Observation.rs"}))
    visit = Visit(ehr)
    body = granted(visit)
    assert "Observation" not in body["scope"]
    assert visit.refresh(body["refresh_token"]).json()["error"] == "invalid_grant"


def test_the_keys_of_an_app_are_read_from_where_it_publishes_them(ehr: Standalone) -> None:
    published = [KEY.as_dict(private=False)]

    async def jwks(_: Request) -> JSONResponse:
        return JSONResponse({"keys": published})

    with running(Starlette(routes=[Route("/.well-known/jwks.json", jwks)])) as origin:
        app = App(client_id="publisher", redirect_uris=(CALLBACK,), jwks_url=f"{origin}/.well-known/jwks.json")
        ehr.ehr.apps["publisher"] = app
        visit = Visit(ehr, "publisher")
        assert visit.token(visit.code()).status_code == 200
        published[0] = ECKey.generate_key("P-384", {"kid": "app-1", "use": "sig"}).as_dict(private=False)
        assert visit.token(visit.code()).json()["error"] == "invalid_client"
    assert visit.token(visit.code()).json()["error"] == "invalid_client"


@pytest.mark.parametrize("place", ["discovery", "authorize", "token", "keys", "fhir"])
def test_an_ehr_that_hangs_takes_the_request_and_says_nothing(ehr: Standalone, place: str) -> None:
    paths = {
        "discovery": "fhir/.well-known/smart-configuration", "authorize": "auth/authorize", "token": "auth/token",
        "keys": "auth/jwks", "fhir": f"fhir/Patient/{PATIENT}",
    }  # fmt: skip
    method = "POST" if place == "token" else "GET"
    address = f"{ehr.origin}/demo/{paths[place]}"
    conduct(ehr, hanging=frozenset({place}), hang_seconds=1.0)
    with pytest.raises(httpx.ReadTimeout):
        ehr.http.request(method, address, timeout=0.2)
    ehr.ehr.conduct = Conduct()
    assert ehr.http.request(method, address, timeout=5).status_code in {200, 400}


HOSTILE = ('"><script>alert(1)</script>', "\\", "\0", "é\n\r", "x" * 5000, "", "{{ 7*7 }}", "javascript:alert(1)")


@pytest.mark.parametrize("scope", ["launch openid patient/Patient.r", "launch/patient patient/Patient.r"])
def test_no_hostile_value_breaks_authorize_or_reaches_a_page_as_markup(ehr: Standalone, scope: str) -> None:
    tried = 0
    for name in [*Visit(ehr).question(scope=scope), "choose"]:
        for value in HOSTILE:
            question = Visit(ehr).question(scope=scope) | {name: value}
            answer = ehr.http.get(f"{ehr.origin}/demo/auth/authorize", params=question)
            assert answer.status_code in {200, 302, 400}, name
            assert "<script>" not in answer.text
            assert answer.headers.get("location", CALLBACK).startswith(CALLBACK)
            tried += 1
    assert tried >= 80


def test_no_hostile_value_breaks_token(ehr: Standalone) -> None:
    for name in ("grant_type", "code", "redirect_uri", "code_verifier", "client_id", "client_assertion"):
        for value in HOSTILE:
            visit = Visit(ehr, "signing-app" if name == "client_assertion" else "public-app")
            assert visit.token("x", **{name: value}).status_code == 400, name
