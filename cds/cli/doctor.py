"""`bedside doctor`: whether an EHR offers what Bedside needs, each line with the fix."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec
import typer

from cds.cli import examining
from cds.cli.common import FAILED, JsonOption, SiteOption, out, told
from cds.cli.examining import Finding
from cds.errors import SiteError
from cds.features.feature import Need
from cds.features.needs import union
from cds.settings import read_settings
from cds.site import Site, load_site
from cds.trust import Client


def doctor(
    fhir_base: Annotated[str | None, typer.Argument(help="A FHIR server. Default: those of site.toml.")] = None,
    site: SiteOption = None,
    json: JsonOption = False,
) -> None:
    """Look at an EHR's FHIR server, or at those of all registered clients: pass, warn or fail, with the fix."""
    with told():
        found = load_site(site, read_settings(site))
        if fhir_base is not None:
            sections = [(fhir_base, look_at(fhir_base, site=found)[0])]
        else:
            sections = list(_registered(found))
    if not sections:
        out.print("Nobody is registered: give a FHIR base, or register an EHR with `bedside client add`.")
    for subject, findings in sections:
        if json:
            for finding in findings:
                typer.echo(msgspec.json.encode({"subject": subject, **msgspec.structs.asdict(finding)}).decode())
        else:
            out.print(subject)
            print_findings(findings)
    if any(finding.outcome == "fail" for _, findings in sections for finding in findings):
        raise typer.Exit(FAILED)


def print_findings(findings: Iterable[Finding]) -> None:
    for finding in findings:
        fix = f". Fix: {finding.fix}" if finding.outcome != "pass" else ""
        out.print(f"{finding.outcome}  {finding.what}: {finding.said}{fix}")


def look_at(base: str, *, site: Site | None = None, smart: bool = False) -> tuple[list[Finding], str | None]:
    """What a FHIR server is found to be, and its FHIR version when it says one. Raises SiteError for no FHIR base."""
    if not base.startswith(("https://", "http://")):
        raise SiteError(f"{base}: write the FHIR base as https://…")
    return asyncio.run(_look(base.rstrip("/"), _needs(site or load_site()), smart=smart))


async def _look(base: str, needs: tuple[Need, ...], *, smart: bool) -> tuple[list[Finding], str | None]:
    stated = await examining.ask(f"{base}/metadata", accept="application/fhir+json, application/json;q=0.9")
    findings = list(examining.reachable(base, stated))
    if any(finding.outcome == "fail" for finding in findings):
        return findings, None
    findings += [examining.clock(stated.ahead), examining.capability(stated)]
    document = stated.document
    well = document is not None and document.get("resourceType") == "CapabilityStatement"
    if document is not None and well:
        findings += [*examining.searches(document, needs), examining.export(document)]
    configuration = await examining.ask(f"{base}/.well-known/smart-configuration")
    findings += examining.smart(configuration, wanted=smart)
    version = document.get("fhirVersion") if document is not None and well else None
    return findings, version if isinstance(version, str) else None


def _needs(site: Site) -> tuple[Need, ...]:
    """What the site's services read, of every tenant; where none is on, what the kidney equation reads."""
    running = [deployed for tenant in site.served() for deployed in tenant.services.values()]
    if running:
        return union(need for deployed in running for need in deployed.needs)
    return union(n for model in site.known_models if model.id.startswith("kfre") for n in model.predictors.needs())


def _registered(site: Site) -> Iterator[tuple[str, list[Finding]]]:
    for client in site.clients:
        if not client.revoked:
            yield client.tenant, list(_client(client, site))
    if site.settings.public_url is not None and len(site.clients):
        yield site.settings.public_url, [asyncio.run(_own(site.settings.public_url))]


def _client(client: Client, site: Site) -> Iterator[Finding]:
    if client.pinned is None and client.jwks_url is not None:
        yield asyncio.run(examining.keys(client.jwks_url, client.algorithms))
    else:
        yield Finding("keys", "pass", f"{len(client.pinned or ())} in site.toml")
    if client.fhir_base is None:
        fix = "without it every key must come in prefetch: register it with fhir_base"
        yield Finding("FHIR base", "warn", "none is registered", fix)
        return
    findings, version = look_at(client.fhir_base, site=site, smart=client.smart is not None)
    yield from findings
    if version is not None and version != client.fhir_version:
        fix = f'write fhir_version = "{version}"'
        yield Finding("fhir_version", "warn", f"site.toml says {client.fhir_version}, the server {version}", fix)


async def _own(public_url: str) -> Finding:
    answered = await examining.ask(f"{public_url}/health/ready")
    if answered.document is not None and answered.document.get("status") == "ready":
        return Finding("this server", "pass", "ready under public_url")
    why = answered.why or "not ready"
    return Finding("this server", "fail", why, "start it, and see that the proxy in front leads public_url to it")
