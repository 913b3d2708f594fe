"""Says a thing once where one hook event reaches several services: what another's card shows already is left out."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cds.cdshooks.answer import Answer, Deployed, shorten
from cds.cdshooks.record import patient_key
from cds.ledger import AnswerRecord, Whose

Shown = Callable[[Whose, str, datetime], Awaitable[Sequence[AnswerRecord]]]
"""What other services showed a user of a patient since, in one hook instance."""

_EVENT = timedelta(minutes=5)
"""How long one event lasts at most: a client may send the same hook instance for ever."""


async def leave_out_duplicates(said: Answer, deployed: Deployed, served: Iterable[Deployed], shown: Shown) -> None:
    """Take from an info card the orders that another service's card of this event drafts, and a card that it shows.

    A warning stays whole. Of two answers at the same moment neither sees the other: then both are shown.
    """
    user, call = said.call.context.user_id, said.call
    calm = said.error is None and deployed.settings.stage == "live" and _any_info(said.cards)
    if not (user and calm and any(_beside(other, deployed, call.hook) for other in served)):
        return
    whose = Whose(deployed.tenant, deployed.service.id, patient_key(call, deployed), user)
    before = [card for answer in await shown(whose, call.hook_instance, said.at - _EVENT) for card in _cards(answer)]
    if before:
        kept = _without(msgspec.to_builtins(said.cards), before)
        if len(kept) < len(said.cards) or _drafted(kept) != _drafted(msgspec.to_builtins(said.cards)):
            shorten(said, kept)


def _any_info(cards: Sequence[dict[str, Any]]) -> bool:
    return any(card["indicator"] == "info" for card in cards)


def _beside(other: Deployed, deployed: Deployed, hook: str) -> bool:
    return other is not deployed and other.settings.stage == "live" and hook in other.hooks


def _cards(answer: AnswerRecord) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(answer.cards)
    return found


def _without(cards: Sequence[dict[str, Any]], before: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    said, drafted = {card["summary"] for card in before}, _drafted(before)
    return [
        card if card["indicator"] != "info" else _undrafted(card, drafted)
        for card in cards
        if card["indicator"] != "info" or card["summary"] not in said
    ]


def _undrafted(card: dict[str, Any], drafted: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The card without the suggestions all of whose changes are offered already."""
    kept = [s for s in card.get("suggestions", ()) if not (_drafts(s) and all(d in drafted for d in _drafts(s)))]
    rest = {name: value for name, value in card.items() if name not in ("suggestions", "selectionBehavior")}
    return rest | ({"suggestions": kept, "selectionBehavior": card["selectionBehavior"]} if kept else {})


def _drafted(cards: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [draft for card in cards for suggestion in card.get("suggestions", ()) for draft in _drafts(suggestion)]


def _drafts(suggestion: dict[str, Any]) -> list[dict[str, Any]]:
    """What a suggestion would create, without the identifiers that each service gives its own."""
    made = [action.get("resource", action) for action in suggestion.get("actions", ())]
    return [{name: value for name, value in resource.items() if name != "identifier"} for resource in made]
