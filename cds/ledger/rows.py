"""Turns records into the tables' rows and back; what could name a person is sealed on the way in."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from cds.ledger.canonical import ANSWER, SCORE, answer_digest, row_digest
from cds.ledger.records import AnswerRecord, FeedbackRecord, ScoreRecord
from cds.ledger.seal import Keyring

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# The order of the values that `entry` makes, after the answer's number, which the database gives.
ANSWER_COLUMNS = ("seq", *ANSWER, "repeats", "sealed")
SCORE_COLUMNS = ("answer", *SCORE)


class _Sealed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Of an answer, what only the key may read: one value, so that one encryption seals it."""

    patient: str
    user: str | None
    cards: bytes | tuple[int, int]  # where in the body they stand, so that they are not kept twice
    card_ids: tuple[str, ...]
    body: bytes
    rows: tuple[bytes, ...]


class _SealedWords(msgspec.Struct, frozen=True, array_like=True):
    """Of a feedback, the free text."""

    comment: str | None
    reason_display: str | None


_json = msgspec.json.Encoder()
_pack = msgspec.msgpack.Encoder()
_unpack = msgspec.msgpack.Decoder(_Sealed)
_unpack_words = msgspec.msgpack.Decoder(_SealedWords)
_texts = msgspec.json.Decoder(tuple[str, ...])
_objects = msgspec.json.Decoder(list[dict[str, Any]])


class Entry(NamedTuple):
    """One answer, ready to insert once it has its number."""

    replay_key: str | None
    recorded_at: int
    body: bytes
    answer: tuple[Any, ...]
    scores: list[tuple[Any, ...]]
    cards: tuple[str, ...]
    digest: bytes

    @property
    def tenant(self) -> str:
        """Whose chain it will stand in."""
        tenant: str = self.answer[1]
        return tenant


def micros(moment: datetime) -> int:
    """Microseconds since 1970 in UTC, exactly. A moment without a time zone is a TypeError."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(micros: int) -> datetime:
    """The inverse of `micros`."""
    return _EPOCH + micros * _MICROSECOND


def entry(record: AnswerRecord, keyring: Keyring) -> Entry:
    """The rows of one answer, sealed."""
    recorded_at = micros(record.recorded_at)
    inner = _inner(record)
    answer = (
        record.id, record.tenant, record.service, record.hook, record.hook_instance, record.digest,
        keyring.pseudonym(record.tenant, record.patient), record.stage, record.status, record.kind, record.reason,
        record.latency_us,
        recorded_at, _text(record.missing), record.repeats,
        keyring.seal(inner, answer_bound(record.tenant, record.id)),
    )  # fmt: skip
    scores = [_score(position, score) for position, score in enumerate(record.scores)]
    digest = answer_digest(answer[:-2], scores, record.card_ids, inner, keyring)
    return Entry(record.replay_key, recorded_at, record.body, answer, scores, record.card_ids, digest)


def _inner(record: AnswerRecord) -> bytes:
    rows = tuple([score.row for score in record.scores])
    at = record.body.find(record.cards)
    cards = record.cards if at < 0 else (at, at + len(record.cards))
    return _pack.encode(_Sealed(record.patient, record.user, cards, record.card_ids, record.body, rows))


def _score(position: int, score: ScoreRecord) -> tuple[Any, ...]:
    return (
        position, score.model, score.version, micros(score.at), score.outcome, score.reason,
        _text(score.estimates), _text(score.inputs),
    )  # fmt: skip


def _text(value: Any) -> str:
    return _json.encode(value).decode() if value else "[]"


def answer_bound(tenant: str, answer_id: str) -> bytes:
    """What an answer's seal is bound to: moved to another tenant or row, it does not open."""
    return f"answer\0{tenant}\0{answer_id}".encode()


def feedback_bound(tenant: str, fingerprint: str) -> bytes:
    """What a feedback's seal is bound to."""
    return f"feedback\0{tenant}\0{fingerprint}".encode()


def body_of(tenant: str, answer_id: str, sealed: bytes, keyring: Keyring) -> bytes:
    """The response that a recorded answer was."""
    return _unpack.decode(keyring.open(sealed, answer_bound(tenant, answer_id))).body


def opened(answer: Any, scores: Iterable[Any], keyring: Keyring) -> AnswerRecord:
    """The record that `entry` was made of; its replay key, which lives five minutes, is not given back."""
    sealed = bytes(answer.sealed)
    inner = _unpack.decode(keyring.open(sealed, answer_bound(answer.tenant, answer.id)))
    cards = inner.cards if isinstance(inner.cards, bytes) else inner.body[slice(*inner.cards)]
    return AnswerRecord(
        id=answer.id, tenant=answer.tenant, service=answer.service, hook=answer.hook,
        hook_instance=answer.hook_instance, digest=answer.digest, patient=inner.patient, user=inner.user,
        stage=answer.stage, status=answer.status, kind=answer.kind, reason=answer.reason,
        cards=cards, card_ids=inner.card_ids, body=inner.body, replay_key=None,
        latency_us=answer.latency_us, recorded_at=moment(answer.recorded_at),
        scores=tuple(_opened_score(score, row) for score, row in zip(scores, inner.rows, strict=True)),
        missing=_texts.decode(answer.missing), repeats=answer.repeats,
    )  # fmt: skip


def _opened_score(score: Any, row: bytes) -> ScoreRecord:
    return ScoreRecord(
        model=score.model, version=score.version, at=moment(score.at), outcome=score.outcome, reason=score.reason,
        estimates=_objects.decode(score.estimates), inputs=_objects.decode(score.inputs), row=row,
    )  # fmt: skip


def feedback_row(record: FeedbackRecord, answer: int | None, keyring: Keyring) -> tuple[dict[str, Any], bytes]:
    """The row of one feedback, its free text sealed, and its digest."""
    fingerprint = _fingerprint(record)
    words = _pack.encode(_SealedWords(record.comment, record.reason_display))
    row = {
        "fingerprint": fingerprint,
        "answer": answer,
        "tenant": record.tenant,
        "service": record.service,
        "card": record.card,
        "outcome": record.outcome,
        "outcome_at": micros(record.outcome_timestamp),
        "suggestions": _text(sorted(record.suggestions)),
        "reason_code": record.reason_code,
        "reason_system": record.reason_system,
        "received_at": micros(record.received_at),
    }
    digest = row_digest("feedback", tuple(row.values()), words, keyring)
    return {**row, "sealed": keyring.seal(words, feedback_bound(record.tenant, fingerprint))}, digest


def _fingerprint(record: FeedbackRecord) -> str:
    same = (record.tenant, record.service, record.card, record.outcome, micros(record.outcome_timestamp))
    return hashlib.sha256(_json.encode([*same, sorted(set(record.suggestions))])).hexdigest()


def opened_feedback(row: Any, keyring: Keyring) -> FeedbackRecord:
    """The record that `feedback_row` was made of."""
    words = _unpack_words.decode(keyring.open(bytes(row.sealed), feedback_bound(row.tenant, row.fingerprint)))
    return FeedbackRecord(
        tenant=row.tenant, service=row.service, card=row.card, outcome=row.outcome,
        outcome_timestamp=moment(row.outcome_at), suggestions=_texts.decode(row.suggestions),
        reason_code=row.reason_code, reason_system=row.reason_system, reason_display=words.reason_display,
        comment=words.comment, received_at=moment(row.received_at),
    )  # fmt: skip
