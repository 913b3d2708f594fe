"""A server whose every route can be reached for real: registered clients that sign, an EHR that launches, a chart."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import respx

from tests.cdshooks.charts import ID, Json, kidney, request
from tests.cdshooks.desk import PATH, SERVICE, Desk, site
from tests.smart.ehr import BASE as FHIR
from tests.smart.ehr import CLIENT, AuthorizationServer
from tests.trust.ehr import BASE, ISSUER, JWKS_URL, KeyServer, claims, header, key, public, signed, table, trust
from tests.web.clinic import Signer
from tests.web.smart.clinic import asked, data, field
from tests.web.smart_page.bench import Records

SAME_ORIGIN = {"sec-fetch-site": "same-origin"}
BAD_TOKENS: dict[str, Callable[[str], str]] = {
    "none": lambda _: "",
    "not a token": lambda _: "Bearer x.y.z",
    "another scheme": lambda good: good.replace("Bearer", "Basic"),
    "unsigned": lambda good: good.rpartition(".")[0] + ".",
    "another's signature": lambda good: good[:-8] + "AAAAAAAA",
    "by a stranger": lambda _: f"Bearer {signed(header(), claims(iss='https://evil.example'), key('stranger'))}",
    "of long ago": lambda _: f"Bearer {signed(header(), claims(), key())}",
    "a bomb": lambda _: f"Bearer {'e' * 9000}",
}


class Reached:
    """One server, open on loopback or for clients with tokens only."""

    def __init__(self, open_desk: Callable[..., Desk], ehr: AuthorizationServer, *, clients: bool) -> None:
        smart = {"client_id": CLIENT, "auth": "public", "frame_ancestors": ["https://ehr.example"]}
        one = table(issuer=ISSUER, jwks_url=JWKS_URL, fhir_base=FHIR, smart=smart)
        self.clients = clients
        self.records = Records(kidney())
        more: Json = {"trust": "clients", "public_url": BASE} if clients else {"fhir_servers": (FHIR,)}
        served = site(httpx.MockTransport(self._fhir), clients=(one,), **more)
        self.desk = open_desk(served, trust=trust(KeyServer(*public(key())), one) if clients else None)
        self.ehr = ehr
        self.signer = Signer(ISSUER, key(), lambda: self.desk.now)
        self.host = urlsplit(BASE).netloc if clients else "localhost"
        self.session = self.cookie = self.ticket = self.card = ""
        self._templates: Json = {}

    @classmethod
    def both(cls, open_desk: Callable[..., Desk], router: respx.MockRouter) -> "list[Reached]":
        """A server of each kind, whose users sign in at one EHR."""
        ehr = AuthorizationServer(router, lambda: made[0].desk.now)
        ehr.patient = ID
        made = [cls(open_desk, ehr, clients=clients) for clients in (False, True)]
        return made

    def _fhir(self, sent: httpx.Request) -> httpx.Response:
        sent.url = sent.url.copy_with(path=sent.url.path.replace("/fhir/r4/", "/fhir/"))
        return self.records(sent)

    def http(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"host": self.host, **SAME_ORIGIN, **options.pop("headers", {})}
        self.desk.http.cookies.clear()
        response: httpx.Response = self.desk.http.request(method, path, headers=headers, **options)
        self.desk.http.cookies.clear()
        return response

    def left(self) -> tuple[httpx.Response, dict[str, str], str]:
        """A launch on its way to sign-in: its page, the authorization request, and its cookie."""
        page = self.http("GET", f"/smart/launch?iss={FHIR}&launch=launch-1")
        assert page.status_code == 200, page.text
        return page, asked(page), page.headers["set-cookie"].partition(";")[0]

    def came_back(self) -> tuple[dict[str, str], str]:
        """What a sign-in brings back, and the cookie of the browser that began it."""
        _, wanted, cookie = self.left()
        return {"state": wanted["state"], "code": self.ehr.grant(wanted)}, cookie

    def held(self) -> dict[str, str]:
        """What a page without cookies posts after its sign-in."""
        page, wanted, _ = self.left()
        back = self.http("GET", "/smart/callback", params={"state": wanted["state"], "code": self.ehr.grant(wanted)})
        assert back.status_code == 200, back.text
        return {"launch": field(back, "launch"), "secret": data(page, "secret")}

    def open(self) -> None:
        """A session with its cookie and a ticket; the one before is forgotten."""
        sent, cookie = self.came_back()
        back = self.http("GET", "/smart/callback", params=sent, headers={"cookie": cookie})
        assert back.status_code == 303, back.text
        self.session = urlsplit(back.headers["location"]).path.split("/")[3]
        self.cookie = back.headers["set-cookie"].partition(";")[0]
        page = self.http("GET", f"/smart/app/{self.session}/{SERVICE}", headers={"cookie": self.cookie})
        assert page.status_code == 200, page.text
        self.ticket, self.card = field(page, "ticket"), field(page, "card")

    def saw(self, response: Any, *, whole: bool) -> None:
        """Keep the ticket of the page that came, for only a session's last ones are known; reopen what has ended."""
        found = re.search(r'name="ticket" value="([^"]+)"', response.text)
        self.ticket = found[1] if found else self.ticket
        if self.session and whole and (response.status_code == 401 or not found):
            self.open()

    def truth(self, method: str, path: str) -> tuple[dict[str, str], dict[str, str], str]:
        """What a request to this route would hold if it came from our own pages: its query, its form, its cookie."""
        if path in ("/smart/launch", "/smart/standalone"):
            return {"iss": FHIR}, {}, ""
        if path == "/smart/callback":
            if method == "post":
                return {}, self.held(), ""
            sent, cookie = self.came_back()
            return sent, {}, cookie
        if path == "/smart/logout":
            return {}, {"session": self.session, "ticket": self.ticket}, self.cookie
        if path.endswith("{service}/feedback"):
            return {}, {"ticket": self.ticket, "card": self.card, "verdict": "helpful"}, self.cookie
        return {}, {"ticket": self.ticket} if method == "post" and "{session}" in path else {}, self.cookie

    def shown_card(self) -> str:
        """The uuid of a card that the service shows."""
        response = self.desk.post(self.call(), host=self.host, **self.authorization(PATH))
        assert response.status_code == 200, response.text
        return str(response.json()["cards"][0]["uuid"])

    def call(self) -> Json:
        """A hook call that gets a card."""
        if not self._templates:
            found = self.http("GET", "/cds-services", headers=self.authorization("/cds-services"))
            self._templates = found.json()["services"][0]["prefetch"]
        return request(kidney(), self._templates)

    def authorization(self, path: str, bad: str | None = None) -> dict[str, str]:
        """A fresh token for this path where one is needed, or what one of the bad ones looks like."""
        if not self.clients:
            return {}
        good = self.signer.headers(path)["authorization"]
        sent = BAD_TOKENS[bad](good) if bad else good
        return {"authorization": sent} if sent else {}
