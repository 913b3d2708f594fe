"""Says a thing once where one hook event reaches several services: what another's card shows already is left out."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cds.cdshooks.answer import Answer, Deployed, reasons_of, shorten
from cds.cdshooks.record import patient_key
from cds.ledger import AnswerRecord, Whose

Shown = Callable[[Whose, str, str, datetime], Awaitable[Sequence[AnswerRecord]]]
"""What other services showed a user of a patient since, by hook and hook instance."""

_LONGEST = timedelta(minutes=5)
"""How long an event lasts at most: a client may send the same hook instance for ever."""

Wire = dict[str, Any]


async def leave_out_duplicates(said: Answer, deployed: Deployed, served: Iterable[Deployed], shown: Shown) -> None:
    """Take from an info card the orders that another service's card of this event drafts, and a card that it shows.

    A warning stays whole, and so does a card that never rests. Of two answers at the same moment neither sees the
    other: then both are shown.
    """
    user, call = said.call.context.user_id, said.call
    if not user or not _may_be_shortened(said, deployed):
        return
    if not any(_beside(other, deployed, call.hook) for other in served):
        return
    whose = Whose(deployed.tenant, deployed.service.id, patient_key(call, deployed), user)
    answers = await shown(whose, call.hook, call.hook_instance, said.at - _LONGEST)
    before = [card for answer in answers for card in msgspec.json.decode(answer.cards)]
    now = msgspec.to_builtins(said.cards)
    if (kept := _without(now, before)) != now:
        shorten(said, kept)


def _may_be_shortened(said: Answer, deployed: Deployed) -> bool:
    if said.error is not None or deployed.settings.stage != "live":
        return False
    rests = reasons_of(said).isdisjoint(deployed.service.never_rest)
    return rests and any(card["indicator"] == "info" for card in said.cards)


def _beside(other: Deployed, deployed: Deployed, hook: str) -> bool:
    return other is not deployed and other.settings.stage == "live" and hook in other.hooks


def _without(cards: Sequence[Wire], before: Sequence[Wire]) -> list[Wire]:
    offered = [drafts for card in before for drafts in map(_drafts, card.get("suggestions", ()))]
    kept = (card if card["indicator"] != "info" else _undrafted(card, offered) for card in cards)
    told = [_told(card) for card in before]
    return [card for card in kept if card["indicator"] != "info" or card.get("suggestions") or _told(card) not in told]


def _told(card: Wire) -> tuple[str, str]:
    return card["summary"], card.get("detail", "")


def _undrafted(card: Wire, offered: Sequence[list[Wire]]) -> Wire:
    """The card without the suggestions that are offered already."""
    suggestions = card.get("suggestions", ())
    kept = [one for one in suggestions if not _drafts(one) or _drafts(one) not in offered]
    if len(kept) == len(suggestions):
        return card
    rest = {name: value for name, value in card.items() if name not in ("suggestions", "selectionBehavior")}
    return rest | ({"suggestions": kept, "selectionBehavior": card["selectionBehavior"]} if kept else {})


def _drafts(suggestion: Wire) -> list[Wire]:
    """What a suggestion would do, without the identifiers that each service gives what it creates."""
    done = [{**action, **action.get("resource", {})} for action in suggestion.get("actions", ())]
    return [{k: v for k, v in one.items() if k not in ("identifier", "resource", "description")} for one in done]
