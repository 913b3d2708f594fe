"""Who may call, and for whom."""

from cds.trust.clients import BackendRegistration, Client, Clients
from cds.trust.fallback_replay import FallbackReplays
from cds.trust.jwks import PublicKeys
from cds.trust.jwt import Caller, Trust, bearer
from cds.trust.opening import open_trust
from cds.trust.refused import NotTrusted
from cds.trust.replay import MemoryReplays, ReplayStore, Use
from cds.trust.shared_replay import SharedReplays

__all__ = [
    "BackendRegistration",
    "Caller",
    "Client",
    "Clients",
    "FallbackReplays",
    "MemoryReplays",
    "NotTrusted",
    "PublicKeys",
    "ReplayStore",
    "SharedReplays",
    "Trust",
    "Use",
    "bearer",
    "open_trust",
]
