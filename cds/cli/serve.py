"""`bedside serve`: the service, on this machine only until callers can prove who they are."""

import gc
import ipaddress
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cds.cli.common import RegionOption, SiteOption, err, open_ledger, told
from cds.errors import SiteError, UnsafeToServe
from cds.ledger import Ledger
from cds.settings import Settings, read_settings
from cds.site import Site, load_site

BENCH_SWITCH = "BEDSIDE_BENCH_LEDGER"


def serve(
    site: SiteOption = None,
    demo: Annotated[bool, typer.Option("--demo", help="Synthetic patients and a page that plays the EHR.")] = False,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    region: RegionOption = None,
) -> None:
    """Answer CDS Hooks calls on this machine."""
    with told():
        _refuse_strangers(host)
        base = f"http://{'[::1]' if ':' in host else host}:{port}"
        settings = demo_settings(site, base, region) if demo else read_settings(site, region=region)
        if settings.trust is None and not demo:
            raise UnsafeToServe(
                "refused: callers cannot prove who they are yet. "
                'Use --demo, or set trust = "open-on-loopback" in site.toml'
            )
        found = load_site(site, settings)
        ledger = recording(settings, demo=demo)
        _say(found, base, demo=demo)
        run(found, ledger, host, port, demo=demo)


def demo_settings(site: Path | None, base: str, region: str | None) -> Settings:
    """The demo's site: live, open on loopback, fetching from its own FHIR endpoint."""
    return read_settings(
        site,
        trust="open-on-loopback",
        region=region or "north-america",
        default_stage="live",
        fhir_servers=(f"{base}/demo/fhir", f"{base.replace('127.0.0.1', 'localhost')}/demo/fhir"),
    )


def recording(settings: Settings, *, demo: bool) -> Ledger | None:
    """The ledger in which answers will stand; None only while a benchmark measures what it costs."""
    if os.environ.get(BENCH_SWITCH) == "off":
        err.print("The ledger is off: nothing is recorded. For benchmarks only.")
        return None
    return open_ledger(settings, demo=demo)


def run(site: Site, ledger: Ledger | None, host: str, port: int, *, demo: bool) -> None:
    """Serve until told to stop; answers in progress are finished and recorded."""
    import uvicorn

    from cds.web.app import create_app
    from cds.web.log import configure

    configure()
    application = create_app(site, ledger, demo=demo)
    gc.collect()
    gc.freeze()  # what was loaded stays: the collector need not walk it for every few requests
    options: dict[str, Any] = {"loop": "uvloop", "http": "httptools", "timeout_graceful_shutdown": 25}
    uvicorn.run(
        application, host=host, port=port, access_log=False, log_level="warning", server_header=False, **options
    )  # fmt: skip


def _refuse_strangers(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise SiteError(f"--host {host} is not an address") from None
    if not loopback:
        raise UnsafeToServe(f"refused: {host} is reachable by others, and callers cannot prove who they are yet")


def _say(site: Site, base: str, *, demo: bool) -> None:
    for name in site.services:
        err.print(f"{name}: {site.services[name].settings.stage}, {base}/cds-services/{name}")
    for name, why in site.unavailable.items():
        err.print(f"{name}: not served ({why})")
    err.print(f"Open {base}/demo/ in a browser." if demo else f"Discovery: {base}/cds-services")
