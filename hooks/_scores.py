"""What cards of scores share: the number, what it rests on, what must be said beside it, and what is saved."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cds import (
    REASON_SYSTEM,
    Action,
    Card,
    Coding,
    Guidance,
    HookCall,
    Item,
    Outcome,
    PointsModel,
    Risk,
    Score,
    Source,
    Suggestion,
    day_text,
    plain,
    risk_assessment,
    shown_number,
    structs,
    table,
)

REASONS = (
    Coding("action-completed", REASON_SYSTEM, "Already decided or being done"),
    Coding("action-not-priority", REASON_SYSTEM, "Already discussed, or not a priority now"),
    Coding("does-not-align-preferences", REASON_SYSTEM, "Does not fit the goals of care"),
    Coding("recipient-does-not-trust", REASON_SYSTEM, "Data wrong or old"),
    Coding("cds-not-applicable", REASON_SYSTEM, "Does not apply to this patient"),
)


def named(score: Score) -> str:
    """A score for a person: "CHA2DS2-VA 4 points (anticoagulation recommended)"."""
    return f"{score.outcome} {shown_number(score)}{f' ({score.band})' if score.band else ''}"


def above(value: float, limit: float) -> str:
    """A value above a limit, with as many digits as it takes to see that it is."""
    shown = (f"{value:.{digits}f}" for digits in range(2, 9))
    return next((text for text in shown if float(text) > limit), f"{value:.9g}")


def items(call: HookCall, outcome: Outcome) -> Sequence[Item]:
    """The items of a points score, also of one that is not computed: those without an answer have no points."""
    model = call.models[outcome.model]
    if not isinstance(model, PointsModel):
        raise TypeError(f"{outcome.model} is not a score made of points")
    return model.items(outcome.row)


def points_table(found: Iterable[Item]) -> str:
    """What each item gives, as Markdown; what is not known is never shown as zero."""
    rows = [(plain(i.name), plain(i.shown), "not known" if i.points is None else f"{i.points:g}") for i in found]
    return table(("Item", "In the chart", "Points"), rows)


def inputs_table(call: HookCall, risk: Risk) -> str:
    found = call.models[risk.model].inputs(risk.row)
    rows = [(plain(one.name), plain(one.value or one.missing), one.date) for one in found]
    return table(("Input", "Value", "Date"), rows)


def detail(call: HookCall, outcomes: Sequence[Outcome], parts: Iterable[str], advice: str, said: Sequence[str]) -> str:
    """The Markdown of a card about these outcomes: its parts stand between blank lines, as GitHub's tables need it."""
    looked = dict.fromkeys(
        what for o in outcomes if isinstance(o, Risk) for what in call.models[o.model].exclusions(o.row)
    )
    return "\n\n".join(
        (
            *parts,
            *([f"**Consider:** {advice}."] if advice else []),
            *([f"**Please note:** {'; '.join(map(plain, said))}."] if said else []),
            *([f"**Checked, not found:** {', '.join(looked)}."] if looked else []),
            *_unverified(call, outcomes),
            f"Supports, does not replace, clinical judgement. {_calculated(call, outcomes)}",
        )
    )


def _unverified(call: HookCall, outcomes: Sequence[Outcome]) -> Iterator[str]:
    """That no source confirms some of a model: the mark stays on every card of it."""
    for card in (call.models[outcome.model].card for outcome in outcomes):
        if card.unverified:
            yield f"UNVERIFIED in {card.short_name}: {len(card.unverified)} points; its fact sheet names them."


def _calculated(call: HookCall, outcomes: Sequence[Outcome]) -> str:
    models = [call.models[outcome.model] for outcome in outcomes]
    by = " and ".join(f"{plain(model.title)} {model.version}" for model in models)
    return f"Calculated {day_text(call.at)} {call.at:%H:%M} UTC by {by}."


def broken(call: HookCall) -> tuple[str, ...]:
    """The models that failed, named."""
    return tuple(f"the model {model} failed and is not shown" for model in call.failed)


def source(call: HookCall, outcome: Outcome) -> Source:
    model = call.models[outcome.model]
    topic = model.card.topic
    return Source(model.title, model.card.url, Coding(topic["code"], topic["system"], topic["display"]))


def with_saving(call: HookCall, card: Card, *risks: Risk) -> Guidance:
    """The card, and its scores saved: by its first suggestion, or by the EHR itself where the site set that."""
    actions = tuple(_saved(call, risk) for risk in risks)
    if call.settings.system_action or not actions:
        return Guidance((card,), actions)
    label = "this risk assessment" if len(actions) == 1 else "these risk assessments"
    suggestion = Suggestion(f"Save {label} to the chart", actions)
    return Guidance((structs.replace(card, suggestions=(suggestion, *card.suggestions)),))


def _saved(call: HookCall, risk: Risk) -> Action:
    model = call.models[risk.model]
    made = risk_assessment(risk, model, patient_id=call.patient_id, encounter_id=call.encounter_id)
    return Action("create", f"Save {model.card.short_name} as a RiskAssessment", made)


def referral(call: HookCall, to: str, reason: str) -> Suggestion:
    """A draft referral with the card's sentence as its reason."""
    request: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "identifier": [{"system": "urn:bedside:service-request", "value": call.id_of(f"referral-{to}")}],
        "status": "draft",
        "intent": "proposal",
        "code": {"text": f"Referral to {to}"},
        "subject": {"reference": f"Patient/{call.patient_id}"},
        "reasonCode": [{"text": reason}],
    }
    if call.encounter_id:
        request["encounter"] = {"reference": f"Encounter/{call.encounter_id}"}
    return Suggestion(f"Draft a {to} referral", (Action("create", f"Create a draft referral to {to}", request),))
