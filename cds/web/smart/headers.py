"""The headers of the app's pages, of which only the framing differs from EHR to EHR."""

from urllib.parse import urlsplit

from cds.trust.clients import Client

_SOURCES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; object-src 'none'"
)


def page_headers(client: Client | None, posts_to: str | None = None) -> dict[str, str]:
    """CSP and the rest. `posts_to`: an authorization endpoint that this page's form may be sent to.

    X-Frame-Options cannot name a list, so that it is left out where the client has one.
    """
    framed = embedded(client)
    ancestors = " ".join(client.smart.frame_ancestors) if client and client.smart and framed else "'none'"
    forms = "'self'" if posts_to is None else f"'self' {origin_of(posts_to)}"
    return {
        "Content-Security-Policy": f"{_SOURCES}; form-action {forms}; frame-ancestors {ancestors}",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    } | ({} if framed else {"X-Frame-Options": "DENY"})


def embedded(client: Client | None) -> bool:
    """Whether an EHR may show the app in a frame, where a browser may keep no cookie."""
    return client is not None and client.smart is not None and bool(client.smart.frame_ancestors)


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
