"""When a chart opens: the risk of cardiovascular disease, where the site has said from which risk on to act."""

from pydantic import Field

from cds import Guidance, HookCall, NotScored, ServiceSettings, hook, silence
from hooks import _heart_cards as cards


class CardiovascularSettings(ServiceSettings):
    """`[services.cardiovascular-risk]`. Without a percentage there is no card with a number: none was ever derived
    for everybody, and whom to talk to is a site's decision.
    """

    act_at_percent: float | None = Field(default=None, gt=0, lt=100)
    """The 10-year risk of total cardiovascular disease from which on a card is shown."""
    ask_for_missing: bool = False
    """Whether a card asks for the inputs that are missing, of people for whom the equations are."""


@hook(
    "patient-view",
    id="cardiovascular-risk",
    title="Cardiovascular risk",
    description=(
        "10- and 30-year risk of a first cardiovascular event (PREVENT) in adults from 30 to 79 years, from the risk "
        "on at which the site acts"
    ),
    models=("prevent",),
    settings=CardiovascularSettings,
    usage_requirements=(
        "Every key is needed, from prefetch or from fhirServer, except uacr, hba1c and sdi, without which the "
        "equations that do not ask them are used."
    ),
    mutes=True,
)
def cardiovascular_risk(call: HookCall) -> Guidance:
    outcome = call.outcome()
    if isinstance(outcome, NotScored):
        return cards.for_refusal(call, outcome) or silence(outcome)
    return cards.for_risk(call, outcome)
