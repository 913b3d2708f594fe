"""`bedside client …`: which EHRs may call, written into site.toml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import tomlkit
import typer
from rich.table import Table
from tomlkit import TOMLDocument
from tomlkit.items import AoT

from cds.cli import site_toml
from cds.cli.common import JsonOption, err, out, told
from cds.cli.doctor import look_at, print_findings
from cds.errors import SiteError
from cds.settings import read_settings
from cds.site import Tenant, load_site
from cds.trust import Client, Clients

app = typer.Typer(no_args_is_help=True, help="Register the EHRs that may call.", rich_markup_mode=None)

Folder = Annotated[Path, typer.Option("--site", help="Folder with site.toml.")]
Words = list[str] | None
_PICKED_UP = "A running server takes it on SIGHUP (kill -HUP PID, systemctl reload, docker kill --signal HUP)."


def _option(name: str, text: str) -> Any:
    return typer.Option(name, help=text, show_default=False)


@app.command()
def add(
    site: Folder,
    tenant: Annotated[str, _option("--tenant", "Our name for it, as north-clinic.")],
    issuer: Annotated[str, _option("--issuer", "The iss of its tokens, letter for letter.")],
    jwks_url: Annotated[str | None, _option("--jwks-url", "Where it publishes its keys.")] = None,
    jwks: Annotated[Path | None, _option("--jwks", "Or a file with its public keys, a JWK set.")] = None,
    fhir_base: Annotated[str | None, _option("--fhir-base", "Its FHIR server.")] = None,
    fhir_version: Annotated[str | None, _option("--fhir-version", "Default: what its FHIR server says.")] = None,
    services: Annotated[Words, _option("--services", "A service it may call; may be repeated. Default: all.")] = None,
    hooks: Annotated[Words, _option("--hooks", "A hook it may use; may be repeated. Default: all.")] = None,
    browser_origins: Annotated[Words, _option("--browser-origin", "An origin that calls from a browser.")] = None,
    region: Annotated[str | None, _option("--region", "Over the site's: north-america or elsewhere.")] = None,
    actions: Annotated[Words, _option("--actions", "create, update or delete: what it carries out itself.")] = None,
    stages: Annotated[Words, _option("--stage", "SERVICE=live, shadow or off; may be repeated.")] = None,
    smart_client_id: Annotated[str | None, _option("--smart-client-id", "Our client_id for the SMART app.")] = None,
    smart_auth: Annotated[str | None, _option("--smart-auth", "private_key_jwt (default) or public.")] = None,
    smart_algorithm: Annotated[str | None, _option("--smart-algorithm", "ES384 (default) or RS384.")] = None,
    frame_ancestors: Annotated[Words, _option("--frame-ancestor", "An origin that may embed the app.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Ask for the right to save RiskAssessments.")] = False,
    backend_client_id: Annotated[
        str | None, _option("--backend-client-id", "Our client_id for exports and write-back.")
    ] = None,
    backend_algorithm: Annotated[str | None, _option("--backend-algorithm", "ES384 (default) or RS384.")] = None,
    file_hosts: Annotated[Words, _option("--file-host", "An origin that an export's files may lie on.")] = None,
    check: Annotated[bool, typer.Option(help="Look at its FHIR server first, as `bedside doctor` does.")] = True,
) -> None:
    """Register an EHR. Nothing is written unless the site is sound with it."""
    smart = {"client_id": smart_client_id, "auth": smart_auth, "algorithm": smart_algorithm,
             "frame_ancestors": frame_ancestors, "save": save or None}  # fmt: skip
    backend = {"client_id": backend_client_id, "algorithm": backend_algorithm, "file_hosts": file_hosts}
    with told():
        table = {"tenant": tenant, "issuer": issuer, "jwks_url": jwks_url, "jwks": _keys(jwks), "fhir_base": fhir_base,
                 "fhir_version": fhir_version or (_found_version(fhir_base) if fhir_base and check else None),
                 "services": services, "hooks": hooks, "browser_origins": browser_origins, "region": region,
                 "actions": actions, "stages": _pairs(stages), "smart": _given(smart),
                 "backend": _given(backend)}  # fmt: skip
        given = _given(table)
        Clients.read([given])
        site_toml.edit(site, lambda document: _append(document, given))
        out.print(f"{tenant} is registered in site.toml. {_PICKED_UP}")
        settings = read_settings(site)
    if settings.trust != "clients":
        err.print('site.toml does not ask for tokens yet: set trust = "clients" and public_url.')
    if settings.public_url is not None:
        _tell_ehr(settings.public_url, smart="smart" in given, signs=bool({"smart", "backend"} & set(given)))


def _tell_ehr(public_url: str, *, smart: bool, signs: bool) -> None:
    """What the EHR's own registration asks for, ready to copy."""
    out.print(f"To register at the EHR: CDS services  {public_url}/cds-services")
    if smart:
        out.print(f"                        launch URL    {public_url}/smart/launch")
        out.print(f"                        redirect URI  {public_url}/smart/callback")
    if signs:
        out.print(f"                        JWKS URL      {public_url}/.well-known/jwks.json")


def _given(members: dict[str, Any]) -> dict[str, Any]:
    """What was said, and nothing about the rest: its default then follows Bedside's."""
    return {name: value for name, value in members.items() if value not in (None, [], {})}


def _pairs(stages: Words) -> dict[str, str]:
    found = {}
    for text in stages or ():
        service, sign, stage = text.partition("=")
        if not sign:
            raise SiteError(f"--stage {text}: write SERVICE=live, as kidney-failure-risk=live")
        found[service] = stage
    return found


def _keys(file: Path | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise SiteError(f"--jwks {file}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SiteError(f"--jwks {file}: this is no JSON object with keys") from None


def _found_version(fhir_base: str) -> str | None:
    """Print what the FHIR server is found to be; its version, when it says one. A server out of reach stops nothing."""
    findings, version = look_at(fhir_base)
    print_findings(findings)
    return version


def _append(document: TOMLDocument, given: dict[str, Any]) -> None:
    table = tomlkit.item(given)
    clients = document.get("clients")
    if clients is None:
        if document:
            document.add(tomlkit.nl())
        document["clients"] = tomlkit.aot()
        clients = document["clients"]
    if not isinstance(clients, AoT):
        raise SiteError("site.toml: write the clients as [[clients]] tables, then they can be added to")
    clients.append(table)


@app.command("list")
def show(site: Folder, json: JsonOption = False) -> None:
    """List the EHRs that are registered, with what each may call and what it is served."""
    with told():
        clients = Clients.read(read_settings(site).clients)
    tenants: Mapping[str, Tenant] = {}
    try:
        tenants = load_site(site).tenants
    except SiteError as error:
        err.print(f"The site does not start, so nobody is served: {error.message}")
    lines = [_line(client, tenants.get(client.tenant)) for client in clients]
    if json:
        for line in lines:
            typer.echo(msgspec.json.encode(line).decode())
        return
    if not lines:
        out.print("Nobody is registered: `bedside client add` registers an EHR.")
        return
    table = Table("Tenant", "Issuer", "FHIR base", "May call", "Served", "SMART", "Revoked", box=None)
    for line in lines:
        stage = ", ".join(f"{name}: {stage}" for name, stage in line["stages"].items())
        yes = {name: "yes" if line[name] else "no" for name in ("smart", "revoked")}
        services = ", ".join(line["services"] or ["all"])
        table.add_row(
            line["tenant"], line["issuer"], line["fhir_base"] or "", services, stage, yes["smart"], yes["revoked"]
        )
    out.print(table)


def _line(client: Client, tenant: Tenant | None) -> dict[str, Any]:
    served = tenant.services.items() if tenant else ()
    return {
        "tenant": client.tenant,
        "issuer": client.issuer,
        "fhir_base": client.fhir_base,
        "services": sorted(client.services) if client.services is not None else None,
        "stages": {name: deployed.settings.stage for name, deployed in served},
        "smart": client.smart is not None,
        "revoked": client.revoked,
    }


@app.command()
def revoke(tenant: Annotated[str, typer.Argument(help="The tenant's name.")], site: Folder) -> None:
    """Accept nothing of an EHR any more. Its table stays, so that its answers in the ledger keep their name."""

    def change(document: TOMLDocument) -> None:
        tables = document.get("clients", ())
        found = [table for table in tables if table.get("tenant") == tenant]
        if not found:
            known = ", ".join(str(table.get("tenant")) for table in tables) or "none"
            raise SiteError(f"{tenant}: there is no such client; there are {known}")
        found[0]["revoked"] = True

    with told():
        site_toml.edit(site, change)
    out.print(f"{tenant} is revoked in site.toml. {_PICKED_UP}")
