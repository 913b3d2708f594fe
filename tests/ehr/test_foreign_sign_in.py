"""The app behind an authorization server that others wrote: its id_token says who looks, or nobody looks."""

import base64
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from cds.web.demo.ehr import Ehr
from cds.web.demo.kept import Context, Token
from cds.web.smart.words import WORDS
from tests.ehr.clinic import CLIENT_ID, Clinic, clinic
from tests.ehr.openid_peer import Provider, openid_provider
from tests.ehr.running import free_port
from tests.ehr.standalone import PATIENT


class Behind:
    """The EHR's charts behind the other server: it signs the clinician in, and the EHR adds which chart is open."""

    def __init__(self, provider: Provider, app: FastAPI, origin: str) -> None:
        self.provider, self.origin = provider, origin
        self.ehr: Ehr = app.state.ehr
        self.said: list[str] = []
        """Every id_token that went through."""
        self.instead: str | None = None
        """Another id_token to pass on."""
        self.app = Starlette(
            routes=[
                Route("/demo/fhir/.well-known/smart-configuration", self._configuration),
                Route("/token", self._token, methods=["POST"]),
                Mount("/", app),
            ]
        )

    async def _configuration(self, _: Request) -> Response:
        async with httpx.AsyncClient() as http:
            found = (await http.get(f"{self.provider.issuer}/.well-known/openid-configuration")).json()
        told = {"issuer": found["issuer"], "authorization_endpoint": found["authorization_endpoint"]}
        return JSONResponse(told | {"token_endpoint": f"{self.origin}/token", "capabilities": ["permission-v2"]})

    async def _token(self, request: Request) -> Response:
        form = dict(await request.form())
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{self.provider.issuer}/token", data=form)
        said = answer.json()
        if answer.status_code != 200:
            return JSONResponse(said, answer.status_code)
        self.said.append(said["id_token"])
        scope = "patient/*.rs"
        self.ehr.memory.access.add(Token(CLIENT_ID, scope, Context(PATIENT), "peer"), 300, said["access_token"])
        return JSONResponse(said | {"patient": PATIENT, "scope": scope, "id_token": self.instead or said["id_token"]})


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Clinic, Behind]]:
    ports = free_port(), free_port()
    callback, origin = f"http://localhost:{ports[0]}/smart/callback", f"http://127.0.0.1:{ports[1]}"
    made: list[Behind] = []
    with openid_provider(callback, f"{origin}/demo/fhir", CLIENT_ID) as provider:

        def around(app: FastAPI) -> Starlette:
            made.append(Behind(provider, app, origin))
            return made[0].app

        folder = tmp_path_factory.mktemp("clinic")
        with clinic(folder, smart={"auth": "public"}, around=around, ports=ports) as running:
            yield running, made[0]


@pytest.mark.proves(
    "S17", "an id_token of npm oidc-provider verified by its published key, with our nonce and audience"
)
@pytest.mark.proves("S18", "its fhirUser, on our FHIR base, is the user in the ledger")
def test_the_clinician_of_a_foreign_server_is_the_user_in_the_ledger(started: tuple[Clinic, Behind]) -> None:
    running, _ = started
    page = running.visitor().launch(PATIENT)
    assert "15.4%" in page.text
    assert running.answers()[-1].user == "Practitioner/peer-clinician"


def forged(token: str) -> str:
    """The same token about somebody else, under the signature that it had."""
    head, claims, signature = token.split(".")
    told = base64.urlsafe_b64decode(claims + "==").replace(b"peer-clinician", b"chief-of-staff")
    return f"{head}.{base64.urlsafe_b64encode(told).rstrip(b'=').decode()}.{signature}"


def unsigned(token: str) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{head}.{token.split('.')[1]}."


@pytest.mark.proves("S17", "another launch's id_token, a forged one and an unsigned one: 3 refused, 0 pages")
@pytest.mark.parametrize("spoilt", [str, forged, unsigned], ids=["another launch's", "forged", "unsigned"])
def test_an_id_token_that_does_not_hold_opens_nothing(spoilt: type[str], started: tuple[Clinic, Behind]) -> None:
    running, behind = started
    running.visitor().launch(PATIENT)
    shown = len(running.answers())
    behind.instead = spoilt(behind.said[-1])
    page = running.visitor().launch(PATIENT)
    behind.instead = None
    assert (page.status_code, WORDS["identity-invalid"].title in page.text) == (403, True)
    assert len(running.answers()) == shown
