"""When a chart opens: stroke and bleeding in atrial fibrillation, if anticoagulation may be due and is not recorded."""

from typing import Literal

from cds import Guidance, HookCall, Risk, ServiceSettings, hook, silence, structs
from hooks import _stroke_cards as cards


class StrokeSettings(ServiceSettings):
    """`[services.stroke-and-bleeding]`: which stroke score is shown, beside what every service has."""

    score: Literal["cha2ds2-va", "cha2ds2-vasc"] = "cha2ds2-va"


@hook(
    "patient-view",
    id="stroke-and-bleeding",
    title="Stroke and bleeding in atrial fibrillation",
    description=(
        "CHA2DS2-VA or CHA2DS2-VASc with HAS-BLED beside it, in adults with atrial fibrillation, when anticoagulation "
        "may be due and no anticoagulant is recorded"
    ),
    models=("cha2ds2-va", "cha2ds2-vasc", "has-bled"),
    settings=StrokeSettings,
    usage_requirements="Every key is needed, except the results and answers of HAS-BLED: those are asked for.",
    mutes=True,
)
def stroke_and_bleeding(call: HookCall) -> Guidance:
    outcome = cards.stroke(call, call.settings.score)
    if outcome is None:
        return Guidance(reason="stroke-score-failed")
    said = cards.for_risk(call, outcome) if isinstance(outcome, Risk) else silence(outcome)
    return structs.replace(said, shows=(outcome.model, cards.BLEEDING))
