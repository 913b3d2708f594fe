"""Names each way in which a launch or a session ends, so that every one has its page."""

from typing import Literal

from cds.errors import BedsideError

Reason = Literal[
    "issuer-missing",
    "issuer-unknown",
    "launch-missing",
    "discovery-missing",
    "discovery-incomplete",
    "host-unregistered",
    "unreachable",
    "access-denied",
    "scope-refused",
    "client-refused",
    "authorization-failed",
    "state-missing",
    "state-unknown",
    "state-expired",
    "state-replayed",
    "other-browser",
    "cookies-blocked",
    "code-missing",
    "code-refused",
    "token-unusable",
    "identity-invalid",
    "no-patient",
    "not-permitted",
    "not-recorded",
    "token-rejected",
    "refresh-refused",
    "session-ended",
    "logged-out",
    "another-patient",
    "forged",
    "request-unusable",
    "too-many",
    "no-standalone",
]


class SmartRefused(BedsideError):
    """A launch, or a page of one, that does not go on. `tenant` is the client's, once it is known.

    `host`: the server that the site would have to register first.
    """

    def __init__(self, reason: Reason, tenant: str | None = None, *, host: str | None = None) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.tenant = tenant
        self.host = host


class SessionEnded(SmartRefused):
    """There is no such session any more: the app must be opened again from the chart."""

    def __init__(self, reason: Reason = "session-ended", tenant: str | None = None) -> None:
        super().__init__(reason, tenant)


class SentBack(SmartRefused):
    """What a browser's address says came back from sign-in. Anybody can write one: it is no failure of a server."""
