"""Says under which path a browser finds this server: before each of our own paths in links, forms and redirects."""

from urllib.parse import urlsplit

from starlette.requests import Request


def root(request: Request) -> str:
    """The path of the site's public_url; without one, that at which another application mounts this one."""
    state = getattr(request.app.state, "bedside", None)
    public_url = state.site.settings.public_url if state is not None else None
    return urlsplit(public_url).path if public_url else str(request.scope.get("root_path", ""))
