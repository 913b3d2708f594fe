"""The rows of scores.parquet: one for each patient and number that a model may give, scored or not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import json

from cds.batch.answers import Answer, Rejected
from cds.risk.estimate import Estimate, NotScored, Number, Risk, Score
from cds.risk.model import RiskModel
from cds.risk.snapshot import inputs

_EPOCH, _MICROSECOND = datetime.fromtimestamp(0, UTC), timedelta(microseconds=1)

Row = dict[str, Any]
"""A column's value by its name: instants in microseconds, inputs as tuples. A column that is not there is null."""
Input = tuple[str, float | None, str | None, str | None, int | None, str | None, str | None]
"""Name, number, text, unit, instant, source, and why it is missing."""


def rows(patient: str, model: RiskModel, answer: Answer, at: datetime, assessment: str | None) -> Iterator[Row]:
    """The rows of one answer, in the order of the card. Of a risk, a number that the model did not give is empty."""
    shared: Row = {"patient": patient, "model": model.id, "version": model.version, "at": microseconds(at)}
    shared |= _told(answer) | {"assessment": assessment}
    numbers = {(n.outcome, n.horizon_years): n for n in answer.estimates} if isinstance(answer, Risk) else {}
    for what, horizon in model.card.slots:
        number = numbers.get((what, horizon))
        yield {**shared, "of": what, "horizon_years": horizon, **(_number(model, number) if number else {})}


def _number(model: RiskModel, number: Number) -> Row:
    if isinstance(number, Score):
        return {"value": number.value, "unit": number.unit, "bound": number.bound, "band": number.band or None}
    return {"probability": number.probability, "bound": number.bound, "band": band(model, number)}


def _told(answer: Answer) -> Row:
    if isinstance(answer, Rejected):
        return {"outcome": "rejected", "reason": answer.reason, "text": answer.text, "cautions": [], "inputs": []}
    said: Row = {"outcome": "risk", "reason": None, "text": None}
    if isinstance(answer, NotScored):
        said = {"outcome": "not-scored", "reason": answer.reason, "text": answer.text}
    answers = answer.row.answers()
    told = [_input(line, getattr(answers[line["name"]], "source", "")) for line in inputs(answer)]
    return {**said, "cautions": list(answer.cautions), "inputs": told}


def _input(line: dict[str, Any], source: str) -> Input:
    value, when = line.get("value"), line["when"]
    number = float(value) if isinstance(value, (int, float)) else None
    text = value if isinstance(value, str) or value is None else json.encode(value).decode()
    return (
        line["name"],
        number,
        text if number is None else None,
        line.get("unit") or None,
        None if when is None else microseconds(when),
        source or None,
        line.get("missing"),
    )


def microseconds(moment: datetime) -> int:
    """Since 1970 in UTC, as Arrow holds an instant."""
    return (moment - _EPOCH) // _MICROSECOND


def band(model: RiskModel, estimate: Estimate) -> str | None:
    """Between which of the model's thresholds an estimate lies: "> 10 %", "<= 5 %"; None where that is not known.

    A threshold is crossed strictly above it. Behind "at most" the truth may lie below a threshold that the bound
    crosses, and behind "at least" above one that it does not.
    """
    limits = sorted(t.percent for t in model.thresholds if t.percent is not None and t.about(estimate))
    if not limits:
        return None
    crossed = [limit for limit in limits if estimate.probability * 100 > limit]
    if crossed:
        return None if estimate.bound == "at most" else f"> {crossed[-1]:g} %"
    return None if estimate.bound == "at least" else f"<= {limits[0]:g} %"
