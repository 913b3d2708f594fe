"""Shows one clear page for each way in which a launch or a session ends, and logs which it was."""

import uuid
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any

import structlog
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from cds.smart import Reason, SentBack, SmartRefused
from cds.trust.clients import Client
from cds.web.smart.audit import Refusals
from cds.web.smart.door import Knock, Visit
from cds.web.smart.headers import page_headers
from cds.web.smart.mounting import root
from cds.web.smart.words import WORDS
from cds.web.state import State

WAIT_SECONDS = 60
AGAIN: frozenset[Reason] = frozenset({"unreachable", "not-recorded"})
"""What may be over in a minute: whoever is in a session can try once more."""
HTML = "text/html; charset=utf-8"
log = structlog.get_logger("bedside")


@cache
def environment() -> Environment:
    """The templates. Everything a chart or a server says is escaped."""
    return Environment(
        loader=PackageLoader("cds.web.smart"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )  # fmt: skip


def render(template: str, **members: Any) -> str:
    return environment().get_template(template).render(**members)


def problem(
    request: Request, reason: Reason, client: Client | None, *, status: int | None = None, host: str | None = None
) -> Response:
    """The page of a reason, with the status that its words have unless told otherwise.

    `host`: the server that the site would have to register.
    """
    visit = _visit(request) if reason in AGAIN else None
    page = render(
        "refused.html",
        words=WORDS[reason],
        correlation=logged(reason, client, host),
        host=host,
        root=root(request),
        visit=visit,
        again=_again(request, visit) if visit else "",
    )
    status = status or WORDS[reason].status
    waits = {"Retry-After": str(WAIT_SECONDS)} if status in (429, 503) else {}
    return Response(page, status, {**page_headers(client), **waits}, media_type=HTML)


def logged(reason: Reason, client: Client | None, host: str | None = None) -> str:
    """Log why a launch or a session does not go on; the code under which the page tells support where to look."""
    correlation = str(uuid.uuid4())
    level = log.info if WORDS[reason].status < 400 else log.warning
    more = {"host": host} if host else {}
    level("smart", reason=reason, tenant=client.tenant if client else None, correlation=correlation, **more)
    return correlation


def on_refused(state: State) -> Callable[[Request, Exception], Coroutine[Any, Any, Response]]:
    """The handler that an application registers for SmartRefused, whichever page raised it."""
    refusals = Refusals(state)

    async def shown(request: Request, error: Exception) -> Response:
        if not isinstance(error, SmartRefused):
            raise error
        status = WORDS[error.reason].status
        if isinstance(error, SentBack):
            status = 400 if status >= 500 else status  # an address is a request, whatever it says of a server
        await refusals.note(request, error, status)
        return problem(request, error.reason, client_of(state, error.tenant), status=status, host=error.host)

    return shown


def _visit(request: Request) -> Visit | None:
    """A visitor whose session goes on: without cookies his last ticket is spent, and he needs the next one."""
    knock: Knock | None = getattr(request.state, "knock", None)
    return knock.visit if knock is not None and not knock.session.ended else None


def _again(request: Request, visit: Visit) -> str:
    """The session's first page: nothing else of the address, which anybody may have written, is repeated."""
    return f"{root(request)}/smart/app/{visit.session.id}"


def client_of(state: State, tenant: str | None) -> Client | None:
    """The client of a tenant's name, whose EHR may frame the page."""
    return next((one for one in state.site.clients if one.tenant == tenant and not one.revoked), None)
