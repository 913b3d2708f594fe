"""Checks the addresses that a site writes down, so that a slip stops the start and not a call."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
NAME = 255
"""Characters in an issuer, a jti or any other name that is compared, kept or logged."""


def safe_url(url: str) -> str:
    """The URL, or a ValueError unless it is https (http on loopback only) without user, fragment or blanks."""
    parts = urlsplit(url)
    plain = bool(parts.hostname) and "@" not in parts.netloc and "#" not in url and url.isprintable() and " " not in url
    if not plain or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)):
        raise ValueError("write an https URL without user and fragment (http only on this machine itself)")
    _ = parts.port  # a port that is no number raises here, at the start
    return url


def base_url(url: str) -> str:
    """A base to which paths are added: no query, and no slash at its end."""
    if "?" in safe_url(url):
        raise ValueError("a base URL has no query")
    return url.rstrip("/")


def origin_url(url: str) -> str:
    parts = urlsplit(safe_url(url))
    if parts.path or parts.query:
        raise ValueError("an origin is scheme://host or scheme://host:port, with nothing after it")
    return url


def issuer_name(issuer: str) -> str:
    if issuer != issuer.strip() or not issuer.isprintable():
        raise ValueError("an issuer is compared character by character: it cannot begin or end with a space")
    return issuer


def plain_host(host: str) -> bool:
    """Whether it is a name in lower case, or an IPv4 address: labels of letters, digits, - and _."""
    return len(host) <= NAME and all(map(_LABEL.fullmatch, host.split(".")))


def host_name(host: str) -> str:
    if not plain_host(host) or host in _LOOPBACK:
        raise ValueError("a host is written as in login.example.org: lower case, no scheme, port or path, not loopback")
    return host


SafeUrl = Annotated[str, AfterValidator(safe_url)]
BaseUrl = Annotated[str, AfterValidator(base_url)]
Origin = Annotated[str, AfterValidator(origin_url)]
HostName = Annotated[str, AfterValidator(host_name)]
Issuer = Annotated[str, Field(min_length=1, max_length=NAME), AfterValidator(issuer_name)]
