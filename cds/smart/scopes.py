"""Turns what the models need into SMART scopes, and what was granted into what may not be read."""

from collections.abc import Collection, Iterable

from cds.cdshooks.prefetch import covers


def wanted(
    resource_types: Iterable[str],
    capabilities: Collection[str],
    *,
    ehr_launch: bool,
    save: bool = False,
    scopes_supported: Collection[str] = (),
) -> str:
    """The scope of an authorization request: each type that is read and no wildcard; offline access never.

    SMART 2 letters unless the server does not know them (capability permission-v2), then SMART 1 words.
    """
    v2 = "permission-v2" in capabilities
    read, save_by = ("rs", ("crs",)) if v2 else ("read", ("read", "write"))  # read, so as to save nothing twice
    scopes = ["openid", "fhirUser", "launch" if ehr_launch else "launch/patient"]
    if ehr_launch and ("permission-online" in capabilities or "online_access" in scopes_supported):
        scopes.append("online_access")
    scopes += [f"patient/{kind}.{read}" for kind in sorted({*resource_types, "Patient"})]
    if save:
        scopes += [f"patient/RiskAssessment.{rights}" for rights in save_by]
    return " ".join(scopes)


def lacking(granted: str, resource_types: Iterable[str]) -> tuple[str, ...]:
    """The types that the granted scopes do not let us read whole: their data is unknown, never absent."""
    silent = not any(one.startswith(("patient/", "user/", "system/")) for one in granted.split())
    return tuple(kind for kind in sorted(set(resource_types)) if silent or not covers(granted, kind))


def may_create(granted: str, kind: str) -> bool:
    """Whether resources of a type may be created in the launch's patient's chart."""
    return any(_creates(one, kind) for one in granted.split())


def _creates(scope: str, kind: str) -> bool:
    if not scope.startswith(("patient/", "user/")) or "?" in scope:
        return False
    named, _, rights = scope.partition("/")[2].rpartition(".")
    if named not in ("*", kind):
        return False
    return rights in ("write", "*") or ("c" in rights and set(rights) <= set("cruds"))
