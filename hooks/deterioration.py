"""When a chart opens or an encounter starts: an acutely ill patient, by one set of vital signs."""

from cds import Guidance, HookCall, Risk, hook
from hooks import _deterioration_cards as cards


@hook(
    "patient-view",
    "encounter-start",
    id="deterioration",
    title="Clinical deterioration",
    description="NEWS2 of the last 4 hours' vital signs, when it calls for a review",
    models=("news2",),
    usage_requirements=(
        "Every key is needed, from prefetch or from fhirServer. Oxygen or room air must be charted: that nobody wrote "
        "anything is not room air."
    ),
)
def deterioration(call: HookCall) -> Guidance:
    outcome = call.outcome()
    return cards.for_risk(call, outcome) if isinstance(outcome, Risk) else cards.for_refusal(call, outcome)
