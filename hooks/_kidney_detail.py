"""The body of a kidney card: the number, what it rests on, and what must be said beside it."""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from cds import (
    Estimate,
    HookCall,
    Missing,
    NotScored,
    Reading,
    Risk,
    RiskModel,
    beside,
    day_text,
    people,
    percent,
    plain,
    rounded,
    table,
)
from models._kidney.equation import round_half_up
from models.kfre.inputs import FourVariables
from models.kfre.model import Kfre, earlier_risk


class Scored(Struct, frozen=True):
    """A scored row with its four inputs, which a score cannot lack."""

    row: FourVariables
    age: Reading[int]
    sex: Reading[Literal["female", "male"]]
    egfr: Reading[float]
    acr: Reading[float]

    @property
    def bound(self) -> str:
        """What stands before every number when the urine albumin is only a bound: "at most " or "at least "."""
        return f"{self.acr.bound} " if self.acr.bound else ""


def row_of(outcome: Risk | NotScored) -> FourVariables:
    if not isinstance(outcome.row, FourVariables):
        raise TypeError("the kidney service runs the kidney failure equations only")
    return outcome.row


def scored(risk: Risk) -> Scored:
    row = row_of(risk)
    age, sex, egfr, acr = row.age, row.sex, row.egfr, row.acr
    if isinstance(age, Missing) or isinstance(sex, Missing) or isinstance(egfr, Missing) or isinstance(acr, Missing):
        raise TypeError("a scored row has its four inputs")
    return Scored(row, age, sex, egfr, acr)


def above(estimate: Estimate, threshold: float) -> str:
    """A percentage above a threshold, with as many digits as it takes to see that it is."""
    number, bound = estimate.probability * 100, estimate.bound
    if number >= 99.95:
        return percent(estimate.probability, bound)
    shown = ((d, rounded(number, d, bound)) for d in range(1, 9))
    return next(f"{value:.{d}f}%" for d, value in shown if d == 8 or value > threshold)


def for_score(call: HookCall, risk: Risk, advice: str) -> str:
    """The Markdown of a risk: parts stand between blank lines, as GitHub's tables need it."""
    said, model = scored(risk), call.models[risk.model]
    two, five = (f"{years:g} years: {said.bound}{_percent(risk.within(years))}" for years in (2, 5))
    in_people = people(risk.within(5).probability, risk.within(5).bound)
    parts = [
        f"**{five}** ({in_people}) · **{two}**",
        table(("Input", "Value", "Date"), _inputs(model, said)),
        f"{model.standing(risk.row)}.{_was(call, risk)}",
        f"**Consider:** {advice}.",
        *_please_note(notes(call, risk)),
        f"**Checked, not found:** {', '.join(model.exclusions(risk.row))}. Not valid in any of them.",
        f"Supports, does not replace, clinical judgement. Calculated {_moment(call)}.",
    ]
    return "\n\n".join(parts)


def for_no_score(call: HookCall, outcome: NotScored) -> str:
    """The Markdown of what was found instead of a risk."""
    row = row_of(outcome)
    person = [str(answer.value) for answer in (row.age, row.sex) if isinstance(answer, Reading)]
    rows = [("Age, sex", ", ".join(person), "")] if person else []
    rows.append(_answer("Creatinine or eGFR", row.egfr, "mL/min/1.73 m²"))
    rows.append(_answer("Urine ACR", row.acr, "mg/g"))
    cautions = [f"**Please note:** {'; '.join(map(plain, outcome.cautions))}."] if outcome.cautions else []
    parts = [table(("Found", "Value", "Date"), rows), *cautions, f"Nothing was estimated. Looked at {_moment(call)}."]
    return "\n\n".join(parts)


def _answer(name: str, answer: Reading[float] | Missing, unit: str) -> tuple[str, str, str]:
    when = answer.date if answer.when else ""
    if isinstance(answer, Missing):
        shown = f"{plain(answer.shown)}: " if answer.shown else ""
        return name, f"{shown}{answer.why}", when
    bound = f"{answer.bound} " if answer.bound else ""
    return name, f"{bound}{round_half_up(answer.value)} {unit}", when


def _inputs(model: RiskModel, said: Scored) -> list[tuple[str, str, str]]:
    rows = [("Age, sex", f"{said.age.value}, {said.sex.value}", "")]
    for one in model.inputs(said.row)[2:]:
        value = f"{one.value}, {one.note}" if one.note else one.value
        rows.append((plain(one.name), plain(value), one.date))
    return rows


def _percent(estimate: Estimate) -> str:
    return percent(estimate.probability, estimate.bound)


def _was(call: HookCall, risk: Risk) -> str:
    model, earlier = call.models[risk.model], row_of(risk).earlier
    before = earlier_risk(model, row_of(risk)) if isinstance(model, Kfre) else None
    if before is None or isinstance(earlier, Missing):
        return ""
    egfr = earlier.value[1]
    return f" Was {percent(before)} in 5 years on {earlier.date} (eGFR {round_half_up(egfr)})."


def notes(call: HookCall, risk: Risk) -> tuple[str, ...]:
    """What must be said beside the number, in plain text."""
    return beside(risk, call.outcomes.values(), call.failed)


def _please_note(said: tuple[str, ...]) -> Iterator[str]:
    if said:
        yield "**Please note:** " + "; ".join(map(plain, said)) + "."


def _moment(call: HookCall) -> str:
    return f"{day_text(call.at)} {call.at:%H:%M} UTC"
