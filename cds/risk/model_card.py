"""A model's card: what it is, for whom, from where, and what nobody has checked yet."""

from collections.abc import Mapping
from datetime import date
from importlib.resources.abc import Traversable
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cds.errors import SiteError
from cds.risk.artefact import Artefact, Validation
from cds.risk.estimate import Estimate, Number

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The safe loader in C, ten times as fast, where PyYAML was built with it."""
SOURCE_ATTRIBUTES = 31
"""The number of source attributes of 45 CFR 170.315(b)(11)(iv)(B); "not available" is a value."""
SourceAttribute = Annotated[int, Field(ge=1, le=SOURCE_ATTRIBUTES)]


class Written(BaseModel):
    """Who wrote something, and when."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: str = Field(min_length=1)
    when: date


class Threshold(BaseModel):
    """A cut-point with the action it stands for and where it was published.

    Exactly one of `percent` (a probability strictly above it), `above` (a score strictly above it) and `at_least`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    horizon_years: float | None = None
    percent: float | None = None
    above: float | None = None
    at_least: float | None = None
    outcome: str = ""
    """Which of the card's outcomes; "" for the only one."""
    action: str
    source: str

    @model_validator(mode="after")
    def _one_kind(self) -> "Threshold":
        if sum(value is not None for value in (self.percent, self.above, self.at_least)) != 1:
            raise ValueError("a threshold has one of percent, above and at_least")
        if (self.percent is None) != (self.horizon_years is None):
            raise ValueError("a percent has a horizon_years, and a score has none")
        return self

    def about(self, number: Number) -> bool:
        """Whether the threshold is one of this number."""
        return self.horizon_years == number.horizon_years and self.outcome in ("", number.outcome)

    def told(self, number: Number) -> Literal["above", "not above", "unknown"]:
        """Whether a number is above: "at least 9.8%" may be above 10 %, and "at most 29.4%" need not be above 5 %."""
        above = self._crossed(number)
        if number.bound == ("at most" if above else "at least"):
            return "unknown"
        return "above" if above else "not above"

    def _crossed(self, number: Number) -> bool:
        if isinstance(number, Estimate):
            return number.probability * 100 > (self.percent or 0)
        return number.value > self.above if self.above is not None else number.value >= (self.at_least or 0)

    @property
    def words(self) -> str:
        """The cut-point for a person: "5%", "2.67", "2 or more"."""
        if self.percent is not None:
            return f"{self.percent:g}%"
        return f"{self.above:g}" if self.above is not None else f"{self.at_least:g} or more"


class ModelCard(BaseModel):
    """What card.yaml must say. Every text is for a clinician; `unverified` lists what no source confirms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    short_name: str = Field(min_length=1)
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    citation: tuple[str, ...] = Field(min_length=1)
    outcome: str = Field(min_length=1)
    """What the number is about; of several `outcomes`, the name of them all."""
    outcomes: tuple[str, ...] = ()
    horizons_years: tuple[float, ...] = ()
    """None for a score."""
    intended_use: str = Field(min_length=1)
    intended_users: str = Field(min_length=1)
    population: str = Field(min_length=1)
    cautions: tuple[str, ...] = Field(min_length=1)
    inputs: Mapping[str, str] = Field(min_length=1)
    constants: Mapping[str, str] = Field(default_factory=dict)
    thresholds: tuple[Threshold, ...] = ()
    licence: str = Field(min_length=1)
    checked: tuple[str, ...] = Field(min_length=1)
    unverified: tuple[str, ...] = ()
    topic: Mapping[str, str] = Field(min_length=2)
    url: str = Field(pattern=r"^https://")
    source_attributes: Mapping[SourceAttribute, str] = Field(default_factory=dict)
    """Answers by number; what is not here, the card answers under another name, or it is not available."""
    attributes_written: Written | None = None
    """By whom and when `source_attributes` were written, for this version."""
    artefact: Artefact | None = None
    """Of a trained model: the file that it is."""
    validation: Validation | None = None

    @property
    def shadow_only(self) -> str:
        """Why the model may not be shown to anybody yet; "" when it may."""
        unproven = self.artefact is not None and self.validation is None
        return "it is trained, and its card.yaml has no validation" if unproven else ""

    @property
    def slots(self) -> tuple[tuple[str, float | None], ...]:
        """Every number the model may give, in order: its outcome, and of a probability its horizon."""
        return tuple((o, h) for o in self.outcomes or (self.outcome,) for h in self.horizons_years or (None,))

    @property
    def what(self) -> str:
        """What is told, for a person: "Kidney failure, within 2 and 5 years", or the name of a score."""
        years = " and ".join(f"{horizon:g}" for horizon in self.horizons_years)
        told = ", ".join(self.outcomes) if self.outcomes else self.outcome
        return f"{told}, within {years} years" if years else told


def read_card(source: Traversable, **overrides: Any) -> ModelCard:
    """Read card.yaml; `overrides` replace its members, and add to those that are mappings.

    Raises SiteError that names the member at fault.
    """
    try:
        raw = yaml.load(source.read_text(encoding="utf-8"), _LOADER)  # noqa: S506 - it is the safe one
        own = {name: {**raw[name], **value} if isinstance(value, dict) else value for name, value in overrides.items()}
        return ModelCard.model_validate({**raw, **own})
    except FileNotFoundError:
        raise SiteError(f"{source.name} is missing") from None
    except (yaml.YAMLError, TypeError, KeyError) as error:
        raise SiteError(f"{source.name} is not a YAML mapping: {type(error).__name__}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SiteError(f"{source.name}: {faults}") from None
