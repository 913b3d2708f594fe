"""A model's card: what it is, for whom, from where, and what nobody has checked yet."""

from collections.abc import Mapping
from importlib.resources.abc import Traversable
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cds.errors import SiteError

SOURCE_ATTRIBUTES = 31
"""The number of source attributes of 45 CFR 170.315(b)(11)(iv)(B); "not available" is a value."""


class Threshold(BaseModel):
    """A cut-point with the action it stands for and where it was published."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    horizon_years: float
    percent: float
    action: str
    source: str


class ModelCard(BaseModel):
    """What card.yaml must say. Every text is for a clinician; `unverified` lists what no source confirms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    short_name: str = Field(min_length=1)
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    citation: tuple[str, ...] = Field(min_length=1)
    outcome: str = Field(min_length=1)
    horizons_years: tuple[float, ...] = Field(min_length=1)
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
    source_attributes: Mapping[int, str] = Field(default_factory=dict)


def read_card(source: Traversable, **overrides: Any) -> ModelCard:
    """Read card.yaml; `overrides` replace its members, and add to those that are mappings.

    Raises SiteError that names the member at fault.
    """
    try:
        raw = yaml.safe_load(source.read_text(encoding="utf-8"))
        own = {name: {**raw[name], **value} if isinstance(value, dict) else value for name, value in overrides.items()}
        return ModelCard.model_validate({**raw, **own})
    except FileNotFoundError:
        raise SiteError(f"{source.name} is missing") from None
    except (yaml.YAMLError, TypeError, KeyError) as error:
        raise SiteError(f"{source.name} is not a YAML mapping: {type(error).__name__}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SiteError(f"{source.name}: {faults}") from None
