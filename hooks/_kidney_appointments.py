"""How soon a nephrology appointment is due: in which group a patient stands, and the words for it."""

from cds import Card, Guidance, HookCall, Indicator, NotScored, Reading, Risk, table
from hooks._kidney_cards import LINKS, PALLIATIVE, REASONS, eligible, fitting, not_scored, source_of, threshold_of
from hooks._kidney_detail import above, for_no_score, for_score, notes, row_of, scored

GROUPS = (
    ("First", "who could not be scored, though the equation is for them"),
    ("Second", "above 40% in 2 years"),
    ("Third", "above 10% in 2 years"),
    ("Fourth", "above the referral threshold of this site in 5 years"),
)
"""The order in which to offer appointments: by the thresholds of KDIGO 2024. It names no waiting time."""


def for_unscored(call: HookCall, outcome: NotScored) -> Guidance:
    """Patients without a number stand first, with the reason; silence for those whom the equation is not for."""
    rise = outcome.reason == "creatinine-rise"
    if not (rise or eligible(outcome)):
        return Guidance(reason=outcome.reason)
    if isinstance(row_of(outcome).palliative, Reading):
        return Guidance(reason="palliative-care", text=PALLIATIVE)
    words = not_scored(outcome)
    summary = fitting(f"First for nephrology: {words[:1].lower()}{words[1:]}", words)
    detail = f"{for_no_score(call, outcome)}\n\n{_order()}"
    source = source_of(call, outcome.model)
    return Guidance((Card(summary, "warning", source, detail, (), LINKS, REASONS, notes=tuple(outcome.cautions)),))


def for_risk(call: HookCall, risk: Risk) -> Guidance:
    """The group of a scored patient; silence below every threshold."""
    if isinstance(row_of(risk).palliative, Reading):
        return Guidance(reason="palliative-care", text=PALLIATIVE)
    two, five, threshold = risk.within(2), risk.within(5), threshold_of(call, risk)
    bound = scored(risk).bound
    if two.probability > 0.40:
        group, shown = 1, f"{bound}{above(two, 40)} in 2 years, above 40%"
    elif two.probability > 0.10:
        group, shown = 2, f"{bound}{above(two, 10)} in 2 years, above 10%"
    elif five.probability > threshold / 100:
        group, shown = 3, f"{bound}{above(five, threshold)} in 5 years, above {threshold:g}%"
    else:
        return Guidance(reason="low-risk")
    if bound == "at most ":
        group, shown = 0, f"{shown}, but urine ACR is reported only as a bound"
    summary = fitting(f"{GROUPS[group][0]} group for a nephrology appointment: kidney failure risk {shown}.")
    advice = "offer this appointment by the groups below"
    detail = f"{for_score(call, risk, advice)}\n\n{_order()}"
    source = source_of(call, risk.model)
    indicator: Indicator = "warning" if group <= 1 else "info"
    card = Card(summary, indicator, source, detail, (), LINKS, REASONS, advice=advice, notes=notes(call, risk))
    return Guidance((card,))


def _order() -> str:
    return (
        f"{table(('Group', 'Who'), GROUPS)}\n\nThe groups are an order, not a waiting time; symptoms come before both."
    )
