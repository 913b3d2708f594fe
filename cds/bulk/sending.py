"""Sends many writes to a server, in Bundles where it takes them, and tells each one's own outcome."""

import asyncio
import re
from collections.abc import Sequence

from msgspec import Struct

from cds.bulk.content import Json
from cds.bulk.target import Answer, Target

_MINIMAL = {"Prefer": "return=minimal"}
_STATUS = re.compile(r"([1-5][0-9]{2})\b")
_PLACE = re.compile(r"(?:^|/)[A-Za-z]+/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?/?$")
_UNKNOWN = 0


class Write(Struct, frozen=True):
    """One write that may be repeated: a PUT to `Type/id`, or a POST to `Type` that a search of `unless` prevents."""

    method: str
    place: str
    resource: Json
    if_match: str | None = None
    unless: str | None = None


class Outcome(Struct, frozen=True):
    """`status` is HTTP's for this write alone, 0 where the server did not say. `id` and `version` as it told them."""

    status: int
    id: str | None = None
    version: str | None = None
    final: bool = False
    """Sent again and again already."""
    repeated: bool = False
    """Sent before within this outcome, and nobody knows what became of that."""

    @property
    def ok(self) -> bool:
        return self.status in (200, 201)

    @property
    def passing(self) -> bool:
        """Whether it may be otherwise next time: in between, others write, and servers recover."""
        return not self.final and (self.status in (_UNKNOWN, 409, 412, 429) or self.status >= 500)


async def send(target: Target, writes: Sequence[Write], *, bundles: bool) -> list[Outcome]:
    """The outcome of each write, in their order. Raises DataUnavailable when the server is not to be had at all."""
    if bundles and len(writes) > 1:
        answer = await target.ask("POST", "", _bundle(writes), _MINIMAL)
        if answer.status == 200:
            return _entries(answer, len(writes))
        # It takes no Bundle, not this one, or breaks on one of its entries: one by one each tells for itself.
    return list(await asyncio.gather(*(_alone(target, write) for write in writes)))


async def insist(target: Target, writes: Sequence[Write], *, bundles: bool) -> list[Outcome]:
    """As `send`, with those sent again that may pass."""
    outcomes = await send(target, writes, bundles=bundles)
    for attempt in range(target.patience.tries - 1):
        left = [number for number, outcome in enumerate(outcomes) if outcome.passing]
        if not left:
            break
        await target.rest(attempt)
        for number, outcome in zip(left, await send(target, [writes[n] for n in left], bundles=bundles), strict=True):
            outcomes[number] = outcome
    return outcomes


def _bundle(writes: Sequence[Write]) -> Json:
    return {"resourceType": "Bundle", "type": "batch", "entry": [_entry(write) for write in writes]}


def _entry(write: Write) -> Json:
    request = {"method": write.method, "url": write.place}
    if write.if_match:
        request["ifMatch"] = write.if_match
    if write.unless:
        request["ifNoneExist"] = write.unless
    return {"resource": write.resource, "request": request}


def _entries(answer: Answer, count: int) -> list[Outcome]:
    """A batch answers 200 whatever became of its entries: each one's own status is what counts."""
    entries = (answer.json() or {}).get("entry")
    if not isinstance(entries, list) or len(entries) != count:
        return [Outcome(_UNKNOWN)] * count
    return [
        _outcome_of(entry.get("response") if isinstance(entry, dict) else None, repeated=answer.repeated)
        for entry in entries
    ]


def _outcome_of(response: object, *, repeated: bool) -> Outcome:
    said = response if isinstance(response, dict) else {}
    status = _STATUS.match(str(said.get("status", "")))
    number = int(status[1]) if status else _UNKNOWN
    return Outcome(number, _id(said.get("location")), _version(said.get("etag")), repeated=repeated)


async def _alone(target: Target, write: Write) -> Outcome:
    headers = dict(_MINIMAL)
    if write.if_match:
        headers["If-Match"] = write.if_match
    if write.unless:
        headers["If-None-Exist"] = write.unless
    answer = await target.ask(write.method, write.place, write.resource, headers)
    body = answer.json() if answer.status in (200, 201) else None
    resource = body if body is not None and body.get("resourceType") not in (None, "OperationOutcome") else {}
    meta = resource.get("meta")
    version = _version(answer.headers.get("etag")) or (meta.get("versionId") if isinstance(meta, dict) else None)
    place = answer.headers.get("location") or answer.headers.get("content-location")
    id_ = _id(place) or resource.get("id")
    return Outcome(answer.status, id_, version, final=answer.status >= 500, repeated=answer.repeated)


def _id(place: object) -> str | None:
    found = _PLACE.search(place) if isinstance(place, str) else None
    return found[1] if found else None


def _version(etag: object) -> str | None:
    found = re.fullmatch(r'(?:W/)?"?([^"]{1,64})"?', etag) if isinstance(etag, str) else None
    return found[1] if found else None
