"""Which card a NEWS2 calls for, and in which words."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from cds import SUMMARY_LIMIT, Card, Guidance, HookCall, Item, NotScored, Outcome, Risk, silence, total, without_answer
from hooks import _scores as scores
from models.news2.inputs import PARAMETERS
from models.news2.model import HIGH, MEDIUM, band
from models.news2.model import SINGLE as SINGLE_3


class Call(Struct, frozen=True):
    """What to do, in the card's sentence and in its detail."""

    then: str
    advice: str
    indicator: Literal["info", "warning"] = "info"


EMERGENCY = Call(
    "Emergency assessment by a critical care team.",
    "emergency assessment by a team with critical care competence, and continuous monitoring",
    "warning",
)
URGENT = Call("Urgent review by a clinician.", "urgent review by a clinician with competence in acute illness")
SINGLE = Call("Review by a clinician.", "review by a clinician, who decides whether to escalate")


_CALLS = {HIGH: EMERGENCY, MEDIUM: URGENT, SINGLE_3: SINGLE}


def called_for(items: Sequence[Item]) -> Call | None:
    """The response to points, all or those that are known; None below every threshold."""
    return _CALLS.get(band(items))


def for_risk(call: HookCall, risk: Risk) -> Guidance:
    items = scores.items(call, risk)
    needed = called_for(items)
    if needed is None and not call.settings.show_low_risk:
        return silence(risk)
    advice = needed or Call("No threshold is reached.", "your own concern, which overrides any score")
    why = f" ({_threes(items)} alone gives 3)" if advice is SINGLE else ""
    summary = f"NEWS2 is {total(items)}{why}. {advice.then}"
    card = _card(
        call, risk, summary, advice, f"**{scores.named(risk.score())}**", (*risk.cautions, *scores.broken(call))
    )
    return scores.with_saving(call, card, risk)


def for_refusal(call: HookCall, outcome: NotScored) -> Guidance:
    """A set that is not complete still calls when the parameters that are known reach a threshold by themselves."""
    items = scores.items(call, outcome)
    needed = called_for(items) if outcome.reason == "vitals-incomplete" else None
    if needed is None:
        return silence(outcome)
    missing = ", ".join(without_answer(outcome.row, PARAMETERS))
    summary = f"NEWS2 is at least {total(items)}, and the set is not complete. {needed.then}"
    advice = Call(needed.then, f"{needed.advice}; and complete the set: {missing}", needed.indicator)
    head = f"**NEWS2 at least {total(items)}**: what is missing is not taken as normal."
    said = (f"not charted, or not usable: {missing}", *outcome.cautions)
    return Guidance((_card(call, outcome, summary, advice, head, said),))


def _card(call: HookCall, outcome: Outcome, summary: str, needed: Call, head: str, said: tuple[str, ...]) -> Card:
    parts = (head, scores.points_table(scores.items(call, outcome)), VALID)
    return Card(
        summary=_fitting(summary),
        indicator=needed.indicator,
        source=scores.source(call, outcome),
        detail=scores.detail(call, (outcome,), parts, needed.advice, said),
        override_reasons=scores.REASONS,
        advice=needed.advice,
        notes=said,
    )


VALID = "Not valid under 16 years or in pregnancy. Source: Royal College of Physicians, NEWS2, 2017."


def _threes(items: Sequence[Item]) -> str:
    return " and ".join(item.name.partition(" (")[0].lower() for item in items if item.points == 3)


def _fitting(summary: str) -> str:
    return summary if len(summary) < SUMMARY_LIMIT else f"{summary[: SUMMARY_LIMIT - 2]}…"
