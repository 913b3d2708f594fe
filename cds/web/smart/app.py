"""The pages of the SMART app: an overview of one patient's risks, and one page for each service."""

from collections.abc import Awaitable, Callable

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cds.web.smart.acts import Acts
from cds.web.smart.pages import Pages
from cds.web.smart.rendering import MEDIA_TYPES, static_files
from cds.web.smart.visiting import Door, Note, Visit, audited
from cds.web.state import State

Work = Callable[[Request, Visit], Awaitable[Response]]

# Packing a page would let its length tell a secret only if the secret stood there again and again beside text that
# the listener chooses (BREACH). Each page has a new random ticket, whoever does not know the session's id in the path
# can ask for none, and only a form with a ticket is answered with words of its own.
PACKED = [Middleware(GZipMiddleware, compresslevel=6)]


def smart_app(state: State, door: Door, note: Note | None = None) -> list[Route]:
    """Every route under /smart/app and /smart/static. What the door raises goes through: its page is not ours."""
    pages = Pages(state, note or audited(state.ledger))
    acts = Acts(pages)

    def route(path: str, work: Work, *, unsafe: bool = False) -> Route:
        async def entered(request: Request) -> Response:
            visit = await door.enter(request, unsafe=unsafe)
            return await pages.guarded(request, visit, work)

        methods = ["POST"] if unsafe else ["GET", "POST"]
        return Route(f"/smart/app/{{session}}{path}", entered, methods=methods, middleware=PACKED)

    return [
        route("", pages.overview),
        route("/{service}", pages.service),
        route("/{service}/what-if", acts.what_if, unsafe=True),
        route("/{service}/save", acts.save, unsafe=True),
        route("/{service}/feedback", acts.feedback, unsafe=True),
        Route("/smart/static/{name}", _static(), methods=["GET"], middleware=PACKED),
    ]


def _static() -> Callable[[Request], Awaitable[Response]]:
    found = static_files()

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in found:
            return Response(status_code=404)
        body, etag = found[name]
        headers = {"ETag": etag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=MEDIA_TYPES[name.rpartition(".")[2]])

    return static
