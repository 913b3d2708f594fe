"""What the rest of Bedside hands to the ledger and gets back from it, as plain frozen values."""

from datetime import datetime
from typing import Any, Literal

import msgspec

Stage = Literal["shadow", "live", "off"]
ScoreOutcome = Literal["risk", "not-scored", "failed"]
Reaction = Literal["accepted", "overridden"]


class ScoreRecord(msgspec.Struct, frozen=True):
    """One model's outcome for one patient. Everything but `row` is kept in the clear, so it may name no resource.

    `estimates`: outcome, horizon, probability (0-1), band. `inputs`: name, value, unit, when.
    `row` is whatever a replay needs, sources included: opaque here, sealed at rest.
    """

    model: str
    version: str
    at: datetime
    outcome: ScoreOutcome
    reason: str | None
    estimates: list[dict[str, Any]]
    inputs: list[dict[str, Any]]
    row: bytes


class AnswerRecord(msgspec.Struct, frozen=True):
    """One answer, as it is sent. `patient`, `user`, `cards`, `body` and the scores' rows are sealed at rest.

    `digest` is the SHA-256 of the request in hex; `cards` is their JSON; `body` the very bytes of the response.
    `replay_key` is None where a repeat must be computed afresh, and when read back. `repeats` is the ledger's count.
    """

    id: str
    tenant: str
    service: str
    hook: str
    hook_instance: str
    digest: str
    patient: str
    user: str | None
    stage: Stage
    status: int
    kind: str
    cards: bytes
    card_ids: tuple[str, ...]
    body: bytes
    replay_key: str | None
    latency_us: int
    recorded_at: datetime
    scores: tuple[ScoreRecord, ...] = ()
    missing: tuple[str, ...] = ()
    repeats: int = 0
    reason: str | None = None
    """Why there is no card, as a closed code: "low-risk", "palliative-care", a model's own reason."""


class FeedbackRecord(msgspec.Struct, frozen=True):
    """What became of one card, as the EHR reports it. `comment` and `reason_display` are free text: sealed at rest."""

    tenant: str
    service: str
    card: str
    outcome: Reaction
    outcome_timestamp: datetime
    suggestions: tuple[str, ...]
    reason_code: str | None
    reason_system: str | None
    reason_display: str | None
    comment: str | None
    received_at: datetime


class Tally(msgspec.Struct, frozen=True, order=True):
    """How often a reaction was reported. `cards` counts each card once, by its latest report; `reports` counts all.

    `model` and `version` are None for feedback on a card this ledger never recorded.
    """

    service: str
    model: str | None
    version: str | None
    outcome: str
    reason: str | None
    cards: int
    reports: int
