"""The gallery of models and their fact sheets: no patient is in any of it, so that whoever reaches the server may read.

Clinicians come from a card's source or from the app, auditors from outside of any chart: none of them has a token here.
"""

from collections.abc import Mapping

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from msgspec import structs
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from cds.risk.fact_sheet import SETTINGS, FactSheet
from cds.risk.source_attributes import SCHEMA
from cds.site import Site
from cds.site.sheets import fact_sheets
from cds.web.smart.headers import page_headers
from cds.web.smart.mounting import root
from cds.web.state import State

_templates = Environment(
    loader=ChoiceLoader([PackageLoader("cds.web.catalogue"), PackageLoader("cds.web.smart")]),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

# Nothing here is secret, so that the length of a packed page tells nothing.
_PACKED = [Middleware(GZipMiddleware, compresslevel=6)]


class Catalogue:
    """The pages of the site that is served: made once, for strangers may ask for them as often as they like."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._site: Site | None = None
        self._sheets: Mapping[str, FactSheet] = {}
        self._made: dict[tuple[str, str], str] = {}

    async def gallery(self, request: Request) -> Response:
        return self._page(request, "")

    async def sheet(self, request: Request) -> Response:
        return self._page(request, request.path_params["model"])

    def _page(self, request: Request, name: str) -> Response:
        self._follow()
        if name and name not in self._sheets:
            return self._sent(_templates.get_template("unknown.html").render(root=root(request)), 404)
        key = (name, root(request))
        if key not in self._made:
            self._made[key] = self._render(*key)
        return self._sent(self._made[key])

    def _follow(self) -> None:
        """Another site may be served since."""
        if self._site is not self._state.site:
            self._site, self._made = self._state.site, {}
            self._sheets = fact_sheets(self._site)
            if self._clients_only:
                self._sheets = {name: _without_settings(sheet) for name, sheet in self._sheets.items()}

    @property
    def _clients_only(self) -> bool:
        return self._state.site.settings.trust == "clients"

    def _render(self, name: str, at: str) -> str:
        site = self._state.site
        shared = {"root": at, "ready": _ready(site), "own": self._clients_only}
        if not name:
            return _templates.get_template("gallery.html").render(sheets=tuple(self._sheets.values()), **shared)
        sheet = self._sheets[name]
        return _templates.get_template("sheet.html").render(
            sheet=sheet, schema=SCHEMA, lacking="; ".join(sheet.lacking), **shared
        )

    def _sent(self, page: str, status: int = 200) -> Response:
        return HTMLResponse(page, status, page_headers(None))


def _ready(site: Site) -> frozenset[str]:
    """The models that are set up here, for the site itself or for somebody whom it serves."""
    served = (deployed for tenant in site.served() for deployed in tenant.services.values())
    return frozenset(site.models).union(*(deployed.models for deployed in served))


def _without_settings(sheet: FactSheet) -> FactSheet:
    """The sheet for a reader who did not sign in, where others must: how a site is set up is not theirs to know."""
    return structs.replace(sheet, sections=tuple(one for one in sheet.sections if one.heading != SETTINGS))


def catalogue(state: State) -> list[Route]:
    """/models and /models/ID."""
    pages = Catalogue(state)
    return [
        Route("/models", pages.gallery, methods=["GET"], middleware=_PACKED),
        Route("/models/", pages.gallery, methods=["GET"], middleware=_PACKED),
        Route("/models/{model}", pages.sheet, methods=["GET"], middleware=_PACKED),
    ]
