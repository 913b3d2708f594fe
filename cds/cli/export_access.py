"""Finds with which registration and keys `bedside export` signs in, and where its files may lie."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct
from pydantic import ValidationError

from cds.bulk import Access, BackendAccess, BulkServer, OpenAccess
from cds.cli.keys import keys_path
from cds.errors import SiteError
from cds.fhir.origins import same_base
from cds.settings import Settings
from cds.trust import BackendRegistration, Clients
from cds.trust.own_keys import OwnKeys
from cds.trust.urls import base_url


class Credentials(Struct, frozen=True):
    """What was said on the command line; it wins over the site."""

    client_id: str | None
    keys: Path | None
    algorithm: str | None
    token_url: str | None
    file_hosts: tuple[str, ...]
    scopes: tuple[str, ...]
    no_auth: bool


def bulk_server(
    base: str, types: Sequence[str], given: Credentials, settings: Settings, site: Path | None,
    clock: Callable[[], datetime],
) -> BulkServer:  # fmt: skip
    """The server, with tokens for exactly these types. Raises SiteError when it is not known who we are there."""
    try:
        plain = base_url(base)
    except ValueError as fault:
        raise SiteError(f"{base}: {fault}") from None
    found = registration(plain, given, settings)
    hosts = tuple(dict.fromkeys((*(found.file_hosts if found else ()), *given.file_hosts)))
    return BulkServer(plain, access(plain, dict.fromkeys(types, "rs"), given, settings, site, clock), file_hosts=hosts)


def access(
    base: str, rights: Mapping[str, str], given: Credentials, settings: Settings, site: Path | None,
    clock: Callable[[], datetime],
) -> Access:  # fmt: skip
    """Tokens with these rights (letters by resource type). Raises SiteError when it is not known who we are there."""
    found = registration(base, given, settings)
    if found is None or given.no_auth:
        return OpenAccess()
    keys = OwnKeys(given.keys or keys_path(settings, site))
    return BackendAccess(base, rights, found, keys, clock=clock, extra=given.scopes)


def registration(base: str, given: Credentials, settings: Settings) -> BackendRegistration | None:
    """The site's registration at this FHIR base, under what was said; None where no token is wanted."""
    there = [
        client.backend
        for client in Clients.read(settings.clients)
        if client.backend and client.fhir_base and not client.revoked and same_base(base, client.fhir_base)
    ]
    if len(there) > 1 and given.client_id is None:
        raise SiteError(f"{base}: two clients of site.toml have it; say which with --client-id")
    known = there[0].model_dump() if len(there) == 1 else {}
    said = {"client_id": given.client_id, "algorithm": given.algorithm, "token_url": given.token_url}
    table = {**known, **{name: value for name, value in said.items() if value is not None}}
    if "client_id" not in table:
        if not given.no_auth:
            raise SiteError(
                f"{base}: no client with this fhir_base and a backend is registered in site.toml (--site); or say "
                "--client-id and --keys; or --no-auth, for a server that asks for no token"
            )
        table["client_id"] = "none"
    table["file_hosts"] = [*table.get("file_hosts", ()), *given.file_hosts]
    try:
        return BackendRegistration.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = str(first["loc"][0]).replace("_", "-").rstrip("s")
        raise SiteError(f"--{name}: {first['msg'].removeprefix('Value error, ')}") from None
