"""A model's fact sheet: its card in the order in which a clinician asks, the same for the terminal and the page."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from cds.risk.model import RiskModel
from cds.risk.model_card import ModelCard, Threshold
from cds.risk.source_attributes import NOT_AVAILABLE, Attribute, attributes
from cds.text import day_text

SETTINGS = "Settings here"
"""The heading under which a sheet tells how this site has set up the model."""


class Section(Struct, frozen=True):
    heading: str
    lines: tuple[str, ...]


class FactSheet(Struct, frozen=True):
    """One model. `unverified` is what no source confirms, and stands before everything that rests on it."""

    id: str
    name: str
    version: str
    url: str
    outcome: str
    use: str
    unverified: tuple[str, ...]
    sections: tuple[Section, ...]
    attributes: tuple[Attribute, ...]
    written: str
    """By whom and when the authored attributes were written; "" where the card does not say."""

    @property
    def available(self) -> int:
        """How many of the attributes have an answer."""
        return len(self.attributes) - len(self.lacking)

    @property
    def lacking(self) -> tuple[str, ...]:
        """Those without an answer, by number and name: "2 funding"."""
        asked = (one.asked for one in self.attributes if one.basis == NOT_AVAILABLE)
        return tuple(f"{one.number} {one.name}" for one in asked)


def fact_sheet(cls: type[RiskModel], card: ModelCard, model: RiskModel | None = None) -> FactSheet:
    """The sheet of a model; with `model` its thresholds and settings are this site's."""
    sections = (Section(heading, tuple(lines)) for heading, lines in _sections(card, model))
    return FactSheet(
        id=cls.id,
        name=card.name,
        version=card.version,
        url=card.url,
        outcome=card.what,
        use=card.intended_use,
        unverified=card.unverified,
        sections=tuple(section for section in sections if section.lines),
        attributes=attributes(card, (*cls.predictors.features(), *card.inputs)),
        written=_written(card),
    )


def _sections(card: ModelCard, model: RiskModel | None) -> Iterator[tuple[str, Iterable[str]]]:
    yield "Outcome", (f"{card.what}.",)
    yield "Intended use", (card.intended_use,)
    yield "Intended users", (card.intended_users,)
    yield "Population", (card.population,)
    yield "Cautions", card.cautions
    yield "Thresholds", _cut_points(model.thresholds if model else card.thresholds)
    yield "Inputs", (f"{name}: {text}" for name, text in card.inputs.items())
    yield "Constants", (f"{name}: {text}" for name, text in card.constants.items())
    yield SETTINGS, _settings(model)
    yield "What was checked against what", card.checked
    yield "Published in", card.citation
    yield "Licence", (card.licence,)


def _cut_points(thresholds: Iterable[Threshold]) -> Iterator[str]:
    """Where each lies, what it calls for, and who says so: "5% within 5 years: …", "MELD 3.0, 15 or more: …"."""
    for one in thresholds:
        cut = f"above {one.words}" if one.at_least is None else one.words
        within = f" within {one.horizon_years:g} years" if one.horizon_years is not None else ""
        words = f"{one.outcome}, {cut}" if one.outcome else f"{cut[0].upper()}{cut[1:]}"
        yield f"{words}{within}: {one.action} ({one.source})"


def _settings(model: RiskModel | None) -> Iterator[str]:
    for name, value in model.recorded_settings.items() if model else ():
        if value is not None:
            yield f"{name.replace('_', ' ')}: {value}"


def _written(card: ModelCard) -> str:
    written = card.attributes_written
    return f"{written.by}, {day_text(written.when)}, for version {card.version}" if written else ""
