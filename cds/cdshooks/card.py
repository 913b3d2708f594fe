"""A card as a service writes it, and as it goes over the wire."""

from collections.abc import Mapping, Sequence
from hashlib import sha1
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from cds.errors import ModelFailed
from cds.text import plain, visible

_NAMESPACE = bytes.fromhex("5f1b4b5c4b2f5c0e9d641d9a51b4c0de")
Indicator = Literal["info", "warning", "critical"]
SUMMARY_LIMIT = 140
EVERY_ACTION = frozenset({"create", "update", "delete"})

_NO_SHEETS: Mapping[str, str] = {}

REASON_SYSTEM = "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes"


class Coding(Struct, frozen=True):
    code: str
    system: str
    display: str | UnsetType = UNSET


class Action(Struct, frozen=True):
    """One change that the EHR makes when its user accepts the suggestion."""

    type: Literal["create", "update", "delete"]
    description: str
    resource: Mapping[str, Any] | UnsetType = UNSET
    resourceId: str | UnsetType = UNSET  # noqa: N815 - the wire's name


class Suggestion(Struct, frozen=True):
    label: str
    actions: tuple[Action, ...]
    recommended: bool = False


class Link(Struct, frozen=True):
    label: str
    url: str
    type: Literal["absolute", "smart"] = "absolute"
    appContext: str | UnsetType = UNSET  # noqa: N815 - the wire's name


class Source(Struct, frozen=True):
    label: str
    url: str
    topic: Coding


class Card(Struct, frozen=True):
    """A card before it has its ids. `summary` is one plain sentence under 140 characters, `detail` is Markdown."""

    summary: str
    indicator: Indicator
    source: Source
    detail: str = ""
    suggestions: tuple[Suggestion, ...] = ()
    links: tuple[Link, ...] = ()
    override_reasons: tuple[Coding, ...] = ()
    advice: str = ""
    """What to consider, as the detail says it in Markdown: plain text for a page, not on the wire."""
    notes: tuple[str, ...] = ()
    """The cautions that the detail names, in plain text; not on the wire."""


def on_wire(
    cards: Sequence[Card],
    seed: str,
    *,
    actions: frozenset[str] = EVERY_ACTION,
    links: tuple[Link, ...] = (),
    sheets: Mapping[str, str] = _NO_SHEETS,
) -> list[dict[str, Any]]:
    """Cards as CDS Hooks JSON, most urgent first, with ids that are the same for the same seed.

    A suggestion with an action that is not among `actions` becomes a sentence; `links` are added to every card,
    and a source whose label stands in `sheets` leads there.

    Raises ModelFailed when a card breaks the standard's limits: better no card than one that the EHR cuts off.
    """
    ordered = sorted(cards, key=lambda card: ("critical", "warning", "info").index(card.indicator))
    made = (_sourced(_linked(_spoken(card, actions), links), sheets) for card in ordered)
    return [_card(card, f"{seed}/{number}") for number, card in enumerate(made)]


def _sourced(card: Card, sheets: Mapping[str, str]) -> Card:
    url = sheets.get(card.source.label)
    return replace(card, source=replace(card.source, url=url)) if url else card


def _linked(card: Card, links: tuple[Link, ...]) -> Card:
    return replace(card, links=(*links, *card.links)) if links else card


def _spoken(card: Card, actions: frozenset[str]) -> Card:
    """The card for an EHR that carries out `actions` only: what it cannot do is said instead of offered."""
    if actions >= EVERY_ACTION:
        return card
    offered = tuple(s for s in card.suggestions if all(action.type in actions for action in s.actions))
    if len(offered) == len(card.suggestions):
        return card
    said = "; ".join(plain(suggestion.label) for suggestion in card.suggestions if suggestion not in offered)
    parts = (card.detail, f"**To be done by hand in this system:** {said}.")
    return replace(card, suggestions=offered, detail="\n\n".join(filter(None, parts)))


def card_id(seed: str) -> str:
    """A name-based UUID (version 5): the same seed gives the same id on every server and after every restart."""
    digest = bytearray(sha1(_NAMESPACE + seed.encode(), usedforsecurity=False).digest()[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x50, digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _card(card: Card, seed: str) -> dict[str, Any]:
    summary = visible(card.summary)
    if not 0 < len(summary) < SUMMARY_LIMIT:
        raise ModelFailed("a card's summary is empty or too long")
    wire: dict[str, Any] = {
        "uuid": card_id(seed),
        "summary": summary,
        "indicator": card.indicator,
        "source": card.source,
    }
    if card.detail:
        wire["detail"] = card.detail
    if card.suggestions:
        wire["suggestions"] = [_suggestion(s, f"{seed}/{n}") for n, s in enumerate(card.suggestions)]
        wire["selectionBehavior"] = "any"
    if card.links:
        wire["links"] = card.links
    if card.override_reasons:
        wire["overrideReasons"] = card.override_reasons
    return wire


def _suggestion(suggestion: Suggestion, seed: str) -> dict[str, Any]:
    wire: dict[str, Any] = {"label": suggestion.label, "uuid": card_id(seed)}
    if suggestion.recommended:
        wire["isRecommended"] = True
    if suggestion.actions:
        wire["actions"] = suggestion.actions
    return wire
