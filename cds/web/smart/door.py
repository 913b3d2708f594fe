"""Lets a visitor in to a session: by its cookie, or by the one-time ticket that its last page posted."""

from urllib.parse import parse_qsl

from msgspec import Struct
from starlette.requests import ClientDisconnect, Request

from cds.smart import Session, SessionEnded, SmartApp, SmartRefused
from cds.trust.clients import Client
from cds.web.smart.cookies import session_cookie
from cds.web.smart.headers import embedded, origin_of, page_headers
from cds.web.state import State

FORM_BYTES = 64 * 1024
FIELDS = 200
_PATIENT = frozenset({"patient", "patientid", "patient_id", "subject"})


class Visit(Struct, frozen=True):
    """Somebody who may see the session's patient. `ticket` belongs into every form of the page, `headers` on it."""

    session: Session
    form: dict[str, str]
    ticket: str
    by_cookie: bool
    headers: dict[str, str]

    def __repr__(self) -> str:
        return f"Visit({self.session!r})"


class Knock(Struct):
    """Whoever stands at the door of an open session, whether he has proven that it is his, and how he was let in.

    Kept as `request.state.knock`, for what is said and noted when the page cannot be shown.
    """

    session: Session
    proven: bool = False
    visit: Visit | None = None


class Door:
    """Guards every page of a session."""

    def __init__(self, state: State, app: SmartApp) -> None:
        self._state = state
        self._app = app

    async def enter(self, request: Request, *, unsafe: bool = False) -> Visit:
        """The visit of a request to /smart/app/{session}/….

        Work that changes or discloses anything more is `unsafe`: it needs the ticket besides the cookie, and a browser
        that says the form stood on a page of ours. Raises SessionEnded, or SmartRefused: "forged", "another-patient",
        "request-unusable".
        """
        form = await read_form(request) if request.method == "POST" else {}
        return self.admit(request, request.path_params["session"], form, unsafe=unsafe)

    def admit(self, request: Request, id: str, form: dict[str, str], *, unsafe: bool) -> Visit:  # noqa: A002
        """As `enter`, with the session's id and the posted form at hand."""
        session = self._app.sessions.find(id)
        client = self._client(session)
        knock = request.state.knock = Knock(session)
        cookie = request.cookies.get(session_cookie(session.id))
        knock.proven = by_cookie = cookie is not None and session.holds(cookie)
        if request.method not in {"GET", "HEAD"} or unsafe:
            self.check_origin(request, session.tenant)
        session.cookie_only = session.cookie_only or by_cookie or not embedded(client)
        ticket = form.pop("ticket", "")
        if not by_cookie and not session.cookie_only:
            knock.proven = session.tickets.spend(ticket, _sent(request, form))
        if not knock.proven:
            raise SessionEnded("session-ended", session.tenant)
        if by_cookie and unsafe and not session.tickets.known(ticket):
            raise SmartRefused("forged", session.tenant)
        _refuse_another_patient(request, form, session)
        session.touch()
        knock.visit = Visit(session, form, session.tickets.give(), by_cookie, page_headers(client))
        return knock.visit

    def leave(self, session: Session) -> None:
        self._app.sessions.close(session)

    def check_origin(self, request: Request, tenant: str | None) -> None:
        """Raises SmartRefused("forged") unless the browser says that a page of ours sends this.

        Our pages have no referrer, and so a form's Origin is "null": then only Sec-Fetch-Site tells.
        """
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        foreign = origin not in (None, "null", self.origin(request))
        said = site == "same-origin" if site is not None else origin not in (None, "null")
        if foreign or not said:
            raise SmartRefused("forged", tenant)

    def origin(self, request: Request) -> str:
        return origin_of(self.base(request))

    def base(self, request: Request) -> str:
        """Our own address: what the site says, or on this machine what it was called by."""
        return self._state.site.settings.public_url or str(request.base_url).rstrip("/")

    def _client(self, session: Session) -> Client:
        """Raises SessionEnded when its client has been revoked or taken out since."""
        client = self._state.site.clients.of_fhir_base(session.fhir_base)
        if client is None or client.tenant != session.tenant:
            self.leave(session)
            raise SessionEnded("session-ended")
        return client


async def read_form(request: Request) -> dict[str, str]:
    """A posted form, each field once. Raises SmartRefused("request-unusable") for anything else."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise SmartRefused("request-unusable")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_BYTES:
                raise SmartRefused("request-unusable")
    except ClientDisconnect:
        raise SmartRefused("request-unusable") from None  # nobody reads the answer; it is no failure of ours
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS, strict_parsing=bool(body))
    except ValueError:
        raise SmartRefused("request-unusable") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise SmartRefused("request-unusable")
    return form


def _sent(request: Request, form: dict[str, str]) -> str:
    """What a double click sends again: the same form to the same page, from the same browser at the same address."""
    address = request.client.host if request.client else ""
    return repr((address, request.headers.get("user-agent"), request.url.path, request.url.query, sorted(form.items())))


def _refuse_another_patient(request: Request, form: dict[str, str], session: Session) -> None:
    """The launch's patient is the only one: an address that names another is refused, not ignored."""
    named = [*request.query_params.multi_items(), *form.items()]
    ids = (value.removeprefix("Patient/") for name, value in named if name.lower() in _PATIENT)
    if any(one != session.patient_id for one in ids):
        raise SmartRefused("another-patient", session.tenant)
