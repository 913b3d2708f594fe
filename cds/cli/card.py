"""`bedside card`: one hook call without a server."""

import asyncio
from typing import Annotated

import msgspec
import typer

from cds.cdshooks.answer import answer
from cds.cli.common import FAILED, USAGE, AtOption, RegionOption, SiteOption, instant, out, read_input, stop, told
from cds.settings import read_settings
from cds.site import load_site


def card(
    request: Annotated[str, typer.Argument(help="A CDS Hooks request as JSON, or - for standard input.")],
    service: Annotated[str, typer.Option(help="The service to call.")] = "kidney-failure-risk",
    site: SiteOption = None,
    region: RegionOption = None,
    at: AtOption = None,
) -> None:
    """Answer one CDS Hooks request and print the response. Nothing is recorded."""
    with told():
        found = load_site(site, read_settings(site, region=region, default_stage="live"))
        deployed = found.services.get(service)
        if deployed is None:
            stop(USAGE, f"{service} is not served: {found.unavailable.get(service, 'there is no such service')}")
        said = asyncio.run(answer(deployed, read_input(request), instant(at)))
    out.print(msgspec.json.format(said.body, indent=2).decode())
    if said.error is not None:
        raise typer.Exit(FAILED)
