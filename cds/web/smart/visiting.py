"""What a page needs to know of whoever opened it: the session of one launch, and how she may go on from here."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

from starlette.requests import Request

from cds.ledger import Event, Ledger


class Access(Protocol):
    """A usable access token, with the scope as granted."""

    @property
    def token(self) -> str: ...
    @property
    def expires_in(self) -> int: ...
    @property
    def scope(self) -> str: ...


class Session(Protocol):
    """One launch: one patient, one user, one FHIR server. `id` stands in paths and names nobody."""

    @property
    def id(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def fhir_base(self) -> str: ...
    @property
    def patient_id(self) -> str: ...
    @property
    def encounter_id(self) -> str | None: ...
    @property
    def user(self) -> str | None: ...
    @property
    def launched_at(self) -> datetime: ...

    async def access(self) -> Access:
        """Raises SessionEnded when it cannot be renewed."""
        ...

    async def refused(self, access: Any) -> Access:  # its own, which a protocol cannot name
        """A renewed token after the FHIR server refused this one. Raises SessionEnded when there is none."""
        ...


class Visit(Protocol):
    """One request within a session. `ticket` goes into every form; `headers` onto the response."""

    @property
    def session(self) -> Session: ...
    @property
    def form(self) -> Mapping[str, str]: ...
    @property
    def ticket(self) -> str: ...
    @property
    def by_cookie(self) -> bool: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class Door(Protocol):
    """Who comes in. Raises SessionEnded for whoever does not belong to the session in the path."""

    async def enter(self, request: Request, *, unsafe: bool = False) -> Visit: ...


Kind = Literal["page-view", "what-if", "save"]
Outcome = Literal["success", "refused", "failed"]
Note = Callable[[Kind, Session, datetime, Outcome, Mapping[str, str]], Awaitable[None]]
"""Writes an audit event: what was done, in whose session, when, with which outcome, and closed details."""


def audited(ledger: Ledger | None) -> Note:
    """Events in the ledger's chain; nothing where there is no ledger, as in benchmarks."""

    async def note(kind: Kind, session: Session, at: datetime, outcome: Outcome, detail: Mapping[str, str]) -> None:
        if ledger is not None:
            patient = f"{session.fhir_base.rstrip('/')}|Patient/{session.patient_id}"
            await ledger.note(Event(kind, session.tenant, at, outcome, session.user, patient, detail))

    return note
