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
from cds.web.smart.audit import note_refused
from cds.web.smart.headers import page_headers
from cds.web.smart.words import WORDS
from cds.web.state import State

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


def problem(reason: Reason, client: Client | None, status: int | None = None) -> Response:
    """The page of a reason, with the status that its words have unless told otherwise."""
    page = render("refused.html", words=WORDS[reason], correlation=logged(reason, client))
    return Response(page, status or WORDS[reason].status, page_headers(client), media_type=HTML)


def logged(reason: Reason, client: Client | None) -> str:
    """Log why a launch or a session does not go on; the code under which the page tells support where to look."""
    correlation = str(uuid.uuid4())
    level = log.info if WORDS[reason].status < 400 else log.warning
    level("smart", reason=reason, tenant=client.tenant if client else None, correlation=correlation)
    return correlation


def on_refused(state: State) -> Callable[[Request, Exception], Coroutine[Any, Any, Response]]:
    """The handler that an application registers for SmartRefused, whichever page raised it."""

    async def shown(request: Request, error: Exception) -> Response:
        if not isinstance(error, SmartRefused):
            raise error
        await note_refused(state, error, request.url.path)
        status = WORDS[error.reason].status
        if isinstance(error, SentBack):
            status = 400 if status >= 500 else status  # an address is a request, whatever it says of a server
        return problem(error.reason, client_of(state, error.tenant), status)

    return shown


def client_of(state: State, tenant: str | None) -> Client | None:
    """The client of a tenant's name, whose EHR may frame the page."""
    return next((one for one in state.site.clients if one.tenant == tenant and not one.revoked), None)
