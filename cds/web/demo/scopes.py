"""Says what a SMART scope lets a token do with the demo's records."""

import re
from typing import Any

import msgspec

CONTEXT_SCOPES = frozenset({
    "openid", "fhirUser", "launch", "launch/patient", "launch/encounter", "online_access", "offline_access",
})  # fmt: skip
SUPPORTED = (*sorted(CONTEXT_SCOPES), "patient/*.rs", "patient/*.cruds", "patient/*.read", "patient/*.write")

_SCOPE = re.compile(r"patient/(\*|[A-Z][A-Za-z]+)\.(?:(read|write|\*)|(c?r?u?d?s?))(?:\?([^\s?]+))?")
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}


class Permission(msgspec.Struct, frozen=True):
    """One `patient/` scope: a resource type or *, letters of "cruds", and a search that narrows it ("" does not)."""

    type: str
    letters: str
    query: str

    def covers(self, resource_type: str, letter: str) -> bool:
        return self.type in ("*", resource_type) and letter in self.letters


def permission(scope: str, *, v2: bool = True) -> Permission | None:
    """The permission that a scope names; None for a context scope and for what this server does not understand."""
    match = _SCOPE.fullmatch(scope)
    if match is None:
        return None
    resource_type, first, second, query = match.groups()
    if first:
        return None if query else Permission(resource_type, _V1[first], "")
    return Permission(resource_type, second, query or "") if v2 and second else None


def granted(asked: str, withheld: frozenset[str], *, v2: bool) -> str:
    """The scopes of a request that this server grants; one that it does not understand is passed over."""
    known = [scope for scope in asked.split() if scope in CONTEXT_SCOPES or permission(scope, v2=v2)]
    return " ".join(scope for scope in dict.fromkeys(known) if scope not in withheld)


def permissions(scope: str, resource_type: str, letter: str) -> list[Permission]:
    """Every permission in a granted scope to do that (a letter of "cruds") with that type; none: forbidden."""
    found = (permission(one) for one in scope.split())
    return [one for one in found if one is not None and one.covers(resource_type, letter)]


def in_compartment(resource: dict[str, Any], patient: str) -> bool:
    """True for the Patient itself and for what has them as subject or patient; nothing else belongs to a person."""
    if resource.get("resourceType") == "Patient":
        return bool(resource.get("id") == patient)
    about = next((held for held in (resource.get("subject"), resource.get("patient")) if held), None)
    reference = about.get("reference") if isinstance(about, dict) else None
    return isinstance(reference, str) and "/".join(reference.split("/")[-2:]) == f"Patient/{patient}"
