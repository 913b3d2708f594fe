"""What the cards of the scores share: the number, what it rests on, what must be said beside it, and what to save."""

from collections.abc import Iterable
from typing import Any

from cds import (
    REASON_SYSTEM,
    Action,
    Coding,
    HookCall,
    Risk,
    Score,
    Source,
    Suggestion,
    day_text,
    plain,
    risk_assessment,
    shown_number,
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


def detail(call: HookCall, risk: Risk, advice: str, said: Iterable[str], *more: str) -> str:
    """The Markdown of a score: parts stand between blank lines, as GitHub's tables need it."""
    model = call.models[risk.model]
    notes = tuple(said)
    looked = ", ".join(model.exclusions(risk.row))
    parts = [
        f"**{plain(named(risk.score()))}**",
        table(("Input", "Value", "Date"), _inputs(call, risk)),
        *more,
        f"**Consider:** {advice}.",
        *([f"**Please note:** {'; '.join(map(plain, notes))}."] if notes else []),
        *([f"**Checked, not found:** {looked}."] if looked else []),
        f"Supports, does not replace, clinical judgement. {_calculated(call, risk)}",
    ]
    return "\n\n".join(parts)


def _calculated(call: HookCall, risk: Risk) -> str:
    by = f"{plain(call.models[risk.model].title)} {risk.version}"
    return f"Calculated {day_text(call.at)} {call.at:%H:%M} UTC by {by}."


def points(call: HookCall, risk: Risk) -> str:
    """What each item of a points score gave, as a table."""
    told = call.models[risk.model].explanation(risk.row)
    given = told.contributions if told else ()
    return table(("Item", "In the chart", "Points"), [(plain(c.name), plain(c.value), f"{c.amount:g}") for c in given])


def _inputs(call: HookCall, risk: Risk) -> list[tuple[str, str, str]]:
    found = call.models[risk.model].inputs(risk.row)
    return [(plain(one.name), plain(one.value or one.missing), one.date) for one in found]


def broken(call: HookCall) -> tuple[str, ...]:
    """The models that failed, named."""
    return tuple(f"the model {model} failed and is not shown" for model in call.failed)


def source(call: HookCall, model_id: str) -> Source:
    card = call.models[model_id].card
    return Source(
        call.models[model_id].title,
        card.url,
        Coding(card.topic["code"], card.topic["system"], card.topic["display"]),
    )


def saved(call: HookCall, *risks: Risk) -> Suggestion:
    """The RiskAssessment of each of these scores, to be saved with one click."""
    return Suggestion("Save this risk assessment to the chart", tuple(_save(call, risk) for risk in risks))


def _save(call: HookCall, risk: Risk) -> Action:
    model = call.models[risk.model]
    assessment = risk_assessment(risk, model, patient_id=call.patient_id, encounter_id=call.encounter_id)
    return Action("create", f"Save {model.card.short_name} as a RiskAssessment", assessment)


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
