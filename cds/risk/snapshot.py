"""A row as bytes, so that any recorded outcome can be computed again from exactly what it was computed from."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from cds.features.feature import Missing, Reading
from cds.features.predictors import Predictors
from cds.risk.estimate import NotScored, Number, Outcome, Risk, Score
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
    """Estimates with probabilities from 0 to 1 and scores with value, unit and band, unrounded."""
    return [] if isinstance(outcome, NotScored) else [_number(number) for number in outcome.estimates]


def _number(number: Number) -> dict[str, Any]:
    bound = {"bound": number.bound} if number.bound else {}
    if isinstance(number, Score):
        band = {"band": number.band} if number.band else {}
        return {"outcome": number.outcome, "value": number.value, "unit": number.unit} | band | bound
    return {"outcome": number.outcome, "horizon": number.horizon_years, "probability": number.probability} | bound


class Difference(Struct, frozen=True):
    """How a replayed outcome differs from the recorded one."""

    recorded: str
    replayed: str


def replay(snap: Snapshot, model: RiskModel, recorded: list[dict[str, Any]], reason: str | None) -> Difference | None:
    """Compute a recorded outcome again; None when it is the same to the last bit."""
    row: Predictors = model.predictors.given(snap.at, **snap.answers)
    outcome = score_row(model, row)
    found = estimates(outcome)
    again_reason = outcome.reason if isinstance(outcome, NotScored) else None
    if found == recorded and again_reason == reason:
        return None
    before, again = ("; ".join(map(_told, numbers)) for numbers in (recorded, found))
    return Difference(before or str(reason), again or str(again_reason))


def _told(estimate: dict[str, Any]) -> str:
    """A number to the last bit, with its bound: "at most 29.4 %" is another answer than 29.4 %."""
    bound = f"{estimate['bound']} " if estimate.get("bound") else ""
    if "value" in estimate:
        return (
            f"{estimate['outcome']} {bound}{estimate['value']!r} {estimate['unit']} {estimate.get('band', '')}".rstrip()
        )
    return f"{estimate['horizon']:g} y {bound}{estimate['probability']!r}"


__all__ = ["Difference", "Risk", "Snapshot", "estimates", "inputs", "read_snapshot", "replay", "snapshot"]
