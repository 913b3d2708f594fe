"""Lets an info card rest when its user has said what she thinks of it and nothing has changed since (D16)."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cds.cdshooks.answer import Answer, Deployed, quieten, reasons_of
from cds.cdshooks.record import patient_key
from cds.features.feature import Missing, Reading
from cds.ledger import AnswerRecord, ScoreRecord, Whose
from cds.risk.estimate import VARIANT_INPUTS, Estimate, NotScored, Number, Outcome, Score
from cds.risk.model import RiskModel
from cds.risk.snapshot import estimates, read_snapshot, snapshot

FIFTH = 0.2 * (1 - 1e-9)
"""What moves by this much of itself has moved; the rest is for 0.12 - 0.1, which is a little less than 0.02."""

Recall = Callable[[Whose, datetime], Awaitable[AnswerRecord | None]]
"""The answer to which a user last reacted since, as the ledger has it."""

_NUMBERS = str.maketrans(dict.fromkeys("0123456789."))


async def mute(said: Answer, deployed: Deployed, recall: Recall, days: int) -> None:
    """Take the card from an answer that may rest. Where the ledger cannot tell, the card is shown."""
    user = said.call.context.user_id
    if days == 0 or not user or not _may_rest(said, deployed):
        return
    whose = Whose(deployed.tenant, deployed.service.id, patient_key(said.call, deployed), user)
    before = await recall(whose, said.at - timedelta(days=days))
    if before is not None and _nothing_new(before, said) and not _moved(before, said, deployed):
        quieten(said)


def _may_rest(said: Answer, deployed: Deployed) -> bool:
    """Info at patient-view, from a service that allows it; a failed model is news."""
    calm = bool(said.cards) and all(card["indicator"] == "info" for card in said.cards)
    settled = said.error is None and not said.failed and deployed.settings.stage == "live"
    rests = deployed.service.mutes and reasons_of(said).isdisjoint(deployed.service.never_rest)
    return rests and said.call.hook == "patient-view" and calm and settled


def _nothing_new(before: AnswerRecord, said: Answer) -> bool:
    """Whether the cards say what those before said, and offer nothing that those did not."""
    then: list[dict[str, Any]] = msgspec.json.decode(before.cards)
    told = {shape: _offers(card) for shape, card in _by_shape(then)}
    return all(shape in told and _offers(card) <= told[shape] for shape, card in _by_shape(said.cards))


def _shape(text: str) -> str:
    """A text without its numbers: another finding with the same risk is another message."""
    return text.translate(_NUMBERS)


def _by_shape(cards: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((_shape(card["summary"]), card) for card in cards)


def _offers(card: dict[str, Any]) -> set[str]:
    return {_shape(suggestion["label"]) for suggestion in card.get("suggestions", ())}


def _moved(before: AnswerRecord, said: Answer, deployed: Deployed) -> bool:
    earlier = {score.model: score for score in before.scores}
    return set(earlier) != set(said.outcomes) or any(
        changed(earlier[id_], outcome, deployed.models[id_]) for id_, outcome in said.outcomes.items()
    )


def changed(then: ScoreRecord, now: Outcome, model: RiskModel) -> bool:
    """Whether a model says something else now: a fifth more or less, across a threshold, for another reason.

    Where it gives no number, its inputs are what may not have moved; but of a variant whose own inputs are missing,
    since the number that is shown in its place is compared itself.
    """
    reason = now.reason if isinstance(now, NotScored) else None
    if (then.version, then.reason) != (now.version, reason):
        return True
    if isinstance(now, NotScored) and reason != VARIANT_INPUTS:
        return _inputs_moved(then, now)
    pairs = list(zip(map(_number, then.estimates), map(_number, estimates(now)), strict=False))
    unlike = len(then.estimates) != len(estimates(now))
    return unlike or any(_far(a, b) or _crossed(a, b, model) for a, b in pairs)


def _inputs_moved(then: ScoreRecord, now: NotScored) -> bool:
    """Whether any input is another one: a fifth more or less, other words, or another result that cannot be used."""
    before, after = (read_snapshot(row).answers for row in (then.row, snapshot(now, {})))
    return before.keys() != after.keys() or any(_another(before[name], after[name]) for name in after)


def _another(then: Reading[Any] | Missing, now: Reading[Any] | Missing) -> bool:
    if isinstance(then, Missing) or isinstance(now, Missing):
        return _unusable(then) != _unusable(now)
    if (then.unit, then.bound) != (now.unit, now.bound):
        return True
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (then.value, now.value))
    return _by_a_fifth(then.value, now.value) if numbers else bool(then.value != now.value)


def _unusable(answer: Reading[Any] | Missing) -> tuple[object, ...] | None:
    return (answer.why, answer.shown, answer.when) if isinstance(answer, Missing) else None


def _number(told: dict[str, Any]) -> Number:
    if "value" in told:
        return Score(told["outcome"], told["value"], told["unit"], told.get("band", ""), told.get("bound"))
    return Estimate(told["outcome"], told["horizon"], told["probability"], told.get("bound"))


def _far(then: Number, now: Number) -> bool:
    """Whether a number is another one: of something else, with another class or bound, or moved by a fifth."""
    if _about(then) != _about(now):
        return True
    return _by_a_fifth(_size(then), _size(now))


def _by_a_fifth(a: float, b: float) -> bool:
    return abs(b - a) >= FIFTH * abs(a) if a else b != 0


def _about(number: Number) -> tuple[object, ...]:
    band = (number.unit, number.band) if isinstance(number, Score) else ()
    return (number.outcome, number.horizon_years, number.bound, *band)


def _size(number: Number) -> float:
    return number.value if isinstance(number, Score) else number.probability


def _crossed(then: Number, now: Number, model: RiskModel) -> bool:
    return any(cut.about(now) and cut.told(then) != cut.told(now) for cut in model.thresholds)
