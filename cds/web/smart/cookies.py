"""Writes the app's cookies: one for each launch and each session, so that two charts in one browser never mix."""

from collections.abc import Iterable
from hashlib import sha256

_PREFIX = "__Host-bedside-"
LAUNCH_SECONDS = 10 * 60
SESSION_SECONDS = 8 * 60 * 60
DROPPED = 12
"""Of the cookies of sessions that are gone, how many one launch clears away: a proxy takes a few kB of headers."""


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


def gone(names: Iterable[str], live: Iterable[str]) -> list[str]:
    """Those of a request's cookies that belong to no open session; a launch's own ends by itself."""
    kept = {session_cookie(session) for session in live}
    ours = (name for name in names if name.startswith(_PREFIX) and not name.startswith(launch_cookie("")))
    return [name for name in ours if name not in kept][:DROPPED]
