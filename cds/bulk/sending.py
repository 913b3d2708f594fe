"""Sends many writes to a server, in Bundles where it takes them, and tells each one's own outcome."""

import asyncio
import re
from collections.abc import Sequence

from msgspec import Struct

from cds.bulk.content import Json, complains, version_of
from cds.bulk.target import Answer, Target

_MINIMAL = {"Prefer": "return=minimal"}
_STATUS = re.compile(r"([1-5][0-9]{2})\b")
_PLACE = re.compile(r"(?:^|/)[A-Za-z]+/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?/?$")
_UNKNOWN = 0
_SAID = (200, 201)
"""What a server answers that has written; a 202 or 204 may come from anybody."""


class Write(Struct, frozen=True):
    """One write that may be repeated: a PUT to `Type/id`, or a POST to `Type` that a search of `unless` prevents."""

    method: str
    place: str
    resource: Json
    if_match: str | None = None
    unless: str | None = None


class Outcome(Struct, frozen=True):
    """`status` is HTTP's for this write alone, 0 where the server did not say. `id` and `version` as it told them.

    It did not say, either, where a proxy or a sign-in page answered in its place, or with a 2xx that tells nothing.
    """

    status: int
    id: str | None = None
    version: str | None = None
    final: bool = False
    """Sent again and again already."""
    repeated: bool = False
    """Sent before within this outcome, and nobody knows what became of that."""

    @property
    def ok(self) -> bool:
        return self.status in _SAID

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
    if _written(number) and (number not in _SAID or complains(said.get("outcome"))):
        return Outcome(_UNKNOWN, repeated=repeated)
    return Outcome(number, _id(said.get("location")), _version(said.get("etag")), repeated=repeated)


async def _alone(target: Target, write: Write) -> Outcome:
    headers = dict(_MINIMAL)
    if write.if_match:
        headers["If-Match"] = write.if_match
    if write.unless:
        headers["If-None-Exist"] = write.unless
    answer = await target.ask(write.method, write.place, write.resource, headers)
    if not _written(answer.status):
        return Outcome(answer.status, final=answer.status >= 500, repeated=answer.repeated)
    body = answer.json() if answer.body.strip() else {}
    place = answer.headers.get("location") or answer.headers.get("content-location")
    if answer.status not in _SAID or body is None or complains(body) or not _tells(answer, write, body):
        return Outcome(_UNKNOWN, repeated=answer.repeated)
    resource = body if body.get("resourceType") == write.resource["resourceType"] else {}
    version = _version(answer.headers.get("etag")) or version_of(resource)
    return Outcome(answer.status, _id(place) or resource.get("id"), version, repeated=answer.repeated)


def _written(status: int) -> bool:
    return 200 <= status < 300


def _tells(answer: Answer, write: Write, body: Json) -> bool:
    """Whether it speaks of this write: by what it keeps, where, or in which version.

    One that a conditional create found already may be told by its status alone; where it is, is looked up in any case.
    """
    if any(answer.headers.get(name) for name in ("etag", "location", "content-location")):
        return True
    if write.unless and (not body or body.get("resourceType") == "OperationOutcome"):
        return True
    return bool(body.get("resourceType") == write.resource["resourceType"])


def _id(place: object) -> str | None:
    found = _PLACE.search(place) if isinstance(place, str) else None
    return found[1] if found else None


def _version(etag: object) -> str | None:
    found = re.fullmatch(r'(?:W/)?"?([^"]{1,64})"?', etag) if isinstance(etag, str) else None
    return found[1] if found else None
