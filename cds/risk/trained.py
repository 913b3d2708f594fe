"""A trained scikit-learn model, opened only when its file and its library are those that its card names."""

import platform
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar, Self

from msgspec import Struct

from cds.errors import SiteError
from cds.risk.artefact import Artefact
from cds.risk.estimate import Estimate
from cds.risk.estimator import Cell, Columns, Estimator, opened, refuse_other_file, refuse_other_library
from cds.risk.explanation import Contribution, Explanation
from cds.risk.model import ModelSettings, RiskModel

MOST_SHARED = 10
"""Beyond so many columns there are too many ways in which to share a difference out among them."""


class Told(Struct, frozen=True):
    """A column for a person: its name, and its value with the unit: "Creatinine", "1.1 mg/dL"."""

    name: str
    value: str


class TrainedModel(RiskModel):
    """A risk model whose number comes from an estimator of scikit-learn, kept with joblib beside card.yaml.

    Building it reads the file's SHA-256 and the library's version, without importing the library. The file is opened
    when a number is first asked for, or by the proof before a server is ready; its golden vectors are tried then.
    """

    reference_person: ClassVar[str] = ""
    """Against whom a number is explained: "a woman of 65 with a creatinine of 0.9 mg/dL"."""
    reference_columns: ClassVar[Columns] = {}
    """That person's columns."""

    @classmethod
    def build(cls, folder: Traversable, settings: ModelSettings) -> Self:
        """As RiskModel. Raises SiteError for a file or a library that is not the card's, NotInstalled without any.

        SiteError too for a card without exactly one horizon.
        """
        model = super().build(folder, settings)
        try:
            _refuse_other_than_one(model.card.horizons_years)
            refuse_other_library(model.artefact)
            refuse_other_file(model.file, model.artefact)
        except SiteError as error:
            raise type(error)(f"model {model.id}: {error.message}") from None
        return model

    @property
    def artefact(self) -> Artefact:
        if self.card.artefact is None:
            raise SiteError(f"model {self.id}: card.yaml has no artefact, and this model is trained")
        return self.card.artefact

    @property
    def file(self) -> Path:
        return Path(str(self.folder / self.artefact.file))

    @property
    def made_elsewhere(self) -> str:
        """That another Python made the file than runs it; "" where they are the same. The golden vectors decide."""
        made, here = self.artefact.python, platform.python_version()
        return "" if made.split(".")[:2] == here.split(".")[:2] else f"made with Python {made}, and this is {here}"

    @abstractmethod
    def columns(self, row: Any) -> Columns:
        """What the estimator takes of a row that was not refused, by the names that the card's artefact lists."""

    def told(self, column: str, value: Cell) -> Told:
        """A column as the explanation shows it."""
        shown = value if isinstance(value, str) else f"{value:.4g}"
        return Told(column.replace("_", " ").capitalize(), shown)

    def predict(self, row: Any) -> Sequence[Estimate]:
        """The probability of the card's one outcome within its one horizon."""
        (years,) = self.card.horizons_years
        (probability,) = self.estimator.probabilities([self.columns(row)])
        return (Estimate(self.card.outcome, years, probability),)

    def explanation(self, row: Any) -> Explanation | None:
        """What each column does to the log odds beside the reference person; together they are the whole difference."""
        if not self.reference_columns or len(self.artefact.columns) > MOST_SHARED:
            return None
        columns = self.columns(row)
        (years,) = self.card.horizons_years
        (reference,) = self.estimator.probabilities([self.reference_columns])
        parts = self.estimator.shared_out(columns, self.reference_columns)
        return Explanation(
            self.reference_person,
            {years: reference},
            tuple(self._contribution(name, columns[name], amount) for name, amount in parts.items()),
        )

    def _contribution(self, column: str, value: Cell, amount: float) -> Contribution:
        own, other = self.told(column, value), self.told(column, self.reference_columns[column])
        return Contribution(own.name, own.value, other.value, amount, "log odds")

    @cached_property
    def estimator(self) -> Estimator:
        """The opened file. Raises SiteError when it is not the card's, cannot be opened, or answers otherwise."""
        try:
            return opened(self.file, self.artefact)
        except SiteError as error:
            raise SiteError(f"model {self.id}: {error.message}") from None


def _refuse_other_than_one(horizons: tuple[float, ...]) -> None:
    if len(horizons) != 1:
        raise SiteError("card.yaml horizons_years: a trained model needs exactly one horizon, as [5]")
