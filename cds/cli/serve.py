"""`bedside serve`: the service, for registered clients, or on this machine only where callers prove nothing."""

import gc
import ipaddress
import os
import resource
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cds.cli.common import RegionOption, SiteOption, demo_folder, err, ledger_url, open_ledger, spool_folder, told
from cds.cli.keys import keys_path, own_keys
from cds.errors import LedgerUnavailable, SiteError, UnsafeToServe
from cds.ledger import Ledger
from cds.ledger.clock import TOLERATED, UNREMARKED
from cds.settings import Settings, read_settings
from cds.site import Site, load_site
from cds.site.proven import proven
from cds.trust import Trust, open_trust
from cds.trust.own_keys import FILE_NAME, OwnKeys

BENCH_SWITCH = "BEDSIDE_BENCH_LEDGER"
DEMO_APP = "bedside-demo"
"""Our name at the demo's authorization server."""


def serve(
    site: SiteOption = None,
    demo: Annotated[bool, typer.Option("--demo", help="Synthetic patients and a page that plays the EHR.")] = False,
    host: Annotated[
        str, typer.Option(help='The address to listen on. Others than loopback need trust = "clients".')
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    region: RegionOption = None,
) -> None:
    """Answer CDS Hooks calls. SIGTERM lets the calls in progress end; SIGHUP reads site.toml again."""
    with told():
        no_core_dumps()
        base = f"http://{'[::1]' if ':' in host else host}:{port}"
        if demo:
            _refuse_strangers(host)
        settings = demo_settings(site, base, region) if demo else read_settings(site, region=region)
        if settings.trust is None and not demo:
            raise UnsafeToServe(
                "refused: it is not said who may call. Use --demo, register your EHRs with `bedside client add` and "
                'set trust = "clients" in site.toml, or, to try it on this machine, trust = "open-on-loopback"'
            )
        _refuse_strangers(host, settings.trust)

        def read() -> Site:
            return load_site(site, read_settings(site, region=region))

        if demo:
            OwnKeys.create(keys_path(settings, site))
        keys = own_keys(settings, site)
        found = proven(load_site(site, settings))
        ledger = recording(settings, demo=demo)
        if ledger is not None:
            refuse_wrong_clock(ledger)
        _say(found, settings.public_url or base, demo=demo)
        run(found, ledger, host, port, demo=demo, read=None if demo else read, keys=keys)


def demo_settings(site: Path | None, base: str, region: str | None) -> Settings:
    """The demo's site: live, open on loopback, with the demo's own EHR as its one client.

    The demo's patients are kidney patients: without a site of your own only the kidney service is on.
    """
    own = {} if site else {"services": {"kidney-failure-risk": {"stage": "live"}}}
    ehr = {
        "tenant": "demo",
        "issuer": f"{base}/demo/auth",
        "jwks_url": f"{base}/demo/auth/jwks",
        "fhir_base": f"{base}/demo/fhir",
        "smart": {"client_id": DEMO_APP, "frame_ancestors": [base], "save": True, "standalone": True},
    }
    given = {
        "trust": "open-on-loopback",
        "public_url": base,
        "default_stage": "live" if site else "off",
        **own,
        "mute_days": 0,  # whoever plays with a card wants to see it again
        "drain_seconds": 0,  # whoever plays with the demo waits for nobody
        "clients": (ehr,),
        "keys": demo_folder() / FILE_NAME,
    }
    region = region or read_settings(site, **given).region or "north-america"
    return read_settings(site, region=region, **given)


def recording(settings: Settings, *, demo: bool) -> Ledger | None:
    """The ledger in which answers will stand; None only while a benchmark measures what it costs."""
    if os.environ.get(BENCH_SWITCH) == "off":
        err.print("The ledger is off: nothing is recorded. For benchmarks only.")
        return None
    return open_ledger(settings, demo=demo, serving=True)


def run(
    site: Site,
    ledger: Ledger | None,
    host: str,
    port: int,
    *,
    demo: bool,
    read: Callable[[], Site] | None = None,
    keys: OwnKeys | None = None,
) -> None:
    """Serve until told to stop; answers in progress are finished and recorded. SIGHUP: serve the site of `read`."""
    from cds.web.app import create_app
    from cds.web.log import configure
    from cds.web.reload import Reload
    from cds.web.server import Server, configuration

    configure()
    settings = site.settings
    trust = trusting(site)
    application = create_app(site, ledger, demo=demo, trust=trust, keys=keys)
    state = application.state.bedside
    gc.collect()
    gc.freeze()  # what was loaded stays: the collector need not walk it for every few requests
    server = Server(
        configuration(application, host, port, settings.proxies),
        state,
        drain_seconds=settings.drain_seconds,
        reload=Reload(state, read, keys) if read else None,
    )
    server.run()


def trusting(site: Site) -> Trust | None:
    """Who is answered; None where a site is open to this machine."""
    settings = site.settings
    if settings.trust != "clients":
        return None
    spooling = spool_folder(settings) is not None
    return open_trust(site.clients, settings.public_url, ledger_url(settings), spooling=spooling)


def no_core_dumps() -> None:
    """A crash must not write patients and keys to the disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _host_clock() -> datetime:
    return datetime.now(UTC)


def refuse_wrong_clock(ledger: Ledger, host: Callable[[], datetime] = _host_clock) -> None:
    """Raises UnsafeToServe when the database's clock and this machine's are too far apart; warns when they differ."""
    try:
        ahead = ledger.clock_ahead(host)
    except LedgerUnavailable:
        return  # where the ledger can do without its database for a while, readiness compares them later
    if ahead is None or abs(ahead) <= UNREMARKED:
        return
    apart = abs(ahead).total_seconds()
    said = f"the clocks of the ledger's database and of this machine differ by {apart:.0f} s: set both by NTP"
    if abs(ahead) > TOLERATED:
        raise UnsafeToServe(f"refused: {said}")
    err.print(f"Warning: {said}")


def _refuse_strangers(host: str, trust: str | None = None) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise SiteError(f"--host {host} is not an address") from None
    if loopback:
        return
    if trust != "clients":
        raise UnsafeToServe(f'refused: {host} is reachable by others, and only trust = "clients" asks who calls')
    err.print(f"{host} is reachable by others, and speaks plain HTTP: have a proxy with TLS in front of it.")


def _say(site: Site, base: str, *, demo: bool) -> None:
    for tenant in site.served():
        whose = f"{tenant.id}: " if tenant.client else ""
        for name, deployed in tenant.services.items():
            err.print(f"{whose}{name}: {deployed.settings.stage}, {base}/cds-services/{name}")
        for name, why in tenant.unavailable.items():
            err.print(f"{whose}{name}: not served ({why})")
    err.print(f"Open {base}/demo/ in a browser." if demo else f"Discovery: {base}/cds-services")
