"""`bedside models`: what can be scored, and each model's fact sheet."""

import json
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Annotated, Any

import typer
from msgspec import to_builtins
from rich.table import Table

from cds.cli.common import USAGE, JsonOption, RegionOption, SiteOption, out, stop, told
from cds.cli.conforming import check_model
from cds.features.needs import bulk_types, template
from cds.risk.fact_sheet import FactSheet
from cds.risk.model import RiskModel
from cds.risk.source_attributes import NOT_AVAILABLE, SCHEMA, Attribute
from cds.risk.trained import TrainedModel
from cds.settings import read_settings
from cds.site import Site, load_site
from cds.site.sheets import fact_sheets

WIDTH = 100
"""Columns of a line to be read; a narrower terminal gets narrower ones."""


def show_models(
    action: Annotated[
        str | None, typer.Argument(help="show, to print one model's fact sheet; check, to try it.")
    ] = None,
    model: Annotated[str | None, typer.Argument(help="The model's id.")] = None,
    site: SiteOption = None,
    region: RegionOption = None,
    json_lines: JsonOption = False,
) -> None:
    """List the models, print one's fact sheet (`show kfre-4`), or tell what it lacks (`check kfre-4`)."""
    if action == "check" and model is not None:
        check_model(model, site, region)
        return
    with told():
        found = load_site(site, read_settings(site, region=region))
        sheets = fact_sheets(found)
    if action in (None, "list"):
        _list(found, sheets, json_lines=json_lines)
    elif action == "show" and model is not None:
        if model not in sheets:
            stop(USAGE, f"{model}: there is no such model; there are {', '.join(sheets)}")
        _show(found, sheets[model], json_lines=json_lines)
    else:
        stop(USAGE, "write `bedside models`, `bedside models show MODEL` or `bedside models check MODEL`")


def _list(site: Site, sheets: dict[str, FactSheet], *, json_lines: bool) -> None:
    states = {name: _state(site.models[name]) if name in site.models else site.unavailable[name] for name in sheets}
    if json_lines:
        for name, sheet in sheets.items():
            row = {"id": name, "version": sheet.version, "name": sheet.name, "outcome": sheet.outcome}
            out.print(json.dumps(row | {"state": states[name]}, ensure_ascii=False))
        return
    table = Table("Model", "Version", "Name", "Outcome", "State", box=None, header_style="bold")
    for name, sheet in sheets.items():
        table.add_row(name, sheet.version, sheet.name, sheet.outcome, states[name])
    out.print(table)


def _state(model: RiskModel) -> str:
    elsewhere = model.made_elsewhere if isinstance(model, TrainedModel) else ""
    notes = [note for note in (model.card.shadow_only and "shadow only: not validated", elsewhere) if note]
    return f"ready ({'; '.join(notes)})" if notes else "ready"


def _show(site: Site, sheet: FactSheet, *, json_lines: bool) -> None:
    model = site.models.get(sheet.id)
    if json_lines:
        out.print(json.dumps(_machine_form(site, sheet, model), ensure_ascii=False))
        return
    state = "" if model else f"Not ready here: {site.unavailable[sheet.id]}"
    for line in _lines(sheet, state, min(WIDTH, max(out.width, 40))):
        out.print(line)


def _machine_form(site: Site, sheet: FactSheet, model: RiskModel | None) -> dict[str, Any]:
    """The sheet with its schema, and for a model that is ready what it asks of an EHR."""
    told: dict[str, Any] = {"schema": SCHEMA, **to_builtins(sheet)}
    if model is not None:
        needs = model.predictors.needs()
        told["settings"] = model.recorded_settings
        told["prefetch"] = {need.key: template(need, site.vocabulary) for need in needs}
        told["bulk_types"] = list(bulk_types(needs))
    return told


def _lines(sheet: FactSheet, state: str, width: int) -> Iterator[str]:
    yield from wrap(sheet.name, width)
    yield from wrap(f"{sheet.id}, version {sheet.version}. {sheet.url}", width)
    if state:
        yield from wrap(state, width)
    if sheet.unverified:
        yield from _part("NOT VERIFIED", [f"UNVERIFIED  {text}" for text in sheet.unverified], width, mark="! ")
    for section in sheet.sections:
        yield from _part(section.heading, section.lines, width)
    yield from _attributes(sheet, width)


def _part(heading: str, lines: Sequence[str], width: int, mark: str = "- ") -> Iterator[str]:
    yield ""
    yield heading
    for line in lines:
        lead = mark if len(lines) > 1 or mark != "- " else ""
        yield from wrap(line, width, initial_indent=f"  {lead}", subsequent_indent=" " * (2 + len(lead)))


def _attributes(sheet: FactSheet, width: int) -> Iterator[str]:
    heading = f"Source attributes ({SCHEMA}): {sheet.available} of {len(sheet.attributes)} answered"
    told = (one for one in sheet.attributes if one.basis != NOT_AVAILABLE)
    lines = [f"{one.asked.number} {one.asked.name} ({one.basis}): {_answer(one)}" for one in told]
    lacking = [f"Not available: {'; '.join(sheet.lacking)}"] if sheet.lacking else []
    yield from _part(heading, [*lines, *lacking], width)
    if sheet.written:
        yield from wrap(f"Authored by {sheet.written}.", width, initial_indent="  ")


def _answer(one: Attribute) -> str:
    return f"as under {one.repeats}" if one.repeats else one.text
