"""The road into the SMART app: the EHR's link, its sign-in, the way back, and the way out."""

import hmac
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cds.smart import Begun, SentBack, Session, SmartApp, SmartRefused
from cds.smart.app import returned
from cds.smart.authorize import Pending
from cds.smart.launches import handle
from cds.smart.tokens import reason_of
from cds.trust.clients import Client
from cds.web.smart.audit import note_opened
from cds.web.smart.cookies import (
    LAUNCH_SECONDS,
    SESSION_SECONDS,
    drop_cookie,
    gone,
    launch_cookie,
    session_cookie,
    set_cookie,
)
from cds.web.smart.door import Door, read_form
from cds.web.smart.errors import HTML, client_of, logged, problem, render
from cds.web.smart.headers import embedded, page_headers
from cds.web.smart.mounting import root
from cds.web.smart.ready import check_smart
from cds.web.smart.showing import pages_of
from cds.web.smart.strangers import Strangers
from cds.web.smart.words import WORDS
from cds.web.state import State

LAUNCH_CHARACTERS = 2_048
KEYS_SECONDS = 60 * 60
log = structlog.get_logger("bedside")


def smart_launch(state: State, app: SmartApp, door: Door) -> list[Route]:
    """The launch's routes; what they refuse is a SmartRefused, for which the application has a handler.

    Raises SiteError for a site whose apps could not sign in.
    """
    check_smart(state.site, app.keys)
    strangers = Strangers(state, app)
    road = _Road(state, app, door, strangers)
    return [
        Route("/smart/launch", strangers.counted(road.launch), methods=["GET"]),
        Route("/smart/standalone", strangers.counted(road.standalone), methods=["GET"]),
        Route("/smart/callback", strangers.counted(road.callback), methods=["GET", "POST"]),
        Route("/smart/logout", road.logout, methods=["POST"]),
        Route("/smart/passage.js", _script(), methods=["GET"]),
        Route("/.well-known/jwks.json", road.keys, methods=["GET"]),
    ]


class _Road:
    def __init__(self, state: State, app: SmartApp, door: Door, strangers: Strangers) -> None:
        self._state = state
        self._app = app
        self._door = door
        self._strangers = strangers

    async def launch(self, request: Request) -> Response:
        """An EHR's launch: `iss` must be registered before anything is asked of it."""
        iss, launch = _one(request, "iss"), _one(request, "launch")
        if not iss:
            raise SmartRefused("issuer-missing")
        client = self._registered(iss)
        if not launch or len(launch) > LAUNCH_CHARACTERS:
            raise SmartRefused("launch-missing", client.tenant)
        return await self._begin(request, client, launch)

    async def standalone(self, request: Request) -> Response:
        """A launch from here, in which the patient is chosen at sign-in, at an EHR that is offered or is known."""
        iss, tenant = _one(request, "iss"), _one(request, "tenant")
        if iss is not None:
            return await self._begin(request, self._registered(iss), None)
        offered = {one.tenant: one for one in self._state.site.clients if _offered(one)}
        if tenant in offered:
            return await self._begin(request, self._registered(offered[tenant].fhir_base or ""), None)
        if not offered or tenant is not None:
            raise SmartRefused("no-standalone")
        page = render("standalone.html", tenants=list(offered), root=root(request))
        return Response(page, headers=page_headers(None), media_type=HTML)

    async def callback(self, request: Request) -> Response:
        """The way back from sign-in; POST is a page without cookies that brings its launch's secret instead."""
        if request.method == "POST":
            self._door.check_origin(request, None)
            form = await read_form(request)
            one = self._app.launches.claim(form.get("launch", ""), form.get("secret", ""))
            return await self._opened(request, one, one.code or "", by_cookie=False)
        if request.method != "GET":  # nor end one
            return Response(status_code=405)
        state, error, code = _one(request, "state"), _one(request, "error"), _one(request, "code")
        if not state and error:
            raise SentBack(reason_of(error))
        one = self._app.launches.take(state)
        code = returned(one, code=code, error=error, iss=_one(request, "iss"))
        cookie = request.cookies.get(launch_cookie(handle(one.state)))
        if cookie is None:
            return self._without_cookie(request, one, code)
        if not hmac.compare_digest(cookie.encode(), one.cookie.encode()):
            raise SmartRefused("other-browser", one.tenant)
        return await self._opened(request, one, code, by_cookie=True)

    async def logout(self, request: Request) -> Response:
        form = await read_form(request)
        visit = self._door.admit(request, form.pop("session", ""), form, unsafe=True)
        client = client_of(self._state, visit.session.tenant)
        self._door.leave(visit.session)
        said = problem(request, "logged-out", client)
        said.headers.append("set-cookie", drop_cookie(session_cookie(visit.session.id), embedded=embedded(client)))
        return said

    async def keys(self, _: Request) -> Response:
        """Our public keys, for whoever asks: an authorization server verifies our assertions with them."""
        body = self._app.keys.public() if self._app.keys is not None else b'{"keys":[]}'
        return Response(
            body, headers={"Cache-Control": f"public, max-age={KEYS_SECONDS}"}, media_type="application/json"
        )  # fmt: skip

    def _registered(self, iss: str) -> Client:
        client = self._state.site.clients.of_fhir_base(iss)
        if client is None or client.tenant not in self._state.site.tenants:
            raise SmartRefused("issuer-unknown")
        return client

    async def _begin(self, request: Request, client: Client, launch: str | None) -> Response:
        if request.method != "GET":  # Starlette lets HEAD in, and a preview of a link must not begin a sign-in
            return Response(status_code=405)
        by = self._strangers.key(request)
        self._strangers.refuse_more(by, client.tenant)
        services = self._state.site.tenants[client.tenant].services.values()
        types = {need.resource_type for deployed in services for need in deployed.needs}
        begun = await self._app.begin(client, types, f"{self._door.base(request)}/smart/callback", launch, by)
        log.info("smart", reason="launched", tenant=client.tenant)
        said = _leaving(request, client, begun)
        name = launch_cookie(handle(begun.pending.state))
        said.headers.append(
            "set-cookie", set_cookie(name, begun.pending.cookie, LAUNCH_SECONDS, embedded=embedded(client))
        )  # fmt: skip
        return said

    def _without_cookie(self, request: Request, one: Pending, code: str) -> Response:
        """Ask the page for the secret that /smart/launch gave this tab; without it, offer a tab of its own."""
        client = self._registered(one.base)
        page = render(
            "returning.html",
            words=WORDS["cookies-blocked"],
            correlation=logged("cookies-blocked", client),
            again=f"{root(request)}/smart/{_again(one)}",
            root=root(request),
            held=self._app.launches.hold(one, code),
            name=handle(one.state),
        )
        return Response(page, headers=page_headers(client), media_type=HTML)

    async def _opened(self, request: Request, one: Pending, code: str, *, by_cookie: bool) -> Response:
        """The session, under an id and a cookie that the browser has not seen before."""
        client = self._registered(one.base)
        session = await self._app.complete(client, one, code)
        try:
            await note_opened(self._state, session)
        except SmartRefused:
            self._door.leave(session)
            raise
        log.info("smart", reason="opened", tenant=client.tenant)
        home = f"{root(request)}/smart/app/{session.id}{self._page(session)}"
        session.cookie_only = by_cookie
        if by_cookie:
            said = Response(status_code=303, headers={**page_headers(client), "Location": home})
        else:
            page = render("entering.html", action=home, ticket=session.tickets.give(), root=root(request))
            said = Response(page, headers=page_headers(client), media_type=HTML)
        for line in self._cookies(request, one, session, embedded=embedded(client)):
            said.headers.append("set-cookie", line)
        return said

    def _page(self, session: Session) -> str:
        """The page that the card's link meant, or the only one there is; else the overview."""
        services = self._state.site.tenants[session.tenant].services
        live = [deployed.service.id for deployed in pages_of(services.values())]
        named = [id_ for id_ in live if id_ == session.app_context] or live
        return f"/{named[0]}" if len(named) == 1 else ""

    def _cookies(self, request: Request, one: Pending, session: Session, *, embedded: bool) -> list[str]:
        """This session's cookie. The launch's goes, and so do those of sessions that are gone, but no open chart's."""
        stale = [launch_cookie(handle(one.state)), *gone(request.cookies, self._app.sessions.ids())]
        made = set_cookie(session_cookie(session.id), session.new_cookie(), SESSION_SECONDS, embedded=embedded)
        return [made, *(drop_cookie(name, embedded=embedded) for name in stale)]


def _leaving(request: Request, client: Client, begun: Begun) -> Response:
    """A redirect where a cookie will do; in a frame a page, whose script keeps the launch's secret in its tab."""
    asked = begun.request
    in_a_tab = request.headers.get("sec-fetch-dest") == "document" or not embedded(client)
    if in_a_tab and not asked.post:
        return Response(status_code=303, headers={**page_headers(client), "Location": asked.url})
    page = render(
        "leaving.html",
        action=asked.action if asked.post else asked.url,
        fields=asked.fields if asked.post else (),
        name=handle(begun.pending.state),
        secret=begun.pending.page,
        root=root(request),
    )
    return Response(page, headers=page_headers(client, asked.action if asked.post else None), media_type=HTML)


def _again(one: Pending) -> str:
    """The way into a tab of its own. Many launches serve once, and this one did: better to have the patient chosen."""
    iss = quote(one.base, safe="")
    if one.launch is None or one.configuration.offers_patients:
        return f"standalone?iss={iss}"
    return f"launch?iss={iss}&launch={quote(one.launch, safe='')}"


def _offered(client: Client) -> bool:
    return client.smart is not None and client.smart.standalone and not client.revoked


def _one(request: Request, name: str) -> str | None:
    """A parameter of the address. Raises SmartRefused("request-unusable") when it stands there twice."""
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise SmartRefused("request-unusable")
    return values[0] if values else None


def _script() -> Callable[[Request], Response]:
    body = (files("cds.web.smart") / "passage.js").read_bytes()
    headers = {"Cache-Control": "no-cache", "ETag": f'"{sha256(body).hexdigest()[:32]}"'}

    def script(request: Request) -> Response:
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="text/javascript")

    return script
