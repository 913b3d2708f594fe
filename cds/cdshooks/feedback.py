"""What became of the cards, as an EHR reports it: checked as a whole, then kept or refused as a whole."""

from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from cds.cdshooks.wire import check_bounds, check_utf8
from cds.errors import MalformedRequest
from cds.fhir.resources import unreadable
from cds.ledger import FeedbackRecord

COMMENT_LIMIT = 4000
ENTRY_LIMIT = 1000


class _Coding(Struct):
    code: str
    system: str
    display: str | None = None


class _Reason(Struct, rename="camel"):
    reason: _Coding | None = None
    user_comment: str | None = None


class _Suggestion(Struct):
    id: str


class _Entry(Struct, rename="camel"):
    card: str
    outcome: str
    outcome_timestamp: str
    accepted_suggestions: list[_Suggestion] = []
    override_reason: _Reason | None = None


class _Body(Struct):
    feedback: list[msgspec.Raw]


_body = msgspec.json.Decoder(_Body)
_entry = msgspec.json.Decoder(_Entry)


def read_feedback(body: bytes, tenant: str, service: str, now: datetime) -> list[FeedbackRecord]:
    """Every entry as a record. Raises MalformedRequest naming the first entry at fault: then none is kept."""
    check_bounds(body)
    check_utf8(body)
    try:
        entries = _body.decode(body).feedback
    except msgspec.ValidationError as fault:
        raise MalformedRequest(f"{unreadable(fault).path or 'body'}: {unreadable(fault).message}", "feedback") from None
    except (msgspec.DecodeError, RecursionError, ValueError):
        raise MalformedRequest("the body is not JSON") from None
    if len(entries) > ENTRY_LIMIT:
        raise MalformedRequest(f"more than {ENTRY_LIMIT} entries", "feedback")
    return [_record(entry, f"feedback[{n}]", tenant, service, now) for n, entry in enumerate(entries)]


def _record(raw: msgspec.Raw, where: str, tenant: str, service: str, now: datetime) -> FeedbackRecord:
    try:
        entry = _entry.decode(raw)
    except msgspec.ValidationError as fault:
        path = ".".join(filter(None, (where, unreadable(fault).path)))
        raise MalformedRequest(f"{path}: {unreadable(fault).message}", path) from None
    if not 0 < len(entry.card) <= 128:
        raise MalformedRequest(f"{where}.card is a card's uuid", f"{where}.card")
    if entry.outcome not in ("accepted", "overridden"):
        raise MalformedRequest(f"{where}.outcome is accepted or overridden", f"{where}.outcome")
    if entry.outcome == "accepted" and not entry.accepted_suggestions:
        raise MalformedRequest(f"{where}.acceptedSuggestions is required when accepted", f"{where}.acceptedSuggestions")
    reason = _checked(entry.override_reason, where)
    _check_ids(entry, where)
    return FeedbackRecord(
        tenant=tenant,
        service=service,
        card=entry.card,
        outcome="accepted" if entry.outcome == "accepted" else "overridden",
        outcome_timestamp=_instant(entry.outcome_timestamp, f"{where}.outcomeTimestamp"),
        suggestions=tuple(s.id for s in entry.accepted_suggestions),
        reason_code=reason.reason.code if reason and reason.reason else None,
        reason_system=reason.reason.system if reason and reason.reason else None,
        reason_display=reason.reason.display if reason and reason.reason else None,
        comment=reason.user_comment if reason else None,
        received_at=now,
    )


def _check_ids(entry: _Entry, where: str) -> None:
    """Ids and codes are kept as they came, and no database keeps every control character."""
    reason = entry.override_reason.reason if entry.override_reason else None
    kept = [entry.card, *(s.id for s in entry.accepted_suggestions), *((reason.code, reason.system) if reason else ())]
    if not all(word.isprintable() and len(word) <= 512 for word in kept):
        raise MalformedRequest(f"{where} has an id or a code that is not plain text", where)


def _checked(reason: _Reason | None, where: str) -> _Reason | None:
    if reason is None:
        return None
    path = f"{where}.overrideReason"
    if reason.reason is None and not reason.user_comment:
        raise MalformedRequest(f"{path} has a reason, a userComment, or both", path)
    if reason.user_comment and len(reason.user_comment) > COMMENT_LIMIT:
        raise MalformedRequest(f"{path}.userComment is longer than {COMMENT_LIMIT} characters", f"{path}.userComment")
    if reason.reason and not (reason.reason.code and reason.reason.system):
        raise MalformedRequest(f"{path}.reason has a code and a system", f"{path}.reason")
    return reason


def _instant(text: str, where: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None and "T" in text.upper():
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the first year of all may lie before it in UTC
        pass
    raise MalformedRequest(f"{where} is an RFC 3339 instant with an offset", where)
