"""Verifies who signed in at the EHR: the id_token, against the keys that its issuer publishes."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from joserfc import jws, jwt
from joserfc.errors import JoseError
from msgspec import Struct

from cds.smart.authorize import Pending
from cds.smart.discovery import LIFE_SECONDS, Configuration, Fetch, decoded
from cds.smart.hosts import endpoint
from cds.smart.refused import SmartRefused
from cds.trust.keys import Key, UnusableKeys, read_all_keys

ALGORITHMS = ("RS256", "RS384", "PS384", "ES256", "ES384")
LEEWAY_SECONDS = 60
PAUSE_SECONDS = 60.0
_LATEST = 253_402_300_799
_USER = re.compile(r"(?:Practitioner|PractitionerRole|Patient|RelatedPerson|Person)/[A-Za-z0-9\-.]{1,64}")

Keys = tuple[tuple[str | None, Key], ...]
Source = tuple[str, str, str | None]
"""FHIR base, issuer and the jwks_uri beside the endpoints: what one EHR says serves no other."""


class _OpenId(Struct, frozen=True):
    issuer: str
    jwks_uri: str


class _Held(Struct, frozen=True):
    keys: Keys
    read_at: float
    configuration: Configuration


class Identity:
    """Verifies id_tokens. An issuer's keys are kept for LIFE_SECONDS; an unknown `kid` asks again once a minute.

    Two EHRs may have one issuer, but not with different keys: then nobody knows which of them it is.
    """

    def __init__(self, fetch: Fetch, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._held: dict[Source, _Held] = {}

    async def user(self, token: str, one: Pending, now: float) -> str | None:
        """Who the launch's user is, as "Practitioner/…" on its FHIR base; None when elsewhere or not said.

        Raises SmartRefused("identity-invalid") unless signature, issuer, audience, times and nonce are right.
        """
        issuer = one.configuration.issuer or one.base
        kid, algorithm = _header(token)
        key = await self._key(issuer, one, kid, algorithm)
        try:
            claims = jwt.decode(token, key.key, algorithms=[algorithm]).claims
        except (JoseError, ValueError, TypeError):
            raise SmartRefused("identity-invalid") from None
        if not _right(claims, issuer, one, now):
            raise SmartRefused("identity-invalid")
        return user_on(one.base, claims.get("fhirUser", claims.get("profile")))

    async def _key(self, issuer: str, one: Pending, kid: str | None, algorithm: str) -> Key:
        source = (one.base, issuer, one.configuration.jwks_uri)
        held = self._held.get(source)
        age = self._monotonic() - held.read_at if held else LIFE_SECONDS
        found = _choose(held.keys, kid, algorithm) if held and age < LIFE_SECONDS else None
        if found is None and (held is None or age >= PAUSE_SECONDS):
            keys = await self._read(issuer, one.base, one.configuration)
            await self._refuse_another_claim(source, keys)
            held = self._held[source] = _Held(keys, self._monotonic(), one.configuration)
            found = _choose(held.keys, kid, algorithm)
        if found is None:
            raise SmartRefused("identity-invalid")
        return found

    async def _refuse_another_claim(self, source: Source, keys: Keys) -> None:
        """Raises SmartRefused where another EHR has this issuer with, read anew, none of these keys."""
        base, issuer, _ = source
        others = [(one[0], held) for one, held in self._held.items() if one[1] == issuer and one[0] != base]
        for other, held in others:
            if not _in_common(keys, held.keys):
                again = await self._read(issuer, other, held.configuration)  # keys are replaced now and then
                if not _in_common(keys, again):
                    raise SmartRefused("identity-invalid")

    async def _read(self, issuer: str, base: str, configuration: Configuration) -> Keys:
        status, body, _ = await self._fetch(await self._jwks_uri(issuer, base, configuration))
        if status >= 500:
            raise SmartRefused("unreachable")
        try:
            return read_all_keys(body) if status == 200 else ()
        except UnusableKeys:
            return ()

    async def _jwks_uri(self, issuer: str, base: str, configuration: Configuration) -> str:
        """What the issuer itself says; a server without openid-configuration says it beside its endpoints."""
        status, body, _ = await self._fetch(
            f"{_safe(base, issuer, configuration).rstrip('/')}/.well-known/openid-configuration"
        )
        if status == 200:
            said = decoded(body, _OpenId)
            if said.issuer != issuer:
                raise SmartRefused("identity-invalid")
            return _safe(base, said.jwks_uri, configuration)
        if configuration.jwks_uri is None:
            raise SmartRefused("identity-invalid")
        return configuration.jwks_uri


def _safe(base: str, url: str, configuration: Configuration) -> str:
    """A URL from which keys are read. Raises SmartRefused: "identity-invalid", "host-unregistered"."""
    try:
        found = endpoint(base, url, configuration.hosts)
    except SmartRefused as fault:
        raise fault if fault.host else SmartRefused("identity-invalid") from None
    if found != url:
        raise SmartRefused("identity-invalid")  # an issuer is never relative
    return found


def _header(token: str) -> tuple[str | None, str]:
    try:
        header: Mapping[str, Any] = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError):
        raise SmartRefused("identity-invalid") from None
    kid, algorithm = header.get("kid"), header.get("alg")
    if algorithm not in ALGORITHMS or not isinstance(kid, str | None):
        raise SmartRefused("identity-invalid")
    return kid, str(algorithm)


def _choose(keys: Keys, kid: str | None, algorithm: str) -> Key | None:
    """The key of this name; without a name the one that can have signed, when there is but one."""
    usable = [key for name, key in keys if algorithm in key.algorithms and (kid is None or name == kid)]
    return usable[0] if len(usable) == 1 else None


def _in_common(keys: Keys, others: Keys) -> bool:
    return bool({key.key.thumbprint() for _, key in keys} & {key.key.thumbprint() for _, key in others})


def _right(claims: Mapping[str, Any], issuer: str, one: Pending, now: float) -> bool:
    aud, party = claims.get("aud"), claims.get("azp")
    audience = [aud] if isinstance(aud, str) else aud
    expires, issued, sub = claims.get("exp"), claims.get("iat"), claims.get("sub")
    return (
        claims.get("iss") == issuer
        and isinstance(audience, list)
        and one.client_id in audience
        and party in ((one.client_id,) if len(audience) > 1 else (None, one.client_id))
        and isinstance(sub, str)
        and bool(sub)
        and _is_time(expires)
        and _is_time(issued)
        and now < expires + LEEWAY_SECONDS
        and issued <= now + LEEWAY_SECONDS
        and claims.get("nonce") == one.nonce
    )


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LATEST


def user_on(base: str, named: object) -> str | None:
    """A fhirUser on our FHIR base as a relative reference; one elsewhere is somebody we cannot name."""
    if not isinstance(named, str):
        return None
    relative = named.removeprefix(f"{base}/")
    return relative if _USER.fullmatch(relative) else None
