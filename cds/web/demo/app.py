"""Puts the demo's EHR together: its page, its FHIR server and its authorization server, here or on its own port."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from fastapi import APIRouter, Depends, FastAPI

from cds.web.demo.conduct import Conduct
from cds.web.demo.ehr import PREFIX, Ehr
from cds.web.demo.fhir import demo_fhir
from cds.web.demo.page import demo_page
from cds.web.demo.registered import App
from cds.web.demo.smart import demo_smart


def demo_ehr(ehr: Ehr) -> APIRouter:
    """Every route of the EHR, with its prefix."""
    router = APIRouter(prefix=PREFIX, include_in_schema=False)
    router.include_router(demo_smart(ehr))  # before FHIR, whose Type/id would take its .well-known
    hang = Depends(partial(ehr.at, "fhir"))
    router.include_router(demo_fhir(ehr.records, ehr.memory, ehr.today), prefix="/fhir", dependencies=[hang])
    router.include_router(demo_page(ehr.today))
    return router


def create_demo_ehr(
    clock: Callable[[], datetime], *, apps: Iterable[App] = (), conduct: Conduct | None = None
) -> FastAPI:
    """The EHR alone, for an origin of its own. Its `state.ehr` is the Ehr."""
    app = FastAPI(title="Bedside demo EHR", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.ehr = Ehr(clock, apps, conduct)
    app.include_router(demo_ehr(app.state.ehr))
    return app
