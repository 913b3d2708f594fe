"""Two peers in JavaScript: an OpenID provider whose id_token is verified, and a client library that reads our work."""

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.ehr.clinic import clinic
from tests.ehr.npm import node
from tests.ehr.openid_peer import Provider, openid_provider
from tests.ehr.standalone import PATIENT, Standalone, Visit, granted

CALLBACK = "http://127.0.0.1/callback"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with openid_provider(CALLBACK, "http://127.0.0.1/fhir") as running:
        yield running


def followed(http: httpx.Client, answer: httpx.Response) -> str:
    """The address to which the provider sends the browser in the end, which nobody opens."""
    while True:
        address = urljoin(str(answer.url), answer.headers["location"])
        if address.startswith(CALLBACK):
            return address
        answer = http.get(address)


def test_the_id_token_of_a_foreign_provider_is_verified(provider: Provider) -> None:
    verifier, nonce, state = secrets.token_urlsafe(48), secrets.token_urlsafe(8), secrets.token_urlsafe(16)
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    question = {
        "response_type": "code", "client_id": provider.client_id, "redirect_uri": CALLBACK, "nonce": nonce,
        "scope": "openid fhirUser", "state": state, "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    with httpx.Client(timeout=10) as http:
        found = http.get(f"{provider.issuer}/.well-known/openid-configuration").json()
        address = followed(http, http.get(found["authorization_endpoint"], params=question))
        told = parse_qs(urlsplit(address).query)
        assert told["state"] == [state]
        form = {"grant_type": "authorization_code", "code": told["code"][0], "redirect_uri": CALLBACK}
        form |= {"client_id": provider.client_id, "code_verifier": verifier}
        body = http.post(found["token_endpoint"], data=form).json()
        keys = KeySet.import_key_set(http.get(found["jwks_uri"]).json())
    token = jwt.decode(body["id_token"], keys, algorithms=["ES384"])
    claims = token.claims
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (provider.issuer, provider.client_id, nonce)
    assert claims["fhirUser"] == "http://127.0.0.1/fhir/Practitioner/peer-clinician"


def test_the_javascript_client_reads_an_assessment_that_was_created(ehr: Standalone) -> None:
    scope = "launch patient/Patient.r patient/RiskAssessment.crs"
    token = granted(Visit(ehr), scope=scope)
    risk = {
        "resourceType": "RiskAssessment",
        "status": "final",
        "subject": {"reference": f"Patient/{PATIENT}"},
        "prediction": [{"outcome": {"text": "Kidney failure"}, "probabilityDecimal": 0.154}],
    }
    headers = {"Authorization": f"Bearer {token['access_token']}", "Content-Type": "application/fhir+json"}
    made = ehr.http.post(f"{ehr.fhir_base}/RiskAssessment", json=risk, headers=headers)
    assert made.status_code == 201
    read = json.loads(node("assessments.mjs", json.dumps({"serverUrl": ehr.fhir_base, "tokenResponse": token})))
    assert read["patient"] == PATIENT
    assert read["assessments"] == [
        {
            "id": made.json()["id"],
            "status": "final",
            "subject": f"Patient/{PATIENT}",
            "probability": 0.154,
            "outcome": "Kidney failure",
        }
    ]


@pytest.mark.proves("R44", "fhirclient reads the assessment that the page saved: id, subject and percentage")
def test_the_javascript_client_reads_what_the_page_saved(tmp_path: Path) -> None:
    with clinic(tmp_path) as hospital:
        tab = hospital.visitor()
        tab.launch(PATIENT)
        assert "Saved to the chart." in tab.post("/save").text
        [score] = hospital.answers()[-1].scores
        [saved] = hospital.saved(PATIENT)
        token = granted(Visit(hospital.ehr), scope="launch patient/Patient.r patient/RiskAssessment.rs")
        sent = {"serverUrl": hospital.ehr.fhir_base, "tokenResponse": token}
        read = json.loads(node("assessments.mjs", json.dumps(sent)))
    [found] = read["assessments"]
    assert (found["id"], found["status"], found["subject"]) == (saved["id"], "final", f"Patient/{PATIENT}")
    first = saved["prediction"][0]
    assert found["outcome"] == first["outcome"]["text"] == score.estimates[0]["outcome"]
    assert found["probability"] == first["probabilityDecimal"]
    assert found["probability"] in [round(estimate["probability"] * 100, 6) for estimate in score.estimates]
