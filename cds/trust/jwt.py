"""Verifies the JWT of a CDS Hooks call, so that only a registered EHR is answered, once for each token."""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import UNSET, Struct

from cds.errors import SiteError
from cds.trust.claims import check_claims
from cds.trust.clients import Client, Clients
from cds.trust.compact import Compact, Header, take_apart
from cds.trust.jwks import PublicKeys
from cds.trust.refused import NotTrusted
from cds.trust.replay import ReplayStore, Use

Admit = Callable[[Client], None]
"""Whether a client may be answered just now."""


class Caller(Struct, frozen=True):
    """Who calls, proven. Everything here may be logged."""

    client: Client
    jti: str
    kid: str
    subject: str | None = None

    @property
    def tenant(self) -> str:
        return self.client.tenant


class Trust:
    """The rule for every endpoint of a site.

    `bases` are the URLs under which the EHRs know this server, such as https://cds.example.org: they come from the
    site's settings and never from a request's Host, which the caller chooses.
    """

    def __init__(self, clients: Clients, keys: PublicKeys, replays: ReplayStore, bases: Sequence[str]) -> None:
        if not bases:
            raise SiteError("without public_url no token can be checked to be meant for this server")
        self.clients = clients
        self._keys = keys
        self._replays = replays
        self._bases = tuple(base.rstrip("/") for base in bases)

    def with_clients(self, clients: Clients) -> "Trust":
        """The same rule, keys and memory for other clients: what a running site that is set up anew needs."""
        return Trust(clients, self._keys, self._replays, self._bases)

    async def verify(
        self, token: str, endpoint: str, now: datetime, service: str | None = None, admit: Admit | None = None
    ) -> Caller:
        """The caller, or NotTrusted. `admit` may raise for a caller who is proven: his token is then not used up.

        `endpoint` is the path that was called, as `/cds-services/ID/feedback`; `service` the service it belongs to.
        A token is used up only once all else about it is right, so a refused one can be neither replayed nor blocked.
        """
        jws = take_apart(token)
        client = self.clients.of(jws.claims.iss)
        if client is None:
            raise NotTrusted("issuer")
        try:
            return await self._verify(jws, client, endpoint, now.timestamp(), service, admit)
        except NotTrusted as refusal:
            refusal.tenant = client.tenant
            raise

    async def _verify(
        self, jws: Compact, client: Client, endpoint: str, now: float, service: str | None, admit: Admit | None
    ) -> Caller:
        header, claims = jws.header, jws.claims
        _check_header(header, client)
        check_claims(claims, client, [base + endpoint.removesuffix("/") for base in self._bases], now)
        if service is not None and not client.may_call(service):
            raise NotTrusted("service")
        await self._check_signature(jws, client, now)
        if admit is not None:
            admit(client)
        until = claims.exp + client.leeway_seconds
        if not await self._replays.first(Use(client.tenant, client.issuer, claims.jti, until), now):
            raise NotTrusted("replayed")
        return Caller(client, claims.jti, header.kid, None if claims.sub is UNSET else claims.sub)

    async def _check_signature(self, jws: Compact, client: Client, now: float) -> None:
        kid, algorithm = jws.header.kid, jws.header.alg
        key = self._keys.at_hand(client, kid, now) or await self._keys.find(client, kid, now)
        if key is None:
            raise NotTrusted("key")
        if algorithm not in key.algorithms:
            raise NotTrusted("key does not fit alg")
        if not key.verifies(algorithm, jws.signed, jws.signature):
            raise NotTrusted("signature")


def _check_header(header: Header, client: Client) -> None:
    """The algorithm is ours to choose; `jku` may repeat the URL that we know and never name another (C98, C100)."""
    if header.alg not in client.algorithms:
        raise NotTrusted("alg")
    if header.jku is not UNSET and header.jku != client.jwks_url:
        raise NotTrusted("jku")


def bearer(authorization: Sequence[str]) -> str:
    """The token of a request's Authorization headers, of which there must be one. Raises NotTrusted."""
    if len(authorization) != 1:
        raise NotTrusted("no token")
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotTrusted("no token")
    return token
