"""Which card a NEWS2 calls for, and in which words."""

from typing import Literal

from msgspec import Struct

from cds import SUMMARY_LIMIT, Card, Guidance, HookCall, NotScored, Outcome, Risk, silence, structs
from hooks import _scores as scores
from models._points.items import Item, explained, total, unanswered
from models.news2.inputs import PARAMETERS, News2Row
from models.news2.model import HIGH, MEDIUM, band, known
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


def called_for(items: tuple[Item, ...]) -> Call | None:
    """The response to points, all or those that are known; None below every threshold."""
    return _CALLS.get(band(items))


def for_risk(call: HookCall, risk: Risk) -> Guidance:
    items = tuple(known(row_of(risk)))
    needed = called_for(items)
    if needed is None and not call.settings.show_low_risk:
        return silence(risk)
    score, action = risk.score(), scores.saved(call, risk)
    advice = needed or Call("No threshold is reached.", "your own concern, which overrides any score")
    why = f" ({_threes(items)} alone gives 3)" if advice is SINGLE else ""
    summary = f"NEWS2 is {scores.points(score)}{why}. {advice.then}"
    detail = (f"**NEWS2 {scores.points(score)}** ({score.band})", scores.explained(call, risk))
    card = _card(call, risk, _fitting(summary), advice, detail, scores.notes(call, risk))
    card = structs.replace(card, suggestions=scores.to_save(call, (action,)))
    return Guidance((card,), (action,) if call.settings.system_action else ())


def for_refusal(call: HookCall, outcome: NotScored) -> Guidance:
    """A set that is not complete still calls when the parameters that are known reach a threshold by themselves."""
    row = row_of(outcome)
    items = tuple(known(row))
    needed = called_for(items) if outcome.reason == "vitals-incomplete" else None
    if needed is None:
        return silence(outcome)
    missing = ", ".join(unanswered(row, PARAMETERS))
    summary = f"NEWS2 is at least {total(items):g}, and the set is not complete. {needed.then}"
    advice = Call(needed.then, f"{needed.advice}; and complete the set: {missing}", needed.indicator)
    detail = (
        f"**NEWS2 at least {total(items):g}**: what is missing is not taken as normal.",
        scores.points_table(explained(items).contributions),
    )
    said = (f"not charted, or not usable: {missing}", *outcome.cautions)
    return Guidance((_card(call, outcome, _fitting(summary), advice, detail, said),))


def _card(
    call: HookCall, outcome: Outcome, summary: str, needed: Call, detail: tuple[str, ...], said: tuple[str, ...]
) -> Card:
    parts = (
        *detail,
        f"**Consider:** {needed.advice}.",
        *scores.please_note(said),
        scores.unverified(call, outcome),
        "Not valid under 16 years or in pregnancy. Source: Royal College of Physicians, NEWS2, 2017.",
        scores.closing(call),
    )
    return Card(
        summary=summary,
        indicator=needed.indicator,
        source=scores.source(call, outcome),
        detail="\n\n".join(filter(None, parts)),
        override_reasons=scores.REASONS,
        advice=needed.advice,
        notes=said,
    )


def _threes(items: tuple[Item, ...]) -> str:
    return " and ".join(item.name.partition(" (")[0].lower() for item in items if item.points == 3)


def _fitting(summary: str) -> str:
    return summary if len(summary) < SUMMARY_LIMIT else f"{summary[: SUMMARY_LIMIT - 2]}…"


def row_of(outcome: Outcome) -> News2Row:
    if not isinstance(outcome.row, News2Row):
        raise TypeError("the deterioration service runs NEWS2 only")
    return outcome.row
