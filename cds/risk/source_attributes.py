"""The 31 source attributes of 45 CFR 170.315(b)(11)(iv)(B) as a schema of our own, and what a model answers to each.

The regulation is ONC's HTI-1 rule. HTI-5, proposed in December 2025, would remove it; the schema stays, and has a
version.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

from msgspec import Struct

from cds.risk.model_card import ModelCard

SCHEMA = "HTI-1, 45 CFR 170.315(b)(11)(iv)(B), schema 1"
NOT_AVAILABLE = "not available"

Basis = Literal["authored", "computed", "not available"]

_OF_INPUTS: Mapping[str, str] = {
    "age": "date of birth (as age)",
    "sex": "sex",
    "race": "race",
    "ethnicity": "ethnicity",
    "smoking": "health status assessments (smoking)",
    "sdi": "social determinants of health (deprivation index)",
}
"""The variables of (iv)(A)(5)-(13) by the name that an input has here."""


class Asked(Struct, frozen=True):
    """One attribute as the regulation asks for it; `key` is our name for it in files."""

    number: int
    key: str
    group: str
    wording: str

    @property
    def name(self) -> str:
        """The key for a person: "intended use"."""
        return self.key.replace("_", " ")


class Attribute(Struct, frozen=True):
    """A model's answer to one attribute. `repeats`: the part of its fact sheet where the same stands, if one does."""

    asked: Asked
    text: str
    basis: Basis
    repeats: str = ""


@cache
def schema() -> tuple[Asked, ...]:
    """All 31 in the regulation's order."""
    with (files("cds.risk") / "source_attributes.csv").open(encoding="utf-8") as lines:
        return tuple(
            Asked(int(row["number"]), row["key"], row["group"], row["wording"]) for row in csv.DictReader(lines)
        )


def attributes(card: ModelCard, inputs: Iterable[str]) -> tuple[Attribute, ...]:
    """Each attribute answered: as its author wrote it, else as the card itself says it, else "not available".

    `inputs` are the names of the model's features.
    """
    computed = dict(_computed(card, frozenset(inputs)))
    return tuple(_answer(asked, card.source_attributes.get(asked.number, ""), computed) for asked in schema())


def _answer(asked: Asked, written: str, computed: Mapping[int, tuple[str, str]]) -> Attribute:
    if written and written.casefold() != NOT_AVAILABLE:
        return Attribute(asked, written, "authored")
    if asked.number in computed:
        text, repeats = computed[asked.number]
        return Attribute(asked, text, "computed", repeats)
    return Attribute(asked, NOT_AVAILABLE, "not available")


def _computed(card: ModelCard, inputs: frozenset[str]) -> Iterator[tuple[int, tuple[str, str]]]:
    """What the card holds under another name, with the part of the sheet in which it stands."""
    yield 3, (f"{card.what}.", "Outcome")
    yield 4, (_type(card), "")
    yield 5, (card.intended_use, "Intended use")
    yield 6, (card.population, "Population")
    yield 7, (card.intended_users, "Intended users")
    yield 8, ("Informs: supports clinical judgement and does not replace it.", "")
    yield 9, (" ".join(card.cautions), "Cautions")
    unverified = (f"UNVERIFIED: {text}" for text in card.unverified)
    yield 10, (" ".join((*card.cautions, *unverified)), "Cautions and Not verified")
    used = [said for name, said in _OF_INPUTS.items() if name in inputs]
    yield 12, (f"Of these variables: {', '.join(used) or 'none by name'}. All inputs are listed under Inputs.", "")


def _type(card: ModelCard) -> str:
    if card.horizons_years:
        return "Prediction: the probability of an outcome within a time."
    return "Evaluation: a score or value by published rules, which is no probability by itself."
