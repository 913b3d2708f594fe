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
    smart = client.smart if client is not None else None
    framed = bool(smart and smart.frame_ancestors)
    ancestors = " ".join(smart.frame_ancestors) if smart and framed else "'none'"
    forms = "'self'" if posts_to is None else f"'self' {origin_of(posts_to)}"
    return {
        "Content-Security-Policy": f"{_SOURCES}; form-action {forms}; frame-ancestors {ancestors}",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    } | ({} if framed else {"X-Frame-Options": "DENY"})


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
