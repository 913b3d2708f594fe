"""Says that a caller is turned away: the same words for everyone outside, a reason for our own log."""

from typing import Literal

from cds.errors import BedsideError

Reason = Literal[
    "no token",
    "too long",
    "not a compact JWS",
    "unreadable header",
    "header member refused",
    "typ",
    "alg",
    "jku",
    "unreadable claims",
    "issuer",
    "audience",
    "lifetime",
    "expired",
    "issued in the future",
    "not yet valid",
    "tenant",
    "service",
    "key",
    "key does not fit alg",
    "signature",
    "replayed",
]


class NotTrusted(BedsideError):
    """Nobody we know sent this. Answered with one bare 401, whatever the reason.

    `reason` is for our log. `tenant` is set when the token named a registered issuer: a claim, not a proof. Neither
    the token nor anything that stood in it is kept.
    """

    def __init__(self, reason: Reason, tenant: str | None = None) -> None:
        super().__init__("the caller is not trusted")
        self.reason = reason
        self.tenant = tenant
