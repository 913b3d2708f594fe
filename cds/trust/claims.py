"""Decides whether a token is meant for us and for now."""

from collections.abc import Collection

from msgspec import UNSET

from cds.trust.clients import Client
from cds.trust.compact import Claims
from cds.trust.refused import NotTrusted

_LATEST = 253_402_300_799  # 9999-12-31: beyond it a number is no time


def check_claims(claims: Claims, client: Client, audience: Collection[str], now: float) -> None:
    """Raises NotTrusted unless the token names one of `audience`, is young enough, and is in time (C101, C102)."""
    named = (claims.aud,) if isinstance(claims.aud, str) else claims.aud
    if not any(one.removesuffix("/") in audience for one in named):
        raise NotTrusted("audience")
    if client.token_tenants is not None and claims.tenant not in client.token_tenants:
        raise NotTrusted("tenant")
    _check_times(claims, client, now)


def _check_times(claims: Claims, client: Client, now: float) -> None:
    leeway = client.leeway_seconds
    not_before = claims.iat if claims.nbf is UNSET else claims.nbf
    if not all(0 <= time <= _LATEST for time in (claims.exp, claims.iat, not_before)):
        raise NotTrusted("unreadable claims")
    if not 0 < claims.exp - claims.iat <= client.max_age_seconds:
        raise NotTrusted("lifetime")
    if now >= claims.exp + leeway:
        raise NotTrusted("expired")
    if claims.iat > now + leeway:
        raise NotTrusted("issued in the future")
    if not_before > now + leeway:
        raise NotTrusted("not yet valid")
