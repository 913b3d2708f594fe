"""What cards of scores share: the table of points, the notes, and the action that saves the score."""

from collections.abc import Iterable, Sequence

from cds import (
    REASON_SYSTEM,
    Action,
    Coding,
    Contribution,
    HookCall,
    Outcome,
    Risk,
    Score,
    Source,
    Suggestion,
    beside,
    day_text,
    plain,
    risk_assessment,
    spell,
    table,
)

REASONS = (
    Coding("action-completed", REASON_SYSTEM, "Already being done"),
    Coding("action-not-priority", REASON_SYSTEM, "Not a priority now"),
    Coding("does-not-align-preferences", REASON_SYSTEM, "Does not fit the goals of care"),
    Coding("recipient-does-not-trust", REASON_SYSTEM, "Data wrong or old"),
    Coding("cds-not-applicable", REASON_SYSTEM, "Does not apply to this patient"),
)


def points(score: Score) -> str:
    """A score as people write it: 7, and never 7.0."""
    return spell(score.value)


def points_table(contributions: Iterable[Contribution]) -> str:
    rows = [(plain(item.name), plain(item.value), spell(item.amount)) for item in contributions]
    return table(("Item", "Value", "Points"), rows)


def explained(call: HookCall, risk: Risk) -> str:
    told = call.models[risk.model].explanation(risk.row)
    return points_table(told.contributions) if told else ""


def source(call: HookCall, outcome: Outcome) -> Source:
    model = call.models[outcome.model]
    topic = model.card.topic
    return Source(model.title, model.card.url, Coding(topic["code"], topic["system"], topic["display"]))


def notes(call: HookCall, risk: Risk) -> tuple[str, ...]:
    """The score's own cautions and the models that failed, in plain text."""
    return beside(risk, (), call.failed)


def please_note(said: Sequence[str]) -> list[str]:
    return ["**Please note:** " + "; ".join(map(plain, said)) + "."] if said else []


def unverified(call: HookCall, outcome: Outcome) -> str:
    """That no source confirms some of a model: the mark stays on every card of it."""
    card = call.models[outcome.model].card
    return (
        f"UNVERIFIED in {card.short_name}: {len(card.unverified)} points; its fact sheet names them."
        if card.unverified
        else ""
    )


def saved(call: HookCall, risk: Risk) -> Action:
    """The RiskAssessment of this score."""
    name = call.models[risk.model].card.short_name
    made = risk_assessment(risk, call.models[risk.model], patient_id=call.patient_id, encounter_id=call.encounter_id)
    return Action("create", f"Save the {name} as a RiskAssessment", made)


def to_save(call: HookCall, actions: Iterable[Action]) -> tuple[Suggestion, ...]:
    """One suggestion for all of them, unless the EHR saves them by itself."""
    found = tuple(actions)
    if call.settings.system_action or not found:
        return ()
    return (Suggestion("Save this score to the chart" if len(found) == 1 else "Save these scores to the chart", found),)


def moment(call: HookCall) -> str:
    return f"{day_text(call.at)} {call.at:%H:%M} UTC"


def closing(call: HookCall) -> str:
    return f"Supports, does not replace, clinical judgement. Calculated {moment(call)}."
