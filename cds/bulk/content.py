"""Says whether what a server keeps is what we wrote, whatever it added of its own."""

from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

Json = dict[str, Any]

_SERVERS_OWN = ("meta", "text")


def same(mine: Json, theirs: Json, base: str, *, but: tuple[str, ...] = ()) -> bool:
    """Whether every member of mine stands in theirs with the same value; `but` names members that may differ.

    What a server adds (meta, text, a display, an element that it fills) is not a difference; a list that grew is one.
    """
    passed_over = {*_SERVERS_OWN, *but}
    return all(_same(value, theirs.get(name), base) for name, value in mine.items() if name not in passed_over)


def digest(resource: Json) -> str:
    """SHA-256 of a resource's content in one spelling: members sorted, without what a server adds."""
    content = {name: value for name, value in resource.items() if name not in _SERVERS_OWN}
    return sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def version_of(resource: Json) -> str | None:
    meta = resource.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    return version if isinstance(version, str) else None


def complains(document: object) -> bool:
    """Whether this is an OperationOutcome that tells of an error: whatever its status says, something was not done."""
    if not isinstance(document, dict) or document.get("resourceType") != "OperationOutcome":
        return False
    issues = document.get("issue")
    found = [one for one in issues if isinstance(one, dict)] if isinstance(issues, list) else []
    return any(one.get("severity") in ("error", "fatal") for one in found)


def _same(mine: Any, theirs: Any, base: str) -> bool:
    if isinstance(mine, dict):
        return isinstance(theirs, dict) and all(_same(value, theirs.get(name), base) for name, value in mine.items())
    if isinstance(mine, list):
        pairs = zip(mine, theirs, strict=True) if isinstance(theirs, list) and len(mine) == len(theirs) else None
        return pairs is not None and all(_same(one, other, base) for one, other in pairs)
    if isinstance(mine, str) and isinstance(theirs, str):
        # A server may write its own references out in full, and an instant at another offset.
        return theirs in (mine, f"{base}/{mine}") or _one_instant(mine, theirs)
    return isinstance(mine, bool) == isinstance(theirs, bool) and bool(mine == theirs)


def _one_instant(mine: str, theirs: str) -> bool:
    try:
        first, second = datetime.fromisoformat(mine), datetime.fromisoformat(theirs)
    except ValueError:
        return False
    return first.tzinfo is not None and second.tzinfo is not None and first == second
