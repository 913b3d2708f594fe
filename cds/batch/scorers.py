"""What a process needs to score: the models and their vocabulary, made from a recipe that travels between processes."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from msgspec import json

from cds.features.feature import Need
from cds.features.needs import union
from cds.fhir.codes import Vocabulary
from cds.risk.model import RiskModel


class Scorers:
    """Some models of a site, with the codes that they read and no others."""

    def __init__(self, models: Sequence[RiskModel], vocabulary: Vocabulary) -> None:
        """`vocabulary` is the site's, with its local codes and units."""
        self.models = tuple(models)
        sets = {codes.name: codes for model in self.models for codes in model.predictors.code_sets()}
        self.vocabulary = vocabulary.only(sets.values())

    @property
    def fingerprint(self) -> str:
        """A digest of the site's own codes and units, which decide what is found."""
        told = [sorted(self.vocabulary.local.items()), sorted(self.vocabulary.units.items())]
        return sha256(json.encode(told)).hexdigest()

    @property
    def reads(self) -> str:
        """A digest of what is kept of an export: the types of resources, the codes, and the site's own codes."""
        types = sorted({need.resource_type for need in self.needs})
        sets = sorted((codes.name, codes.entries) for codes in self.vocabulary.sets.values())
        return sha256(json.encode([types, sets, sorted(self.vocabulary.local.items())])).hexdigest()

    @property
    def code(self) -> str:
        """A digest of all code and tables on which a score hangs: Bedside's own, and each model's folder."""
        found = sha256()
        for folder in (
            *(files("cds") / room for room in _ROOMS),
            *{str(m.folder): m.folder for m in self.models}.values(),
        ):
            for path in _files(folder):
                found.update(path.name.encode() + sha256(path.read_bytes()).digest())
        return found.hexdigest()

    @cached_property
    def needs(self) -> tuple[Need, ...]:
        """What the models read, each need once."""
        return union(need for model in self.models for need in model.predictors.needs())


_ROOMS = ("fhir", "features", "risk", "batch")
_CODE = (".py", ".csv", ".yaml", ".joblib")


def _files(folder: Traversable) -> Iterator[Traversable]:
    """Code and tables below a folder, in the order of their names."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.is_dir():
            yield from _files(path)
        elif path.name.endswith(_CODE):
            yield path


Recipe = Callable[[], Scorers]
"""Makes the scorers anew in another process; it can be pickled, and carries no secret."""
