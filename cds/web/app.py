"""Puts the rooms together: one application over one site."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse

from cds.ledger import Ledger
from cds.site import Site
from cds.smart import SmartApp, SmartRefused
from cds.trust import Trust
from cds.trust.own_keys import OwnKeys
from cds.web.catalogue.pages import catalogue
from cds.web.cds_services import cds_services
from cds.web.errors import on_http
from cds.web.guard import Guard
from cds.web.health import health
from cds.web.keeping import keep, let_go
from cds.web.origins import NamedOrigins
from cds.web.smart.app import smart_app
from cds.web.smart.door import Door
from cds.web.smart.errors import on_refused
from cds.web.smart.launch import smart_launch
from cds.web.state import State, utc_now


def create_app(
    site: Site,
    ledger: Ledger | None = None,
    *,
    demo: bool = False,
    clock: Callable[[], datetime] = utc_now,
    trust: Trust | None = None,
    keys: OwnKeys | None = None,
) -> FastAPI:
    """The application. Without a ledger nothing is recorded: only benchmarks do that.

    `trust` verifies the callers' tokens, `keys` sign for the SMART app. Raises UnsafeToServe unless `trust` is there
    exactly where the site has clients.
    """
    state = State(site, ledger, clock, trust)
    smart = SmartApp(keys, clock)
    door = Door(state, smart)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await keep(state.site)
        await state.audit.activated(state.site)
        try:
            yield
        finally:
            state.draining = True
            await let_go(state.site)  # which another may have taken the place of since
        if ledger is not None:
            ledger.close()

    app = FastAPI(
        title="Bedside",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        routes=[
            *cds_services(state),
            *smart_launch(state, smart, door),
            *smart_app(state, door),
            *catalogue(state),
        ],
        redirect_slashes=False,  # it would repeat a sign-in's code and any name that the Host header gives
        middleware=_middleware(state),
        exception_handlers=dict.fromkeys((404, 405, 422), on_http) | {SmartRefused: on_refused(state)},
    )
    app.state.bedside = state
    app.include_router(health(state))
    if demo:
        _add_demo(app, state)
    return app


def _middleware(state: State) -> list[Middleware]:
    return [
        Middleware(Guard, loopback_only=state.site.settings.trust != "clients"),
        Middleware(NamedOrigins, state=state),
    ]


def _add_demo(app: FastAPI, state: State) -> None:
    from cds.web.demo.app import demo_ehr
    from cds.web.demo.ehr import Ehr
    from cds.web.demo.registered import bedside

    url = state.site.settings.public_url
    app.state.demo_ehr = Ehr(state.clock, [bedside(url)] if url else [])
    app.include_router(demo_ehr(app.state.demo_ehr))

    @app.get("/", include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse(f"{url or ''}/demo/", status_code=302)  # by the one name that the EHR is registered by
