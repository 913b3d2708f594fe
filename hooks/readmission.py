"""When a patient is discharged: who is at high risk of coming back, by LACE and by the HOSPITAL score."""

from cds import Guidance, HookCall, hook
from hooks import _readmission_cards as cards


@hook(
    "encounter-discharge",
    id="readmission",
    title="Readmission risk",
    description="LACE and the HOSPITAL score at discharge, when one of them is high or hangs on one answer",
    models=("lace", "hospital"),
    usage_requirements=(
        "Every key is needed, from prefetch or from fhirServer. What charts do not code (an acute admission, an "
        "oncology service, a procedure) is asked for on the card and never assumed absent."
    ),
)
def readmission(call: HookCall) -> Guidance:
    return cards.for_outcomes(call, tuple(call.outcomes.values()))
