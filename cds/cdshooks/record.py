"""What the ledger holds of an answer: everything that is needed to say, later, what was shown and why."""

import msgspec

from cds.cdshooks.answer import Answer, Deployed, kind, missing
from cds.cdshooks.card import card_id
from cds.cdshooks.wire import Call
from cds.ledger import AnswerRecord, ScoreRecord
from cds.risk.estimate import NotScored
from cds.risk.snapshot import estimates, inputs, snapshot


def record_of(said: Answer, deployed: Deployed) -> AnswerRecord:
    """The record of an answer. Only a whole, fully prefetched answer may stand in for an identical call (D21)."""
    call = said.call
    replayable = said.error is None and not said.fetched and deployed.settings.stage != "shadow"
    key = (
        f"{deployed.tenant}|{deployed.service.id}|{call.hook}|{call.hook_instance}|{said.digest}|{deployed.fingerprint}"
    )
    return AnswerRecord(
        id=said.id,
        tenant=deployed.tenant,
        service=deployed.service.id,
        hook=call.hook,
        hook_instance=call.hook_instance,
        digest=said.digest,
        patient=patient_key(call, deployed),
        user=call.context.user_id,
        stage=deployed.settings.stage,
        status=said.status,
        kind=kind(said, deployed),
        cards=msgspec.json.encode(said.cards),
        card_ids=tuple(card["uuid"] for card in said.cards),
        body=said.body,
        replay_key=card_id(key) if replayable else None,
        latency_us=said.latency_us,
        recorded_at=said.at,
        scores=_scores(said, deployed),
        missing=missing(said),
        reason=said.reason or None,
    )


def patient_key(call: Call, deployed: Deployed) -> str:
    """Under which name a patient is pseudonymised: with the server, where the site has more than one of them."""
    servers = deployed.reach.fhir_servers
    server = deployed.reach.registered(call.fhir_server) or (next(iter(servers)) if len(servers) == 1 else "")
    return f"{server}|Patient/{call.patient_id}" if server else f"Patient/{call.patient_id}"


def _scores(said: Answer, deployed: Deployed) -> tuple[ScoreRecord, ...]:
    scored = []
    for id_, outcome in said.outcomes.items():
        reason = outcome.reason if isinstance(outcome, NotScored) else None
        scored.append(
            ScoreRecord(
                model=id_,
                version=outcome.version,
                at=said.at,
                outcome="risk" if reason is None else "not-scored",
                reason=reason,
                estimates=estimates(outcome),
                inputs=inputs(outcome),
                row=snapshot(outcome, deployed.models[id_].recorded_settings),
            )
        )
    for id_ in said.failed:
        version = deployed.models[id_].version
        scored.append(ScoreRecord(id_, version, said.at, "failed", "model-failed", [], [], b""))
    return tuple(scored)
