"""Decides which servers an EHR's own documents may send us to: its site, and the hosts that were registered for it."""

import re
from urllib.parse import urljoin, urlsplit

from cds.fhir.addresses import names_loopback
from cds.fhir.http import askable
from cds.smart.refused import SmartRefused
from cds.trust.urls import plain_host, safe_url

_ADDRESS = re.compile(r"[0-9.]+")
_IPV6 = re.compile(r"[0-9a-f:.]+")
_PUBLIC = frozenset({"ac", "co", "com", "edu", "go", "gob", "gov", "gouv", "ne", "net", "nhs", "nom", "or", "org"})
"""Below a country these are no organisation's: clinic.co.uk and bank.co.uk share no site."""


def endpoint(base: str, url: str, hosts: tuple[str, ...] = ()) -> str:
    """An absolute URL of a document that the EHR at `base` serves; a relative one starts there.

    Raises SmartRefused: "discovery-incomplete" unless it is https (http on this machine only) to a plain host, which is
    safe in a header too; "host-unregistered", with the host, unless that is of the base's site or one of `hosts`.
    """
    try:
        found = safe_url(urljoin(f"{base}/", url))
        netloc = urlsplit(found).netloc
    except ValueError:
        raise SmartRefused("discovery-incomplete") from None
    host = urlsplit(found).hostname or ""
    if not askable(found) or not _plain(netloc, host):
        raise SmartRefused("discovery-incomplete")
    if not registered(base, host, hosts):
        raise SmartRefused("host-unregistered", host=host)
    return found


def _plain(netloc: str, host: str) -> bool:
    """Whether it is a host with or without a port, and nothing that could end a word of a header."""
    if not netloc.lower().removeprefix("[").startswith(host):
        return False
    port = netloc.lower().removeprefix(f"[{host}]" if ":" in host else host)
    labels = bool(_IPV6.fullmatch(host)) if ":" in host else plain_host(host)
    return labels and (not port or (port[0] == ":" and port[1:].isdecimal()))


def registered(base: str, host: str, hosts: tuple[str, ...]) -> bool:
    """Whether a document of the EHR at `base` may name a host: this machine only where the base is on it."""
    own = (urlsplit(base).hostname or "").lower()
    if names_loopback(host):
        return names_loopback(own)
    return host in hosts or _one_site(own, host)


def _one_site(one: str, other: str) -> bool:
    """The same host, or a parent domain of two labels or more that is no country's common one; addresses have none."""
    if one == other:
        return True
    if any(":" in name or _ADDRESS.fullmatch(name) for name in (one, other)):
        return False
    shared: list[str] = []
    for left, right in zip(reversed(one.split(".")), reversed(other.split(".")), strict=False):
        if left != right:
            break
        shared.append(left)
    common = len(shared) == 2 and len(shared[0]) == 2 and shared[1] in _PUBLIC
    return len(shared) >= 2 and not common
