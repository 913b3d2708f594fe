"""When a chart opens: FIB-4, if it is so high that advanced liver fibrosis should be looked for."""

from cds import Card, Guidance, HookCall, Link, Reading, Risk, Suggestion, hook, silence
from hooks import _scores as scores
from models.fib_4.model import HIGH, row_of

ADVICE = (
    "refer for assessment of liver fibrosis, such as elastography (FIB-4 above 2.67; Shah et al., Clin Gastroenterol "
    "Hepatol 2009)"
)
LINKS = (Link("FIB-4: Sterling et al., Hepatology 2006", "https://doi.org/10.1002/hep.21178"),)


@hook(
    "patient-view",
    id="liver-fibrosis",
    title="Liver fibrosis",
    description="FIB-4 in people of 35 years and more, when it is above 2.67 and no cirrhosis is recorded",
    models=("fib-4",),
    mutes=True,
)
def liver_fibrosis(call: HookCall) -> Guidance:
    risk = call.outcome()
    if not isinstance(risk, Risk):
        return silence(risk)
    value = risk.score().value
    if value <= HIGH:
        text = f"FIB-4 {value:.2f}: nothing in this index calls for action."
        return _card(call, risk, text, "") if call.settings.show_low_risk else Guidance(reason="low-risk", text=text)
    if isinstance(row_of(risk).cirrhosis, Reading):
        return Guidance(reason="cirrhosis-recorded", text="Cirrhosis is recorded already: nothing more is proposed.")
    summary = f"FIB-4 {scores.above(value, HIGH)}, above 2.67: advanced liver fibrosis is possible. Consider referral."
    return _card(call, risk, summary, ADVICE, scores.referral(call, "hepatology", summary))


def _card(call: HookCall, risk: Risk, summary: str, advice: str, *orders: Suggestion) -> Guidance:
    parts = (f"**{scores.named(risk.score())}**", scores.inputs_table(call, risk))
    body = scores.detail(call, (risk,), parts, advice, risk.cautions)
    source = scores.source(call, risk)
    card = Card(summary, "info", source, body, orders, LINKS, scores.REASONS, advice, risk.cautions)
    return scores.with_saving(call, card, risk)
