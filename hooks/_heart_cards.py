"""Which card a cardiovascular risk calls for, and in which words."""

from collections.abc import Iterator

from cds import (
    REASON_SYSTEM,
    SUMMARY_LIMIT,
    Card,
    Coding,
    Estimate,
    Guidance,
    HookCall,
    Link,
    Missing,
    NotScored,
    Risk,
    Suggestion,
    beside,
    percent,
)
from hooks import _scores as scores
from hooks._heart_detail import for_no_score, for_score, most_of_it
from hooks._kidney_orders import order
from models.prevent.inputs import Prevent

TOTAL = "Total cardiovascular disease"
_ORDERS = {
    "total_cholesterol": ("2093-3", "a total cholesterol"),
    "hdl_cholesterol": ("2085-9", "an HDL cholesterol"),
    "egfr": ("2160-0", "a serum creatinine"),
}
_ASKED = ("total-cholesterol-", "hdl-cholesterol-", "sbp-", "bmi-", "egfr-", "smoking-")


def for_risk(call: HookCall, risk: Risk) -> Guidance:
    """The card of a risk at which the site acts; else none, with the reason."""
    ten, threshold = risk.within(10, TOTAL), call.settings.act_at_percent
    if threshold is None:
        return Guidance(reason="no-threshold", text="This site has not said from which risk on to act.")
    if ten.probability * 100 >= threshold:
        start = f"Cardiovascular risk {at_least(ten, threshold)} in 10 years"
        summary = f"{start}, at or above this site's {threshold:g}%. Consider a talk about prevention."
        return _card(call, risk, summary, _advice(call, risk))
    if not call.settings.show_low_risk:
        return Guidance(reason="below-threshold", text=f"The risk is below this site's {threshold:g}%.")
    summary = f"Cardiovascular risk {below(ten, threshold)} in 10 years, below this site's {threshold:g}%."
    return _card(call, risk, summary, "what is modifiable, whatever the number")


def _card(call: HookCall, risk: Risk, summary: str, advice: str) -> Guidance:
    card = Card(
        summary=summary,
        indicator="info",
        source=scores.source(call, risk),
        detail=for_score(call, risk, advice),
        links=LINKS,
        override_reasons=REASONS,
        advice=advice,
        notes=beside(risk, call.outcomes.values(), call.failed),
    )
    return scores.with_saving(call, card, risk)


def _advice(call: HookCall, risk: Risk) -> str:
    found = most_of_it(call, risk)
    return (
        f"a talk about prevention. Of what can change, most comes from {found}" if found else "a talk about prevention"
    )


def for_refusal(call: HookCall, outcome: NotScored) -> Guidance | None:
    """The card that asks for what is missing, or says why the equations are not for this patient; None for silence."""
    row = outcome.row
    if not isinstance(row, Prevent):
        raise TypeError("the cardiovascular service runs PREVENT only")
    missing = outcome.reason.startswith(_ASKED) and not outcome.reason.endswith(("-out-of-range", "-method"))
    if not (call.settings.ask_for_missing if missing else call.settings.show_out_of_domain):
        return None
    how = "not calculated" if missing else "does not apply"
    summary = f"Cardiovascular risk {how}: {outcome.text}."
    if len(summary) >= SUMMARY_LIMIT:
        summary = f"{summary[: SUMMARY_LIMIT - 2]}…"
    detail, notes = for_no_score(call, outcome), tuple(outcome.cautions)
    suggestions = tuple(_orders(call, row)) if missing else ()
    return Guidance(
        (Card(summary, "info", scores.source(call, outcome), detail, suggestions, LINKS, REASONS, notes=notes),)
    )


def _orders(call: HookCall, row: Prevent) -> Iterator[Suggestion]:
    for name, test in _ORDERS.items():
        if isinstance(getattr(row, name), Missing):
            yield order(call, f"Order {test[1]}", test)


def at_least(estimate: Estimate, threshold: float) -> str:
    """A percentage at or above a threshold, with as many digits as it takes to see that it is."""
    number = estimate.probability * 100
    shown = next((d for d in range(1, 9) if round(number, d) >= threshold), 8)
    return f"{number:.{shown}f}%" if 0.05 <= number < 99.95 else percent(estimate.probability)


def below(estimate: Estimate, threshold: float) -> str:
    """A percentage below a threshold, with as many digits as it takes to see that it is."""
    number = estimate.probability * 100
    shown = next((d for d in range(1, 9) if round(number, d) < threshold), 8)
    return f"{number:.{shown}f}%" if 0.05 <= number < 99.95 else percent(estimate.probability)


LINKS = (Link("The equations and their publication", "https://doi.org/10.1161/CIRCULATIONAHA.123.067626"),)
REASONS = (
    Coding("action-completed", REASON_SYSTEM, "Prevention already discussed or under way"),
    Coding("action-not-priority", REASON_SYSTEM, "Not a priority now"),
    Coding("does-not-align-preferences", REASON_SYSTEM, "Does not fit the goals of care"),
    Coding("recipient-does-not-trust", REASON_SYSTEM, "Data wrong or old"),
    Coding("cds-not-applicable", REASON_SYSTEM, "Does not apply to this patient"),
)
