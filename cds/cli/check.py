"""`bedside check`: whether a site is ready, and what an export holds of what its models need."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cds.cli.common import (
    FAILED,
    REJECTS,
    RegionOption,
    SiteOption,
    open_ledger,
    out,
    read_export,
    spool_folder,
    tell_rejects,
    told,
)
from cds.cli.keys import own_keys
from cds.errors import BedsideError
from cds.fhir.resources import CodeableConcept, Resource, codings
from cds.fhir.units import analytes
from cds.ledger.spool_file import LIVE
from cds.ledger.spool_reading import set_aside
from cds.settings import read_settings
from cds.site import Site, load_site

_NOBODY = (
    'it is not said who may call: set trust = "clients" in site.toml and register your EHRs with `bedside client add`, '
    'or, to try it on this machine, trust = "open-on-loopback"'
)


def check(
    file: Annotated[Path | None, typer.Argument(help="An export (file or folder) to look at.")] = None,
    site: SiteOption = None,
    region: RegionOption = None,
) -> None:
    """Check site, models, services and ledger: pass or fail, with the fix. With FILE: what maps and what does not."""
    try:
        found = load_site(site, read_settings(site, region=region))
    except BedsideError as error:
        out.print(f"fail  site: {error.message}")
        raise typer.Exit(FAILED) from None
    if file is not None:
        _print_codes(found, file)
        return
    results = list(_checks(found, site))
    for name, fault in results:
        out.print(f"{'fail' if fault else 'pass'}  {name}{f': {fault}' if fault else ''}")
    for name, why in _off(found):
        out.print(f"off   {name}{f': {why}' if why != 'off' else ''}")
    if any(fault for _, fault in results):
        raise typer.Exit(FAILED)


def _checks(site: Site, folder: Path | None) -> Iterator[tuple[str, str | None]]:
    yield "site", None
    for cls in site.known_models:
        if cls.id in site.models:
            yield f"model {cls.id}", None
    for name in site.known_services:
        if (why := site.unavailable.get(name)) != "off":
            yield f"service {name}", why
    running = any(tenant.services for tenant in site.served())
    yield (
        "services",
        None if running else "none is on: [services.ID] stage in site.toml; `docs/catalogue.md` lists them",
    )
    yield "trust", None if site.settings.trust else _NOBODY
    yield "signing keys", _fault(lambda: own_keys(site.settings, folder, backend=True))
    yield "spool", _fault(lambda: spool_folder(site.settings)) or _aside(site.settings.spool)
    yield "ledger", _fault(lambda: open_ledger(site.settings).close())


def _off(site: Site) -> Iterator[tuple[str, str]]:
    """What the site has not turned on, or not set up: no fault, unless a service wants it, which then says so."""
    for cls in site.known_models:
        if cls.id not in site.models:
            yield f"model {cls.id}", site.unavailable[cls.id]
    for name in site.known_services:
        if (why := site.unavailable.get(name)) == "off":
            yield f"service {name}", why


def _aside(spool: Path | None) -> str | None:
    names = set_aside(spool) if spool is not None else []
    if not names:
        return None
    return (
        f"{', '.join(names)} in {spool}: sent, but not taken by the ledger's database; when the cause is mended, "
        f"rename .refused to {LIVE} and start a server, or take the file away"
    )


def _fault(work: Callable[[], Any]) -> str | None:
    try:
        work()
    except BedsideError as error:
        return error.message
    return None


def _print_codes(site: Site, file: Path) -> None:
    """Codes by count: what each maps to, and the units that are refused."""
    mapped: Counter[tuple[str, str, str]] = Counter()
    refused: Counter[tuple[str, str]] = Counter()
    with told():
        gathered = read_export([file])
    for located in gathered.patients.values():
        for resource, _ in located:
            for name, code, unit_refused in _seen(site, resource):
                mapped[resource.resource_type or "", code, name] += 1
                if unit_refused is not None:
                    refused[code, unit_refused] += 1
    table = Table("Count", "Type", box=None, header_style="bold")
    table.add_column("Code", overflow="fold")
    table.add_column("Maps to", no_wrap=True)
    for (kind, code, name), count in sorted(mapped.items(), key=lambda m: (m[0][2] == "", -m[1], m[0])):
        table.add_row(str(count), kind, code, name or "-")
    out.print(table)
    for (code, unit), count in refused.most_common():
        out.print(f"{count} x {code}: unit {unit or '(none)'} is not accepted; map it under [units] in site.toml")
    out.print(f"{len(gathered.patients)} patients, {len(gathered.rejects)} rejects.")
    tell_rejects(gathered)
    if gathered.rejects:
        raise typer.Exit(REJECTS)


def _seen(site: Site, resource: Resource) -> Iterator[tuple[str, str, str | None]]:
    concept: CodeableConcept | None = resource.code or resource.medication_codeable_concept
    pairs = [(coding.system, coding.code) for coding in codings(concept)]
    for coding in codings(concept):
        names = site.vocabulary.sets_of(coding.system, coding.code)
        code = f"{coding.system}|{coding.code}"
        if not names:
            yield "", code, None
        for name in names:
            analyte = analytes().get(name.split("_")[0])
            quantity = resource.value_quantity
            unit = site.vocabulary.spelling(pairs, quantity.unit) if quantity else None
            known = analyte is None or quantity is None or analyte.conversion(unit, quantity.code) is not None
            yield name, code, None if known else (unit or "")
