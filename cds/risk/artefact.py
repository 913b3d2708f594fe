"""What a card says of a trained model: the file that is the model, what made it, and how well it did on whose data."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Interval = tuple[float, float, float]
"""An estimate, and the lower and the upper end of its 95% confidence interval."""

_Text = Annotated[str, Field(min_length=1)]


class Artefact(BaseModel):
    """The joblib file beside card.yaml, its SHA-256, and the versions with which it was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str = Field(pattern=r"^[A-Za-z0-9_.-]+\.joblib$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    python: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    scikit_learn: str = Field(pattern=r"^\d+\.\d+")
    columns: tuple[_Text, ...] = Field(min_length=1)
    """What the estimator takes, in its order."""
    golden: str = Field(default="golden.csv", pattern=r"^[A-Za-z0-9_.-]+\.csv$")
    """The file beside it with columns and the probability that must come out, tried before the first score."""


class Performance(BaseModel):
    """How well the model did in some of the people: c-statistic, and observed over expected events."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: _Text
    people: int = Field(gt=0)
    events: int = Field(ge=0)
    discrimination: Interval
    observed_expected: Interval
    slope: Interval | None = None
    """Of the calibration line on the log odds; 1 is perfect."""


class Validation(BaseModel):
    """On whose data the model was tried, how, by whom and when. A trained model without one runs in shadow only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["internal", "external", "local"]
    data: _Text
    method: _Text
    done_by: _Text
    done_on: str = Field(pattern=r"^\d{4}-\d\d-\d\d$")
    groups: tuple[Performance, ...] = Field(min_length=1)
