"""A row as bytes, so that any recorded outcome can be computed again from exactly what it was computed from."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from cds.features.feature import Missing, Reading
from cds.features.predictors import Predictors
from cds.risk.estimate import NotScored, Outcome, Risk
from cds.risk.model import RiskModel
from cds.risk.scoring import score_row


class Snapshot(Struct, frozen=True):
    """What an outcome rests on: the model, its version and settings, the time, and every feature's answer."""

    model: str
    version: str
    settings: dict[str, Any]
    at: datetime
    answers: dict[str, Reading[Any] | Missing]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Snapshot)


def snapshot(outcome: Outcome, settings: dict[str, Any]) -> bytes:
    answers = outcome.row.answers()
    return _encoder.encode(Snapshot(outcome.model, outcome.version, settings, outcome.at, answers))


def read_snapshot(data: bytes) -> Snapshot:
    return _decoder.decode(data)


def inputs(outcome: Outcome) -> list[dict[str, Any]]:
    """Name, value, unit and time of every feature's answer, or why it has none; no resource is named."""
    return [
        {"name": name, "value": answer.value, "unit": answer.unit, "when": answer.when}
        if isinstance(answer, Reading)
        else {"name": name, "missing": answer.why, "when": answer.when}
        for name, answer in outcome.row.answers().items()
        if isinstance(answer, Reading) or answer.why != "never recorded"
    ]


def estimates(outcome: Outcome) -> list[dict[str, Any]]:
    """Estimates with probabilities from 0 to 1, unrounded."""
    if isinstance(outcome, NotScored):
        return []
    return [
        {"outcome": e.outcome, "horizon": e.horizon_years, "probability": e.probability}
        | ({"bound": e.bound} if e.bound else {})
        for e in outcome.estimates
    ]


class Difference(Struct, frozen=True):
    """How a replayed outcome differs from the recorded one."""

    recorded: str
    replayed: str


def replay(snap: Snapshot, model: RiskModel, recorded: list[dict[str, Any]], reason: str | None) -> Difference | None:
    """Compute a recorded outcome again; None when it is the same to the last bit."""
    row: Predictors = model.predictors.given(snap.at, **snap.answers)
    outcome = score_row(model, row)
    again, before = "; ".join(map(_told, estimates(outcome))), "; ".join(map(_told, recorded))
    again_reason = outcome.reason if isinstance(outcome, NotScored) else None
    if again == before and again_reason == reason:
        return None
    return Difference(before or str(reason), again or str(again_reason))


def _told(estimate: dict[str, Any]) -> str:
    """An estimate to the last bit, with its bound: "at most 29.4 %" is another answer than 29.4 %."""
    bound = f"{estimate['bound']} " if estimate.get("bound") else ""
    return f"{estimate['horizon']:g} y {bound}{estimate['probability']!r}"


__all__ = ["Difference", "Risk", "Snapshot", "estimates", "inputs", "read_snapshot", "replay", "snapshot"]
