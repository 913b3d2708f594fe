"""Turns views into HTML: autoescaped always, with the headers that keep a page to its frame and out of every cache."""

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

MEDIA_TYPES = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

_templates = Environment(
    loader=PackageLoader("cds.web.smart"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["pretty"] = lambda number: f"{number:g}"


def page(template: str, headers: Mapping[str, str], status: int = 200, **values: Any) -> Response:
    """One page. `headers` (the policy of the EHR that frames it) win over what every page has."""
    html = _templates.get_template(template).render(**values)
    return HTMLResponse(html, status, {**_ALWAYS, **headers})


def static_files() -> dict[str, tuple[bytes, str]]:
    """Every static file with its ETag, read once: no path ever comes from a request."""
    folder = files("cds.web.smart") / "static"
    found = {one.name: one.read_bytes() for one in folder.iterdir() if one.name.rpartition(".")[2] in MEDIA_TYPES}
    return {name: (body, f'W/"{sha256(body).hexdigest()[:32]}"') for name, body in found.items()}
