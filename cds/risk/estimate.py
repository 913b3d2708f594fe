"""What scoring answers: a risk with its estimates, or why there is none; never a guess, never NaN."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar, Final

from msgspec import Struct

from cds.features.feature import Bound
from cds.features.predictors import Predictors

VARIANT_INPUTS: Final = "variant-inputs"
"""The reason with which a variant of an equation says that only its own optional inputs are missing."""
_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})


class Estimate(Struct, frozen=True):
    """The probability (0 to 1) of an outcome within a horizon in years; with a `bound`, the truth lies beyond it."""

    outcome: str
    horizon_years: float
    probability: float
    bound: Bound | None = None

    @property
    def percent(self) -> float:
        """The probability as FHIR R4's probabilityDecimal reads it: a percentage with six decimals."""
        return round(self.probability * 100, 6)


class Score(Struct, frozen=True):
    """A number that is no probability, points or a measure in its `unit`, with its class in the publication's words."""

    outcome: str
    value: float
    unit: str = "points"
    band: str = ""
    bound: Bound | None = None

    horizon_years: ClassVar[None] = None


Number = Estimate | Score
"""What a model gives: of an outcome within a horizon the probability, or a score."""


class Refusal(Struct, frozen=True):
    """Why a model does not score: a closed `reason` code and a `text` that a clinician understands."""

    reason: str
    text: str


class Risk(Struct, frozen=True):
    """A scored row. `cautions` are sentences that must stand beside the number wherever it is shown."""

    model: str
    version: str
    at: datetime
    row: Predictors
    estimates: tuple[Number, ...]
    cautions: tuple[str, ...] = ()

    def within(self, years: float, outcome: str | None = None) -> Estimate:
        """The probability of an outcome, or of the first there is, within a horizon. Raises KeyError for none."""
        for estimate in self.estimates:
            wanted = estimate.horizon_years == years and outcome in (None, estimate.outcome)
            if wanted and isinstance(estimate, Estimate):
                return estimate
        raise KeyError(f"{self.model} has no {years:g}-year estimate")

    def score(self, outcome: str | None = None) -> Score:
        """The score of an outcome, or the first there is. Raises KeyError when the model gives none."""
        for estimate in self.estimates:
            if isinstance(estimate, Score) and outcome in (None, estimate.outcome):
                return estimate
        raise KeyError(f"{self.model} gives no such score")


class NotScored(Struct, frozen=True):
    """A row that was not scored, with the reason for the ledger and the text for the person."""

    model: str
    version: str
    at: datetime
    row: Predictors
    reason: str
    text: str
    cautions: tuple[str, ...] = ()


Outcome = Risk | NotScored


def beside(
    outcome: Outcome, outcomes: Iterable[Outcome], failed: Iterable[str] = (), names: Mapping[str, str] = _NO_NAMES
) -> tuple[str, ...]:
    """What must be said beside an outcome that is shown, in plain text: its cautions, and what became of other models.

    `outcomes` are those of every model that was asked, `failed` the ids of those that broke, `names` what a person
    calls a model, by its id. Only a variant that lacks its own inputs is replaced by what is shown.
    """
    refused = (o for o in outcomes if isinstance(o, NotScored) and o.model != outcome.model)
    instead = (
        f"{o.text}; the {outcome.model} equation is shown instead"
        if o.reason == VARIANT_INPUTS
        else f"{names.get(o.model, o.model)} is not calculated: {o.text}"
        for o in refused
    )
    broken = (f"the model {model} failed and is not shown" for model in failed)
    return (*outcome.cautions, *(instead if isinstance(outcome, Risk) else ()), *broken)
