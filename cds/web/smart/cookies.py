"""Writes the app's cookies: one for each launch and each session, so that two charts in one browser never mix."""

from collections.abc import Iterable
from hashlib import sha256

_PREFIX = "__Host-bedside-"
LAUNCH_SECONDS = 10 * 60
SESSION_SECONDS = 8 * 60 * 60
KEPT = 12
"""A browser's cookies of ours; a launch clears away those of sessions that are gone."""


def launch_cookie(handle: str) -> str:
    return f"{_PREFIX}launch-{handle}"


def session_cookie(session: str) -> str:
    return f"{_PREFIX}{sha256(session.encode()).hexdigest()[:16]}"


def set_cookie(name: str, value: str, seconds: int, *, embedded: bool) -> str:
    """A Set-Cookie line. Only where an EHR may frame the app does the cookie travel in frames, one jar for each EHR."""
    site = "SameSite=None; Partitioned" if embedded else "SameSite=Lax"
    return f"{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; {site}"


def drop_cookie(name: str, *, embedded: bool) -> str:
    return set_cookie(name, "", 0, embedded=embedded)


def ours(names: Iterable[str]) -> list[str]:
    """Those of a request's cookies that this app has set."""
    return [name for name in names if name.startswith(_PREFIX)]
