"""Leads a launch from the EHR's link to an open session: discovery, authorization, tokens, identity."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from msgspec import Struct

from cds.fhir.http import Transport
from cds.smart.authorize import Pending, Request, pending, request
from cds.smart.discovery import Discovery
from cds.smart.identity import Identity
from cds.smart.launches import Launches
from cds.smart.outside import Outside
from cds.smart.refused import SentBack, SmartRefused
from cds.smart.scopes import wanted
from cds.smart.sessions import Launched, Session, Sessions
from cds.smart.tokens import TokenEndpoint, Tokens, reason_of
from cds.trust.clients import Client, SmartRegistration
from cds.trust.own_keys import OwnKeys


class Begun(Struct, frozen=True):
    """A launch on its way to the EHR's sign-in."""

    pending: Pending
    request: Request


class SmartApp:
    """One process's launches and sessions, for every client that the site registers."""

    def __init__(self, keys: OwnKeys | None, clock: Callable[[], datetime], transport: Transport | None = None) -> None:
        self.keys = keys
        self.launches = Launches(clock)
        self.sessions = Sessions(clock)
        self._clock = clock
        self._outside = Outside(transport)
        self._discovery = Discovery(self._outside.read)
        self._identity = Identity(self._outside.read)

    async def begin(
        self, client: Client, resource_types: Iterable[str], redirect_uri: str, launch: str | None, by: str = ""
    ) -> Begun:
        """A launch from a registered client's FHIR base; `launch` as the EHR sent it, None for a standalone one.

        `by`: the address that begins it.

        Raises SmartRefused: "unreachable", "discovery-missing", "discovery-incomplete", "host-unregistered".
        """
        base, registration = _smart(client)
        with _of(client.tenant):
            found = await self._discovery.of(base, registration.hosts)
        scope = wanted(
            resource_types, found.capabilities, ehr_launch=launch is not None, save=registration.save,
            scopes_supported=found.scopes_supported,
        )  # fmt: skip
        one = pending(
            tenant=client.tenant, base=base, client_id=registration.client_id, redirect_uri=redirect_uri,
            scope=scope, launch=launch, configuration=found, began=self._clock(), by=by,
        )  # fmt: skip
        self.launches.add(one)
        return Begun(one, request(one))

    async def complete(self, client: Client, one: Pending, code: str) -> Session:
        """The session of a launch whose code came back to the browser that began it.

        Raises SmartRefused with what was refused, or what the answer lacks.
        """
        _, registration = _smart(client)
        endpoint = TokenEndpoint(
            one.configuration.token_endpoint, registration, self.keys, self._outside.post, self._clock
        )  # fmt: skip
        with _of(client.tenant):
            tokens = await endpoint.exchange(code, one.verifier, one.redirect_uri)
            user = await self._user(tokens, one, registration)
            return self.sessions.open(Launched(client.tenant, one.base, user, endpoint.refresh), tokens)

    async def _user(self, tokens: Tokens, one: Pending, registration: SmartRegistration) -> str | None:
        if tokens.id_token is None:
            if registration.identity == "required":
                raise SmartRefused("identity-invalid")  # who looked at a chart must be told afterwards
            return None
        return await self._identity.user(tokens.id_token, one, self._clock().timestamp())


def returned(one: Pending, *, code: str | None, error: str | None, iss: str | None) -> str:
    """The code with which a launch came back. Raises SmartRefused with the error that came instead.

    `iss` (RFC 9207) must be the server that was asked, when the response says one.
    """
    with _of(one.tenant):
        if iss is not None and iss != (one.configuration.issuer or one.base):
            raise SentBack("authorization-failed")
        if error:
            raise SentBack(reason_of(error))
        if not code:
            raise SmartRefused("code-missing")
    return code


def _smart(client: Client) -> tuple[str, SmartRegistration]:
    if client.smart is None or client.fhir_base is None:
        raise SmartRefused("issuer-unknown")
    return client.fhir_base, client.smart


@contextmanager
def _of(tenant: str) -> Iterator[None]:
    """What goes wrong within goes wrong for this tenant: its page may be shown in that EHR's frame."""
    try:
        yield
    except SmartRefused as fault:
        fault.tenant = fault.tenant or tenant
        raise
