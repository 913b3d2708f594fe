"""The body of a cardiovascular card: the numbers, what they rest on, and what must be said beside them."""

from collections.abc import Iterator

from cds import (
    Estimate,
    Explanation,
    HookCall,
    NotScored,
    Risk,
    RiskModel,
    beside,
    day_text,
    people,
    percent,
    plain,
    table,
)
from models._heart.words import NAMES, label
from models.prevent.inputs import Prevent
from models.prevent.model import PreventModel

_CAN_CHANGE = {label(name): NAMES[name] for name in ("total_cholesterol", "hdl_cholesterol", "sbp", "smoking", "hba1c")}
_MOST = 2


def for_score(call: HookCall, risk: Risk, advice: str) -> str:
    """The Markdown of a risk: parts stand between blank lines, as GitHub's tables need it."""
    model, ten = call.models[risk.model], risk.within(10)
    parts = [
        f"**10 years: {percent(ten.probability)}** ({people(ten.probability)})",
        table(*_numbers(risk)),
        table(("Input", "Value", "Date"), _inputs(model, risk)),
        f"{model.standing(risk.row)}.",
        *_terms(call, risk),
        f"**Consider:** {advice}.",
        *_please_note(beside(risk, call.outcomes.values(), call.failed)),
        f"**Checked, not found:** {', '.join(model.exclusions(risk.row))}. Not valid in any of them.",
        f"Supports, does not replace, clinical judgement. Calculated {_moment(call)}.",
    ]
    return "\n\n".join(parts)


def for_no_score(call: HookCall, outcome: NotScored) -> str:
    """The Markdown of what was found instead of a risk."""
    rows = _inputs(call.models[outcome.model], outcome)
    return "\n\n".join([table(("Found", "Value", "Date"), rows), f"Nothing was estimated. Looked at {_moment(call)}."])


def _numbers(risk: Risk) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    found = [estimate for estimate in risk.estimates if isinstance(estimate, Estimate)]
    years = sorted({estimate.horizon_years for estimate in found})
    outcomes = dict.fromkeys(estimate.outcome for estimate in found)
    rows = [(outcome, *(percent(risk.within(y, outcome).probability) for y in years)) for outcome in outcomes]
    return ("First event", *(f"{y:g} years" for y in years)), rows


def _inputs(model: RiskModel, outcome: Risk | NotScored) -> list[tuple[str, str, str]]:
    rows = []
    for one in model.inputs(outcome.row):
        value = f"{one.value}: {one.missing}" if one.value and one.missing else one.value or one.missing
        rows.append((plain(one.name), plain(f"{value}, {one.note}" if one.note else value), one.date))
    return rows


def _terms(call: HookCall, risk: Risk) -> Iterator[str]:
    """Why the 10-year number is what it is, against the person for whom the equations' terms are zero."""
    told = _explained(call, risk)
    yield f"**Why:** against {told.reference}, whose risk is {percent(told.risks[10])} in 10 years:"
    rows = [(c.name, c.value, f"odds {c.told}") for c in told.contributions if c.amount]
    yield table(("Input", "Value", "Multiplies"), rows)


def _explained(call: HookCall, risk: Risk) -> Explanation:
    model = call.models[risk.model]
    if not isinstance(model, PreventModel) or not isinstance(risk.row, Prevent):
        raise TypeError("the cardiovascular service runs PREVENT only")
    return model.explanation_within(risk.row, 10)


def most_of_it(call: HookCall, risk: Risk) -> str:
    """Of the inputs that can change, the two that raise the 10-year risk most: "smoking (current)"."""
    raising = [c for c in _explained(call, risk).contributions if c.name in _CAN_CHANGE and c.direction == "raises"]
    raising.sort(key=lambda c: -c.amount)
    return " and ".join(f"{_CAN_CHANGE[c.name]} ({c.value})" for c in raising[:_MOST])


def _please_note(said: tuple[str, ...]) -> Iterator[str]:
    if said:
        yield "**Please note:** " + "; ".join(map(plain, said)) + "."


def _moment(call: HookCall) -> str:
    return f"{day_text(call.at)} {call.at:%H:%M} UTC"
