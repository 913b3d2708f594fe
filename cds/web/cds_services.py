"""The CDS Hooks endpoints: discovery, a hook call, and feedback."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cds.cdshooks.answer import Answer, Deployed, answer, kind, missing, overdue
from cds.cdshooks.discovery import discovery
from cds.cdshooks.duplicates import leave_out_duplicates
from cds.cdshooks.feedback import read_feedback
from cds.cdshooks.muting import mute
from cds.cdshooks.outcomes import status_of
from cds.cdshooks.record import record_of
from cds.errors import BedsideError, LedgerUnavailable, ModelFailed, Overloaded, TooManyCalls, UnknownService
from cds.ledger import RECALL, Ledger
from cds.risk.estimate import NotScored
from cds.settings import Settings
from cds.site import Tenant
from cds.trust import NotTrusted
from cds.web.body import read_body
from cds.web.errors import JSON, NO_STORE, error_response
from cds.web.state import State

log = structlog.get_logger("bedside")


def cds_services(state: State) -> list[Route]:
    """Plain Starlette routes: the framework's own body parsing would cost more than the whole answer."""

    async def discover(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": "GET, HEAD, OPTIONS"})
        return await _told(state, request, _discover)

    async def call(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": "POST, OPTIONS"})
        return await _told(state, request, _call)

    async def feedback(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": "POST, OPTIONS"})
        return await _told(state, request, _feedback)

    return [
        Route("/cds-services/{id}", call, methods=["POST", "OPTIONS"]),
        *(Route(f"/cds-services{slash}", discover, methods=["GET", "OPTIONS"]) for slash in ("", "/")),
        *(Route(f"/cds-services/{{id}}/feedback{slash}", feedback, methods=["POST", "OPTIONS"]) for slash in ("", "/")),
        Route("/cds-services/{id}/", call, methods=["POST", "OPTIONS"]),
    ]


async def _told(state: State, request: Request, work: Callable[[State, Request], Awaitable[Response]]) -> Response:
    try:
        return await work(state, request)
    except NotTrusted as error:
        await state.audit.turned_away(error)
        return _turned_away(state, error)
    except TooManyCalls as error:
        await state.audit.limited(error.tenant)
        return _refused(state, error)
    except BedsideError as error:
        return _refused(state, error)
    except ClientDisconnect:
        return Response(status_code=400)
    except Exception as error:  # noqa: BLE001 - the outermost guard: an unknown fault is a 500 that names no patient
        return _refused(state, ModelFailed(type(error).__name__, cause=error))


def _turned_away(state: State, error: NotTrusted) -> Response:
    """One and the same bare 401, whatever the reason, which only our own log tells."""
    state.metrics.refused(401)
    log.warning("not trusted", reason=error.reason, tenant=error.tenant)
    return Response(status_code=401, headers=_BARE)


_BARE = {"WWW-Authenticate": "Bearer", **NO_STORE}


def _refused(state: State, error: BedsideError) -> Response:
    state.metrics.refused(status_of(error))
    return error_response(error)


async def _discover(state: State, request: Request) -> Response:
    """The caller's own services; to anybody, where the site lets it be read openly, those of every client."""
    site = state.site
    if site.settings.discovery == "open":
        services = {id_: found for tenant in site.served() for id_, found in tenant.services.items()}
    else:
        services = dict((await _tenant(state, request)).services)
    document = msgspec.json.encode(discovery(services.values(), site.settings.cds_hooks))
    etag = f'"{sha256(document).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "max-age=300" if state.trust is None else "private, max-age=300"}
    known = request.headers.get("if-none-match", "")
    if etag in known or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    return Response(document, headers=headers, media_type=JSON)


async def _tenant(state: State, request: Request, service: str | None = None) -> Tenant:
    sent = [value.decode("latin-1") for name, value in request.scope["headers"] if name == b"authorization"]
    address = request.client.host if request.client else ""
    return await state.tenant(sent, request.scope["path"], service, address)


async def _deployed(state: State, request: Request) -> tuple[Tenant, Deployed]:
    """The caller's tenant, and the service that is called as that tenant has it."""
    service = request.path_params["id"]
    tenant = await _tenant(state, request, service)
    deployed = tenant.services.get(service)
    if deployed is None:
        raise UnknownService("there is no such service here, or it is off")
    return tenant, deployed


async def _call(state: State, request: Request) -> Response:
    settings = state.site.settings  # of this call to its end, whatever site is served by then
    tenant, deployed = await _deployed(state, request)
    with state.place(deployed.tenant):
        return await _answered(state, request, tenant, deployed, settings)


async def _answered(state: State, request: Request, tenant: Tenant, deployed: Deployed, settings: Settings) -> Response:
    body = await read_body(request, settings.body_bytes)
    started = time.perf_counter()
    said = await answer(deployed, body, state.clock())
    del body
    worked = time.perf_counter() - started
    if worked > _budget(settings, said) and said.error is None and deployed.settings.stage == "live":
        overdue(said)
    elif state.ledger is not None:
        await _quieter(said, deployed, tenant, state.ledger, settings.mute_days)
    seconds = time.perf_counter() - started
    sent = await _recorded(state, said, deployed)
    await state.audit.mismatched(said, deployed)
    _observe(state, said, deployed, seconds)
    return Response(sent, said.status, _headers(said), media_type=JSON)


async def _quieter(said: Answer, deployed: Deployed, tenant: Tenant, ledger: Ledger, days: int) -> None:
    """Leave out what another card says already, and let rest what was answered: what is left out is not compared."""
    with suppress(TimeoutError):
        async with asyncio.timeout(RECALL):  # for both: a slow ledger must not cost the card its time
            await leave_out_duplicates(said, deployed, tenant.services.values(), ledger.shown)
            await mute(said, deployed, ledger.reacted, days)


async def _recorded(state: State, said: Answer, deployed: Deployed) -> bytes:
    """The bytes to send. A shadow answer discloses nothing, so it goes out even when it cannot be recorded."""
    if state.ledger is None:
        return said.body
    try:
        return await state.ledger.record(record_of(said, deployed))
    except LedgerUnavailable as error:
        if deployed.settings.stage != "shadow":
            raise
        state.metrics.refused(status_of(error))
        log.warning("not recorded", correlation=said.id, service=deployed.service.id)
        return said.body


def _budget(settings: Settings, said: Answer) -> float:
    return settings.answer_seconds + (settings.fetch_seconds if said.fetched else 0.0)


def _headers(said: Answer) -> dict[str, str]:
    if isinstance(said.error, Overloaded):
        return {**NO_STORE, "Retry-After": str(said.error.retry_after)}
    return NO_STORE


def _observe(state: State, said: Answer, deployed: Deployed, seconds: float) -> None:
    service = deployed.service.id
    state.metrics.answered(service, kind(said, deployed), said.status, seconds)
    for outcome in said.outcomes.values():
        if isinstance(outcome, NotScored):
            state.metrics.not_scored(outcome.model, outcome.reason)
    for model in said.failed:
        state.metrics.not_scored(model, "model-failed")
    for key in missing(said):
        state.metrics.missing(service, key)
    if said.error is not None:
        level = log.error if status_of(said.error) >= 500 else log.warning
        cause = {"missing": missing(said)} if missing(said) else {"where": getattr(said.error, "where", "")}
        level("not answered", correlation=said.id, service=service, kind=type(said.error).__name__, **cause)


async def _feedback(state: State, request: Request) -> Response:
    _, deployed = await _deployed(state, request)
    with state.place(deployed.tenant):
        return await _kept(state, request, deployed)


async def _kept(state: State, request: Request, deployed: Deployed) -> Response:
    body = await read_body(request, state.site.settings.body_bytes)
    records = read_feedback(body, deployed.tenant, deployed.service.id, state.clock())
    if state.ledger and records:
        await state.ledger.feedback(records)
    for record in records:
        state.metrics.feedback(record.service, record.outcome)
    return Response(b"{}", 200, NO_STORE, media_type=JSON)
