"""How an error reaches the caller: its status, an OperationOutcome, and never a patient's data."""

import uuid

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cds.cdshooks.outcomes import body_of, status_of
from cds.errors import BedsideError, MalformedRequest, Overloaded, RequestError, UnknownService, UnsupportedMedia

JSON = "application/json; charset=utf-8"
NO_STORE = {"Cache-Control": "no-store"}
log = structlog.get_logger("bedside")


def error_response(error: Exception, correlation: str | None = None) -> Response:
    """The answer to a failure. What is our own fault is logged by kind under the id that the caller gets."""
    correlation = correlation or str(uuid.uuid4())
    status = status_of(error)
    if status >= 500:
        where = getattr(error, "where", "")
        log.error("failed", correlation=correlation, kind=type(error).__name__, status=status, where=where)
    headers = dict(NO_STORE)
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(error.retry_after)
    return Response(body_of(error, correlation), status, headers, media_type=JSON)


async def on_http(request: Request, error: Exception) -> Response:
    """Exception handler for what the router itself refuses."""
    if not isinstance(error, HTTPException):
        raise error
    causes: dict[int, BedsideError] = {
        404: UnknownService("there is nothing at this address"),
        405: RequestError(f"{request.method} is not allowed here"),
        415: UnsupportedMedia("JSON is expected"),
    }
    cause = causes.get(error.status_code, MalformedRequest("the request cannot be used"))
    headers = {**NO_STORE, **(error.headers or {})}
    return Response(body_of(cause), error.status_code, headers, media_type=JSON)
