"""`bedside models`: what can be scored, and each model's card."""

from typing import Annotated, Any

import typer
import yaml
from rich.table import Table

from cds.cli.common import USAGE, RegionOption, SiteOption, out, stop, told
from cds.cli.conforming import check_model
from cds.features.needs import bulk_types, template
from cds.risk.model import RiskModel
from cds.risk.trained import TrainedModel
from cds.settings import read_settings
from cds.site import Site, load_site


def show_models(
    action: Annotated[str | None, typer.Argument(help="show, to print a model's card; check, to try it.")] = None,
    model: Annotated[str | None, typer.Argument(help="The model's id.")] = None,
    site: SiteOption = None,
    region: RegionOption = None,
) -> None:
    """List the models of this site, print one model's card (`show kfre-4`), or tell what it lacks (`check kfre-4`)."""
    if action == "check" and model is not None:
        check_model(model, site, region)
        return
    with told():
        found = load_site(site, read_settings(site, region=region))
    if action in (None, "list"):
        _list(found)
    elif action == "show" and model is not None:
        _show(found, model)
    else:
        stop(USAGE, "write `bedside models`, `bedside models show MODEL` or `bedside models check MODEL`")


def _list(site: Site) -> None:
    table = Table("Model", "Version", "Name", "State", box=None, header_style="bold")
    for cls in site.known_models:
        model = site.models.get(cls.id)
        state = _state(model) if model else site.unavailable[cls.id]
        table.add_row(cls.id, model.version if model else "", model.card.name if model else "", state)
    out.print(table)


def _state(model: RiskModel) -> str:
    elsewhere = model.made_elsewhere if isinstance(model, TrainedModel) else ""
    notes = [note for note in (model.card.shadow_only and "shadow only: not validated", elsewhere) if note]
    return f"ready ({'; '.join(notes)})" if notes else "ready"


def _show(site: Site, name: str) -> None:
    model = site.models.get(name)
    if model is None:
        stop(USAGE, f"{name}: {site.unavailable.get(name, 'there is no such model')}")
    card: dict[str, Any] = model.card.model_dump(mode="json", exclude_defaults=True)
    card["settings"] = model.settings.model_dump(mode="json")
    needs = model.predictors.needs()
    card["prefetch"] = {need.key: template(need, site.vocabulary) for need in needs}
    card["bulk_types"] = list(bulk_types(needs))
    out.print(yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=1000))
