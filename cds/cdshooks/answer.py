"""From one hook call's bytes to one answer's bytes, with everything the ledger must hold about it."""

import time
import uuid
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from cds.cdshooks.configuration import configured
from cds.cdshooks.card import card_id, on_wire
from cds.cdshooks.outcomes import body_of, status_of
from cds.cdshooks.prefetch import Reach, fill
from cds.cdshooks.service import HookCall, HookService, ServiceSettings
from cds.cdshooks.wire import Call, read_call
from cds.errors import BedsideError, DataUnavailable, ModelFailed, Overloaded
from cds.features.feature import Need
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.ledger import AnswerRecord, ScoreRecord
from cds.risk.estimate import NotScored, Outcome
from cds.risk.model import RiskModel
from cds.risk.scoring import score
from cds.risk.snapshot import estimates, inputs, snapshot

NO_CARDS = b'{"cards":[]}'


class Deployed(Struct, frozen=True):
    """A service as a site runs it: its settings, its models, and what those need."""

    service: HookService
    settings: ServiceSettings
    models: Mapping[str, RiskModel]
    needs: tuple[Need, ...]
    vocabulary: Vocabulary
    reach: Reach
    tenant: str = "local"
    lenient: bool = False
    hooks: frozenset[str] = frozenset()


class Answer(Struct, frozen=True):
    """What goes back, and its record. `error` is what went wrong when there is no guidance; `reason` why no card."""

    status: int
    body: bytes
    record: AnswerRecord
    outcomes: tuple[Outcome, ...]
    reason: str
    error: BedsideError | None = None
    fetched: bool = False


class _Said(Struct):
    """What became of a call, filled step by step, so that a failure keeps what was done before it."""

    outcomes: dict[str, Outcome] = {}
    failed: dict[str, ModelFailed] = {}
    cards: list[dict[str, Any]] = []
    system_actions: tuple[Any, ...] = ()
    fetched: bool = False
    reason: str = ""
    error: BedsideError | None = None


async def answer(deployed: Deployed, body: bytes, at: datetime) -> Answer:
    """Answer one hook call. Raises RequestError (400, 413) for what is no call; every other failure is in the Answer."""
    started = time.perf_counter()
    call = read_call(body, deployed.hooks, lenient=deployed.lenient)
    digest = _digest(call)
    said = _Said()
    try:
        await _advise(deployed, call, at, f"{deployed.tenant}|{deployed.service.id}|{call.hook_instance}|{digest}", said)
    except BedsideError as fault:
        said.error = fault
    except Exception as fault:
        # A fault of ours may carry a patient's value in its text: only its kind goes on.
        said.error = ModelFailed(f"the service failed with {type(fault).__name__}", deployed.service.id)
    return _answer(deployed, call, at, digest, said, started)


async def _advise(deployed: Deployed, call: Call, at: datetime, seed: str, said: _Said) -> None:
    filled = await fill(call, deployed.needs, deployed.vocabulary, deployed.reach)
    said.fetched = bool(filled.fetched)
    _score(deployed, filled.chart, at, said)
    if said.failed and not said.outcomes:
        raise next(iter(said.failed.values()))
    settings = configured(deployed.settings, call.extension)
    guidance = deployed.service.answer(
        HookCall(call, at, said.outcomes, deployed.models, settings, seed, tuple(said.failed))
    )
    if said.failed and not guidance.cards:
        raise next(iter(said.failed.values()))
    said.reason = guidance.reason
    said.cards = on_wire(guidance.cards, seed)
    said.system_actions = guidance.system_actions


def _score(deployed: Deployed, chart: Chart, at: datetime, said: _Said) -> None:
    """Run the models in turn; one that fails does not silence the others."""
    for model in deployed.models.values():
        try:
            said.outcomes[model.id] = next(score(model, (chart,), at))
        except ModelFailed as fault:
            said.failed[model.id] = fault


def _digest(call: Call) -> str:
    body, authorization = call.digestible
    return sha256(body.replace(authorization, b"", 1) if authorization else body).hexdigest()


def _answer(deployed: Deployed, call: Call, at: datetime, digest: str, said: _Said, started: float) -> Answer:
    id_ = str(uuid.uuid4())
    shadow = deployed.settings.stage == "shadow"
    if shadow:
        status, body = 200, NO_CARDS
    elif said.error is not None:
        status, body = status_of(said.error), body_of(said.error, id_)
    else:
        status, body = 200, _body(said)
    replayable = said.error is None and not said.fetched and not shadow
    versions = ",".join(f"{m.id} {m.version} {m.settings!r}" for m in deployed.models.values())
    key = f"{deployed.tenant}|{deployed.service.id}|{call.hook_instance}|{digest}|{versions}|{deployed.settings!r}"
    record = AnswerRecord(
        id=id_,
        tenant=deployed.tenant,
        service=deployed.service.id,
        hook=call.hook,
        hook_instance=call.hook_instance,
        digest=digest,
        patient=f"{call.fhir_server or deployed.tenant}|Patient/{call.patient_id}",
        user=call.context.user_id,
        stage=deployed.settings.stage,
        status=status,
        kind=_kind(said, shadow),
        cards=msgspec.json.encode(said.cards),
        card_ids=tuple(card["uuid"] for card in said.cards),
        body=body,
        replay_key=card_id(key) if replayable else None,
        latency_us=int((time.perf_counter() - started) * 1e6),
        recorded_at=at,
        scores=_scores(deployed, at, said),
        missing=said.error.keys if isinstance(said.error, DataUnavailable) else (),
    )
    return Answer(status, body, record, tuple(said.outcomes.values()), said.reason, said.error, said.fetched)


def overdue(late: Answer) -> Answer:
    """The answer in place of one that took too long: no card, and the record says so."""
    error = Overloaded("the answer took too long")
    body = body_of(error, late.record.id)
    record = msgspec.structs.replace(
        late.record, status=503, kind="failed", cards=b"[]", card_ids=(), body=body, replay_key=None
    )  # fmt: skip
    return msgspec.structs.replace(late, status=503, body=body, record=record, error=error)


def _body(said: _Said) -> bytes:
    response: dict[str, Any] = {"cards": said.cards}
    if said.system_actions:
        response["systemActions"] = said.system_actions
    return msgspec.json.encode(response)


def _kind(said: _Said, shadow: bool) -> str:
    if isinstance(said.error, DataUnavailable):
        return "unavailable"
    if said.error is not None:
        return "failed"
    return "shadow" if shadow else "card" if said.cards else "silent"


def _scores(deployed: Deployed, at: datetime, said: _Said) -> tuple[ScoreRecord, ...]:
    scored = []
    for id_, outcome in said.outcomes.items():
        settings = deployed.models[id_].settings.model_dump(mode="json")
        refused = isinstance(outcome, NotScored)
        scored.append(ScoreRecord(
            model=id_, version=outcome.version, at=at,
            outcome="not-scored" if refused else "risk", reason=outcome.reason if refused else None,
            estimates=estimates(outcome), inputs=inputs(outcome), row=snapshot(outcome, settings),
        ))  # fmt: skip
    for id_ in said.failed:
        version = deployed.models[id_].version
        scored.append(ScoreRecord(id_, version, at, "failed", "model-failed", [], [], b""))
    return tuple(scored)
