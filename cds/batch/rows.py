"""The rows of scores.parquet: one for each patient, model and horizon, scored or not."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import json

from cds.batch.answers import Answer, Rejected
from cds.risk.estimate import Estimate, NotScored, Risk
from cds.risk.model import RiskModel
from cds.risk.snapshot import inputs

Row = dict[str, Any]


def rows(patient: str, model: RiskModel, answer: Answer, at: datetime, assessment: str | None) -> Iterator[Row]:
    """The rows of one answer, the model's horizons in order."""
    shared: Row = {"patient": patient, "model": model.id, "version": model.version, "at": at}
    shared |= _told(answer) | {"assessment": assessment}
    estimates = {e.horizon_years: e for e in answer.estimates} if isinstance(answer, Risk) else {}
    for horizon in model.card.horizons_years:
        row = {**shared, "horizon_years": float(horizon)}
        if (estimate := estimates.get(horizon)) is not None:
            row |= {"probability": estimate.probability, "bound": estimate.bound, "band": band(model, estimate)}
        yield row


def _told(answer: Answer) -> Row:
    if isinstance(answer, Rejected):
        return {"outcome": "rejected", "reason": answer.reason, "text": answer.text, "cautions": [], "inputs": []}
    said: Row = {"outcome": "risk", "reason": None, "text": None}
    if isinstance(answer, NotScored):
        said = {"outcome": "not-scored", "reason": answer.reason, "text": answer.text}
    answers = answer.row.answers()
    told = [_input(line, getattr(answers[line["name"]], "source", "")) for line in inputs(answer)]
    return {**said, "cautions": list(answer.cautions), "inputs": told}


def _input(line: dict[str, Any], source: str) -> Row:
    value = line.get("value")
    number = float(value) if isinstance(value, (int, float)) else None
    text = value if isinstance(value, str) or value is None else json.encode(value).decode()
    return {
        "name": line["name"],
        "number": number,
        "text": text if number is None else None,
        "unit": line.get("unit") or None,
        "when": line["when"].astimezone(UTC) if line["when"] else None,
        "source": source or None,
        "missing": line.get("missing"),
    }


def band(model: RiskModel, estimate: Estimate) -> str | None:
    """Between which of the model's thresholds an estimate lies: "> 10 %", "<= 5 %"; None where that is not known.

    A threshold is crossed strictly above it. Behind "at most" the truth may lie below a threshold that the bound
    crosses, and behind "at least" above one that it does not.
    """
    limits = sorted(t.percent for t in model.thresholds if t.horizon_years == estimate.horizon_years)
    if not limits:
        return None
    crossed = [limit for limit in limits if estimate.probability * 100 > limit]
    if crossed:
        return None if estimate.bound == "at most" else f"> {crossed[-1]:g} %"
    return None if estimate.bound == "at least" else f"<= {limits[0]:g} %"
