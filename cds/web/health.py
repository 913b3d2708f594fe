"""Whether the process lives, whether it can answer, and how it has been doing: no patient in any of it."""

from fastapi import APIRouter, Response

from cds.errors import BedsideError
from cds.web.state import State


def health(state: State) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/health/ready")
    def ready(response: Response) -> dict[str, object]:
        checks = {"draining": not state.draining, "services": bool(state.site.services), "ledger": _writable(state)}
        ok = checks["draining"] and checks["ledger"]
        response.status_code = 200 if ok else 503
        return {
            "status": "ready" if ok else "not ready",
            "checks": {name: "ok" if passed else "failed" for name, passed in checks.items()},
            "trust": state.site.settings.trust or "demo",
        }

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(state.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _writable(state: State) -> bool:
    if state.ledger is None:
        return True
    try:
        state.ledger.check()
    except BedsideError:
        return False
    return True
