"""Puts the rule about callers together from a site's settings: clients, their keys, and the memory of used tokens."""

from functools import partial

from cds.errors import SiteError
from cds.fhir.http import fetch_bytes
from cds.ledger.database import database_url
from cds.trust.clients import Clients
from cds.trust.fallback_replay import FallbackReplays
from cds.trust.jwks import FETCH_SECONDS, PublicKeys
from cds.trust.jwt import Trust
from cds.trust.keys import SET_BYTES
from cds.trust.shared_replay import SharedReplays


def open_trust(clients: Clients, public_url: str | None, ledger: str, *, spooling: bool = False) -> Trust:
    """The rule for a server whose ledger is at `ledger`. Raises SiteError when no EHR could name this server.

    A server that goes on answering while its ledger is out (`spooling`) goes on refusing replays by itself.
    """
    if public_url is None:
        raise SiteError("without public_url no token can be checked to be meant for this server")
    fetch = partial(fetch_bytes, limit=SET_BYTES, seconds=FETCH_SECONDS)
    shared = SharedReplays(replays_url(ledger), may_be_out=spooling)
    return Trust(clients, PublicKeys(fetch), FallbackReplays(shared) if spooling else shared, (public_url,))


def replays_url(ledger: str) -> str:
    """Where used tokens are remembered: in the ledger's database, on SQLite in a file beside it.

    SQLite has one writer a file, and the ledger's waits for the disk while the next call's token is to be noted.
    """
    url = database_url(ledger)
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database}.tokens"
    return ledger
