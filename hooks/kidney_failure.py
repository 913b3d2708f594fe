"""When a chart opens: the risk of kidney failure, if it calls for something to be done."""

from typing import Literal

from cds import Guidance, HookCall, NotScored, Reading, Risk, ServiceSettings, hook, silence
from hooks import _kidney_cards as cards
from hooks._kidney_detail import row_of


class KidneyFailureSettings(ServiceSettings):
    """`[services.kidney-failure-risk]`: which variant is shown, beside what every service has."""

    variant: Literal["kfre-4", "kfre-6", "kfre-8"] = "kfre-4"


@hook(
    "patient-view",
    "encounter-start",
    "problem-list-item-create",
    id="kidney-failure-risk",
    title="Kidney failure risk",
    description=(
        "2- and 5-year risk of kidney failure (KFRE) in adults with chronic kidney disease, when it calls for action"
    ),
    models=("kfre-4", "kfre-6", "kfre-8"),
    settings=KidneyFailureSettings,
    mutes=True,
    never_rest=("creatinine-rise",),
    usage_requirements=(
        "Every key is needed, from prefetch or from fhirServer, except upcr (needed only without uacr) and albumin, "
        "phosphate, bicarbonate and calcium, without which the 4-variable equation is used."
    ),
)
def kidney_failure_risk(call: HookCall) -> Guidance:
    outcome = call.outcome()
    if isinstance(row_of(outcome).palliative, Reading):
        return Guidance(reason="palliative-care", text=cards.PALLIATIVE)
    card = cards.for_risk(call, outcome) if isinstance(outcome, Risk) else cards.for_refusal(call, outcome)
    if card is None:
        return silence(outcome) if isinstance(outcome, NotScored) else cards.silence_for(outcome)
    return card
