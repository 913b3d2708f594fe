"""When an appointment is booked: who should be seen by nephrology first."""

from cds import Guidance, HookCall, Risk, hook
from hooks import _kidney_appointments as words


@hook(
    "appointment-book",
    id="appointment-kidney",
    title="Who should see nephrology first",
    description=(
        "How soon a nephrology appointment is due by the risk of kidney failure (KFRE); patients with chronic kidney "
        "disease who could not be scored stand first, with the reason"
    ),
    models=("kfre-4",),
    usage_requirements=(
        "Every key is needed, from prefetch or from fhirServer, except upcr (needed only without uacr). It speaks "
        "whatever the specialty of the appointment, since no published code list tells nephrology."
    ),
)
def appointment_kidney(call: HookCall) -> Guidance:
    outcome = call.outcome()
    if isinstance(outcome, Risk):
        return words.for_risk(call, outcome)
    return words.for_unscored(call, outcome)
