"""`bedside models check`: what a model still lacks, as a list that its author works through."""

from collections.abc import Iterator
from pathlib import Path

import typer
from pydantic import ValidationError

from cds.cli.common import FAILED, USAGE, out, stop, told
from cds.cli.scaffold import FILL_IN
from cds.errors import SiteError
from cds.risk.conformance import CHECKS, complaints
from cds.risk.model import RiskModel
from cds.settings import Settings, read_settings
from cds.site.finding import add_portions, model_classes
from cds.site.site import folder_of

_PLAINLY = (
    ("Tuple should have at least 1 item after validation, not 0", "is empty"),
    ("String should have at least 1 character", "is empty"),
    ("Dictionary should have at least 1 item after validation, not 0", "is empty"),
    ("String should match pattern '^https://'", "is no https:// address"),
    ("Field required", "is missing"),
)


def check_model(name: str, site: Path | None, region: str | None) -> None:
    """Hold one model, by id or folder, to everything that any model must do; the rest of the site may be broken."""
    with told():
        settings = read_settings(site, region=region)
        if site is not None:
            add_portions(site)
        wanted = {name, name.replace("-", "_")}
        found = {cls: folder for cls, (folder, _) in model_classes() if cls.id == name or folder in wanted}
    if not found:
        stop(USAGE, f"{name}: no folder of models/ has such a model; a class counts that has an id and every method")
    lacks = [f"{cls.id}: {fault}" for cls, folder in found.items() for fault in _faults(cls, folder, settings)]
    for fault in lacks:
        out.print(f"fail  {fault}")
    if lacks:
        out.print(f"{len(lacks)} to do.")
        raise typer.Exit(FAILED)
    out.print(f"pass  {', '.join(cls.id for cls in found)}: {len(CHECKS)} checks")


def _faults(cls: type[RiskModel], folder: str, settings: Settings) -> Iterator[str]:
    yield from _left_to_write(cls)
    table = settings.models.get(folder, {})
    if settings.region is not None and "region" in cls.settings_type.model_fields:
        table = {"region": settings.region, **table}
    try:
        model = cls.build(folder_of(cls), cls.settings_type.model_validate(table))
    except SiteError as error:
        yield from _plainly(error.message.removeprefix(f"model {cls.id}: "))
        return
    except ValidationError as error:
        yield from (f"[models.{folder}] {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return
    yield from complaints(model)
    if model.card.shadow_only:
        out.print(f"note  {cls.id}: runs in shadow only: {model.card.shadow_only}")


def _left_to_write(cls: type[RiskModel]) -> Iterator[str]:
    folder = Path(str(folder_of(cls) / "model.py")).parent
    for file in (*sorted(folder.glob("*.py")), *folder.glob("card.yaml")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if FILL_IN in line:
                yield f"{file.name} line {number}: {line.strip().strip(chr(34)).removeprefix('# ')}"


def _plainly(message: str) -> Iterator[str]:
    for theirs, ours in _PLAINLY:
        message = message.replace(theirs, ours)
    card, _, faults = message.partition("card.yaml: ")
    yield from (f"card.yaml {fault}" for fault in faults.split("; ")) if faults and not card else [message]
