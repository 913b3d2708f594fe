"""Says when two URLs mean one server: nothing is forgiven that could lead a token elsewhere."""

import re
from urllib.parse import urlsplit

_BASE = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?(?P<path>/[!-~]*)?",
    re.IGNORECASE | re.ASCII,
)
_DEFAULT_PORT = {"http": "80", "https": "443"}


def same_base(sent: str, registered: str) -> bool:
    """Whether a FHIR base URL that a caller sent is the registered one.

    Only what cannot change the server is forgiven: the case of scheme and host, the default port, one slash at the end.
    A URL that two parsers could read in two ways (user, backslash, white space, query, fragment, percent signs in the
    host, other than ASCII) is no base.
    """
    return sent == registered or ((base := _plain(sent)) is not None and base == _plain(registered))


def _plain(url: str) -> tuple[str, str, str, str] | None:
    found = _BASE.fullmatch(url)
    if found is None or set(url) & set("@\\#?"):
        return None
    scheme, host = found["scheme"].lower(), found["host"].lower()
    return scheme, host, found["port"] or _DEFAULT_PORT[scheme], (found["path"] or "").removesuffix("/")


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL. Raises ValueError when it has a port that is no number."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)
