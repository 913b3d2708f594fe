"""A site's models as a recipe that another process, or another machine, can follow."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from cds.batch.scorers import Scorers
from cds.errors import SiteError
from cds.settings import Settings, read_settings
from cds.site.loading import load_site


class SiteRecipe(Struct, frozen=True):
    """`folder` and `settings` as `load_site` takes them, and the ids of the models wanted."""

    folder: str | None
    settings: Settings
    models: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path | None, settings: Settings, models: tuple[str, ...]) -> "SiteRecipe":
        """Of the settings only what a score depends on: no client, no key, no address travels."""
        kept = {name: getattr(settings, name) for name in ("region", "models", "codes", "units")}
        return cls(str(folder.resolve()) if folder else None, Settings.model_construct(**kept), models)

    def __call__(self) -> Scorers:
        site = load_site(Path(self.folder) if self.folder else None, self.settings)
        for name in self.models:
            if name not in site.models:
                known = ", ".join(site.models)
                raise SiteError(f"{name}: {site.unavailable.get(name, f'there is no such model; there are {known}')}")
        return Scorers([site.models[name] for name in self.models], site.vocabulary)


def recipe(models: str | Sequence[str], *, site: str | None = None, region: str | None = None) -> SiteRecipe:
    """The recipe for some models of a site's folder, or of none, as a notebook asks for it. Raises SiteError."""
    folder = Path(site) if site else None
    names = (models,) if isinstance(models, str) else tuple(models)
    made = SiteRecipe.of(folder, read_settings(folder, region=region), names)
    made()
    return made
