"""What a risk model is: its card, its predictors, whom it refuses, and its formula for one row."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from importlib.resources.abc import Traversable
from typing import Any, ClassVar, Self

from msgspec import Struct
from pydantic import BaseModel, ConfigDict

from cds.features.predictors import Predictors
from cds.fhir.chart import Chart
from cds.risk.estimate import Number, Refusal
from cds.risk.explanation import Course, Explanation, Input, Knob, OutOfRange, plain_inputs
from cds.risk.model_card import ModelCard, Threshold, read_card


class ModelSettings(BaseModel):
    """What a site must or may set for a model, as `[models.<folder>]` in site.toml. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Slot = tuple[str, float | None]
"""Which number of a model: its outcome, and of a probability its horizon in years."""


class Reference(Struct, frozen=True):
    """A row with a published or independently computed answer.

    `expected`: a probability (0 to 1) by its horizon in years, or any number by its slot; what is not named is not
    compared. `tolerance`: half a unit in the last place of what was published, or 1e-9 of what was computed exactly.
    """

    row: Predictors
    settings: Mapping[str, Any]
    expected: Mapping[float | Slot, float]
    tolerance: float = 1e-9


class RiskModel(ABC):
    """A risk model. Subclasses in `models/<folder>/model.py` are found by the site; nothing is registered.

    A row goes to `refuse` first; only when that returns None, `predict` answers its estimates. Both depend on the row
    and the settings alone, so that any row can be replayed to the last bit.
    """

    id: ClassVar[str]
    predictors: type[Predictors]
    settings_type: ClassVar[type[ModelSettings]] = ModelSettings
    reference: ClassVar[str] = "reference.csv"
    """The file beside card.yaml with inputs and expected estimates that the conformance checks reproduce."""

    folder: Traversable
    """Where card.yaml and the reference file lie."""

    card_of_variant: ClassVar[Mapping[str, Any]] = {}
    """Members of card.yaml that differ for this class when several models share a folder."""

    def __init__(self, card: ModelCard, settings: Any) -> None:
        self.card = card
        self.settings = settings

    @classmethod
    def build(cls, folder: Traversable, settings: ModelSettings) -> Self:
        """The model with the card.yaml of its folder. Raises SiteError when the card is incomplete."""
        model = cls(read_card(folder / "card.yaml", **cls.card_of_variant), settings)
        model.folder = folder
        return model

    @cached_property
    def recorded_settings(self) -> dict[str, Any]:
        """The settings as the ledger keeps them beside a score."""
        return self.settings.model_dump(mode="json")  # type: ignore[no-any-return]

    @property
    def version(self) -> str:
        return self.card.version

    @abstractmethod
    def refuse(self, row: Any) -> Refusal | None:
        """Why this row must not be scored, or None."""

    @abstractmethod
    def predict(self, row: Any) -> Sequence[Number]:
        """Estimates for a row that was not refused."""

    def cautions(self, row: Any) -> Sequence[str]:
        """Sentences that must stand beside this row's number."""
        return ()

    def exclusions(self, row: Any) -> Sequence[str]:
        """What was looked for and surely not found in a scored row: "kidney transplant"."""
        return ()

    @property
    def title(self) -> str:
        """The card's name with what this site chose: the line under which a number is shown."""
        return self.card.name

    @property
    def thresholds(self) -> Sequence[Threshold]:
        """The card's cut-points, as this site set them."""
        return self.card.thresholds

    def standing(self, row: Any) -> str:
        """A scored row's class in the field's own staging ("KDIGO G3b, A3"), or nothing."""
        return ""

    def inputs(self, row: Any) -> Sequence[Input]:
        """What a score of this row rests on, or would: the card's inputs, in its order."""
        return plain_inputs(row, tuple(self.card.inputs))

    def explanation(self, row: Any) -> Explanation | None:
        """Every term of a scored row's number; None for a model whose terms are not known."""
        return None

    def measured(self, chart: Chart, at: datetime) -> Course | None:
        """The measurement that tells the course of the disease, up to `at`, oldest first; None for none."""
        return None

    def knobs(self, row: Any) -> Sequence[Knob]:
        """What a what-if may change in a scored row."""
        return ()

    def with_changes(self, row: Any, **values: float) -> Predictors:
        """A scored row with some of its knobs turned. Raises OutOfRange for what no knob allows."""
        raise OutOfRange("this model has no what-if")

    @classmethod
    @abstractmethod
    def reference_row(cls, values: Mapping[str, str]) -> Reference | None:
        """A line of the reference file as a row, its settings and what must come out; None for another model's line."""
