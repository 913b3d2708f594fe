"""What scoring answers: a risk with its estimates, or why there is none; never a guess, never NaN."""

from datetime import datetime

from msgspec import Struct

from cds.features.feature import Bound
from cds.features.predictors import Predictors


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
    estimates: tuple[Estimate, ...]
    cautions: tuple[str, ...] = ()

    def within(self, years: float) -> Estimate:
        """The estimate for a horizon. Raises KeyError when the model has none."""
        for estimate in self.estimates:
            if estimate.horizon_years == years:
                return estimate
        raise KeyError(f"{self.model} has no {years}-year estimate")


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
