"""Whether the process lives, whether it can answer, and how it has been doing: no patient and no host in any of it."""

from fastapi import APIRouter, Response

from cds.errors import BedsideError
from cds.ledger.clock import TOLERATED, UNREMARKED
from cds.web.state import State


def health(state: State) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/health/startup")
    def startup(response: Response) -> dict[str, str]:
        """200 from the first time on that it was ready: an orchestrator then asks the other two."""
        state.started = state.started or all(said != "failed" for said in _checks(state).values())
        response.status_code = 200 if state.started else 503
        return {"status": "started" if state.started else "starting"}

    @router.get("/health/ready")
    def ready(response: Response) -> dict[str, object]:
        checks = _checks(state)
        ok = "failed" not in checks.values()
        state.started = state.started or ok
        response.status_code = 200 if ok else 503
        return {
            "status": "ready" if ok else "not ready",
            "checks": checks,
            "configuration": "stale" if state.stale else "current",
            "trust": state.site.settings.trust or "demo",
        }

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _checks(state: State) -> dict[str, str]:
    """Each "ok", "failed" (send callers elsewhere) or another word (look into it, but it answers)."""
    services = any(tenant.services for tenant in state.site.served())
    return {
        "draining": "failed" if state.draining or state.leaving else "ok",
        "services": "ok" if services else "none",
        "ledger": _ledger(state),
        "clock": _clock(state),
    }


def _ledger(state: State) -> str:
    """Whether a write is taken and the key opens what was sealed last; "spooling" while the database is out."""
    return "off" if state.ledger is None else state.ledger.state()


def _clock(state: State) -> str:
    if state.ledger is None:
        return "not compared"
    try:
        ahead = state.ledger.clock_ahead(state.clock)
    except BedsideError:
        return "not compared"  # the check of the ledger says why
    if ahead is None:
        return "not compared"
    return "failed" if abs(ahead) > TOLERATED else "skewed" if abs(ahead) > UNREMARKED else "ok"
