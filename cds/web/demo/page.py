"""The demo page: a small EHR in the browser that calls this server as a hospital's system would."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from hashlib import sha256
from importlib.resources import files

import msgspec
from fastapi import APIRouter, HTTPException, Request, Response

from cds.web.demo.stories import patients_on
from cds.web.guard import CSP

_MEDIA_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_SAFE = {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
_PRIVATE = {**_SAFE, "Cache-Control": "no-store"}
_PAGE = {**_PRIVATE, "Content-Security-Policy": f"{CSP}; frame-src 'self'"}
"""The page shows apps of its own origin in a frame, and is shown in nobody's."""


def demo_page(today: Callable[[], date]) -> APIRouter:
    """The page, its patients and its static files, to be mounted beside the FHIR endpoint (`<prefix>/fhir`)."""
    router = APIRouter(include_in_schema=False)
    page = (files(__package__) / "templates" / "demo.html").read_bytes()
    static = _static_files()

    @router.get("/")
    def demo() -> Response:
        return Response(page, headers=_PAGE, media_type="text/html; charset=utf-8")

    @router.get("/patients.json")
    def patients() -> Response:
        listed = msgspec.json.encode([asdict(patient) for patient in patients_on(today())])
        return Response(listed, headers=_PRIVATE, media_type="application/json")

    @router.get("/static/{name}")
    def static_file(name: str, request: Request) -> Response:
        if name not in static:
            raise HTTPException(404)
        body, etag = static[name]
        # Asked again each time, sent again only when changed: an upgrade must not meet yesterday's script.
        headers = {**_SAFE, "Cache-Control": "no-cache", "ETag": etag}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=_MEDIA_TYPES[name.rpartition(".")[2]])

    return router


def _static_files() -> dict[str, tuple[bytes, str]]:
    """Every static file with its ETag, read once: no path ever comes from a request."""
    folder = files(__package__) / "static"
    found = {
        entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.rpartition(".")[2] in _MEDIA_TYPES
    }
    return {name: (body, f'"{sha256(body).hexdigest()[:32]}"') for name, body in found.items()}
