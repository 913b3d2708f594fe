"""A clinic with real parts: an EHR and Bedside, each on an origin of its own, and a visitor who is plain httpx."""

import html
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import httpx
from fastapi import FastAPI
from joserfc import jwt
from msgspec import Struct, json
from msgspec.structs import replace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cds.ledger import AnswerRecord, Keyring, Ledger
from cds.site import load_site
from cds.trust import open_trust
from cds.trust.own_keys import OwnKeys
from cds.web.app import create_app
from cds.web.demo.app import create_demo_ehr
from cds.web.demo.conduct import Conduct
from cds.web.demo.kept import Context
from cds.web.demo.registered import App
from cds.web.protocol import BoundedHttp
from cds.web.smart import views
from tests.cdshooks.desk import PATH, SERVICE, settings
from tests.ehr.running import free_port, running
from tests.ehr.standalone import APPS, KEY, Clock, Standalone

TENANT, CLIENT_ID, SIGNED = "north-clinic", "bedside", "private_key_jwt"
ISSUER = "https://ehr.example.org"
Json = dict[str, Any]


class Heard(Struct, frozen=True):
    """One request that the EHR's authorization server got, with its parameters."""

    path: str
    sent: dict[str, str]


class Listening:
    """Passes everything on to the EHR, and keeps what was sent to authorize and to token."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.heard: list[Heard] = []

    def of(self, end: str) -> list[dict[str, str]]:
        return [one.sent for one in self.heard if one.path.endswith(end)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        body = bytearray(scope.get("query_string", b"") + b"&")

        async def receiving() -> Message:
            message = await receive()
            body.extend(message.get("body", b""))
            return message

        await self.app(scope, receiving, send)
        if path.endswith(("/auth/authorize", "/auth/token")):
            self.heard.append(Heard(path, dict(parse_qsl(body.decode()))))


class Clinic(Struct):
    """The EHR is at 127.0.0.1 and Bedside at localhost: to a browser two sites. `ehr.ehr.conduct` may be replaced."""

    ehr: Standalone
    listening: Listening
    origin: str
    ledger: Ledger
    clock: Clock
    ends: ExitStack
    kind: str = ""
    """How its EHR knows us, where a test tries several."""

    def link(self, patient: str | None, encounter: str | None = None, service: str | None = None) -> str:
        """The address at which the EHR opens the app on a chart; the launch in it serves once."""
        launch = self.ehr.ehr.launch(Context(patient, encounter, service))
        return f"{self.origin}/smart/launch?iss={quote(self.ehr.fhir_base, safe='')}&launch={launch}"

    def visitor(self) -> "Visitor":
        made = Visitor(self)
        self.ends.callback(made.http.close)
        return made

    def hook(self, call: Json) -> httpx.Response:
        """The EHR asks the service, with a token that it signs."""
        now = int(self.clock().timestamp())
        claims = {"iss": ISSUER, "aud": f"{self.origin}{PATH}", "iat": now, "exp": now + 240}
        token = jwt.encode(
            {"alg": "ES384", "kid": "app-1", "typ": "JWT"}, claims | {"jti": secrets.token_hex(16)}, KEY, ["ES384"]
        )
        return self.ehr.http.post(f"{self.origin}{PATH}", json=call, headers={"Authorization": f"Bearer {token}"})

    def behave(self, **conduct: Any) -> None:
        """From now on the EHR conducts itself otherwise than EHRs usually do."""
        self.ehr.ehr.conduct = replace(Conduct(), **conduct)

    def answers(self) -> list[AnswerRecord]:
        return list(self.ledger.answers())

    def page(self) -> views.Page:
        """The page that was shown last, as the ledger has it."""
        return json.decode(self.answers()[-1].body, type=views.Page)

    def saved(self, patient: str) -> list[Json]:
        """The RiskAssessments in the EHR's chart of a patient."""
        bundle = self.ehr.http.get(f"{self.ehr.fhir_base}/RiskAssessment", params={"patient": patient}).json()
        return [entry["resource"] for entry in bundle.get("entry", ())]


class Visitor:
    """A browser tab without scripts: it keeps cookies, follows redirects and posts the forms of the page it is on."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.cookies: dict[str, str] = {}
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [self._tell], "response": [self._keep]}
        headers = {"Sec-Fetch-Dest": "document"}
        self.http = httpx.Client(timeout=30, follow_redirects=True, headers=headers, event_hooks=hooks)
        self.at = httpx.Response(200)

    def _tell(self, request: httpx.Request) -> None:
        # By hand: Python's own jar sends no Secure cookie to localhost, which browsers take for safe.
        if str(request.url).startswith(self.clinic.origin):
            request.headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def _keep(self, response: httpx.Response) -> None:
        if not str(response.url).startswith(self.clinic.origin):
            return
        for line in response.headers.get_list("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in line:
                del self.cookies[name]

    def get(self, url: str) -> httpx.Response:
        self.at = self.http.get(url)
        return self.at

    def launch(self, patient: str | None, **context: str) -> httpx.Response:
        """From the chart to whatever the launch ends in."""
        return self.get(self.clinic.link(patient, **context))

    def again(self) -> httpx.Response:
        """The same page once more."""
        return self.get(str(self.at.url))

    def standalone(self, patient: str) -> httpx.Response:
        """From our own list of health records, by way of the EHR's list of patients."""
        self.get(f"{self.clinic.origin}/smart/standalone")
        [record] = re.findall(r'<a href="(/smart/standalone[^"]*)">', self.at.text)
        self.get(f"{self.clinic.origin}{html.unescape(record)}")
        _, fields = _form(self.at.text, "authorize")
        self.at = self.http.post(str(self.at.url.copy_with(query=None)), data={**fields, "choose": patient})
        return self.at

    def post(self, what: str, **form: str) -> httpx.Response:
        """A form of this page: its action ends in `what`, its hidden fields go along."""
        action, fields = _form(self.at.text, what)
        sent = {**fields, **form}
        self.at = self.http.post(f"{self.clinic.origin}{action}", data=sent, headers={"Sec-Fetch-Site": "same-origin"})
        return self.at


def _form(page: str, what: str) -> tuple[str, dict[str, str]]:
    for action, inside in re.findall(r'<form[^>]* action="([^"#]*)[^"]*"[^>]*>(.*?)</form>', page, re.DOTALL):
        if action.endswith(what):
            hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', inside)
            return html.unescape(action), {html.unescape(name): html.unescape(value) for name, value in hidden}
    raise AssertionError(f"the page has no form for {what}")


@contextmanager
def clinic(
    folder: Path, *, smart: Mapping[str, Any] | None = None, at: datetime | None = None,
    around: Callable[[FastAPI], ASGIApp] | None = None, ports: tuple[int, int] | None = None, **otstandalone: Any,
) -> Iterator[Clinic]:  # fmt: skip
    """Both servers until the block ends. `smart` changes the registration, and `otstandalone` are settings.

    `at` is the time for both, for ever. `around` may stand between the EHR and whoever asks it. `ports`: ours, theirs.
    """
    port, ehr_port = ports or (free_port(), free_port())
    ours, theirs = f"http://localhost:{port}", f"http://127.0.0.1:{ehr_port}"
    registration = {
        "client_id": CLIENT_ID, "auth": SIGNED, "save": True, "frame_ancestors": [theirs], "standalone": True,
        **(smart or {}),
    }  # fmt: skip
    keys_url = f"{ours}/.well-known/jwks.json" if registration["auth"] == SIGNED else None
    known = App(client_id=CLIENT_ID, redirect_uris=(f"{ours}/smart/callback",), jwks_url=keys_url)
    table = {
        "tenant": TENANT, "issuer": ISSUER, "jwks": {"keys": [KEY.as_dict(private=False)]},
        "fhir_base": f"{theirs}/demo/fhir", "smart": registration,
    }  # fmt: skip
    clock = Clock(at)
    their_app = create_demo_ehr(clock, apps=(*APPS, known), conduct=Conduct())
    listening = Listening(around(their_app) if around else their_app)
    database = f"sqlite:///{folder / 'ledger.sqlite'}"
    site = load_site(settings=settings(trust="clients", public_url=ours, clients=(table,), **otstandalone))
    ledger = Ledger.open(database, Keyring.generate(), create=True, deadline=15.0)
    trust = open_trust(site.clients, ours, database)
    keys = OwnKeys.create(folder.parent / "clinic-keys.json")  # once for all clinics of a run: RSA takes its time
    app = create_app(site, ledger, clock=clock, trust=trust, keys=keys)
    with ExitStack() as stack:
        stack.enter_context(running(listening, ehr_port))
        stack.enter_context(running(app, port, "localhost", lifespan="on", http=BoundedHttp, loop="uvloop"))
        standalone = Standalone(theirs, their_app.state.ehr, clock)
        stack.callback(standalone.http.close)
        yield Clinic(standalone, listening, ours, ledger, clock, stack)


__all__ = ["CLIENT_ID", "PATH", "SERVICE", "SIGNED", "TENANT", "Clinic", "Visitor", "clinic"]
