"""When a patient is discharged: who is at high risk of coming back, by LACE and by the HOSPITAL score."""

from cds import Guidance, HookCall, ServiceSettings, hook
from hooks import _readmission_cards as cards


class ReadmissionSettings(ServiceSettings):
    """`[services.readmission]`: when it asks, beside what every service has."""

    ask_for_missing: bool = False
    """A card also where no score is high yet, and an answer that charts do not code decides."""


@hook(
    "encounter-discharge",
    id="readmission",
    title="Readmission risk",
    description="LACE and the HOSPITAL score at discharge, when one of them is high",
    models=("lace", "hospital"),
    settings=ReadmissionSettings,
    usage_requirements=(
        "Every key is needed, from prefetch or from fhirServer. What charts do not code (an acute admission, an "
        "oncology service, a procedure) is never assumed absent: a card that is shown asks for it."
    ),
)
def readmission(call: HookCall) -> Guidance:
    return cards.for_outcomes(call, tuple(call.outcomes.values()))
