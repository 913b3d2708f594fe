"""Writes into the ledger which launches were opened, which were refused, and who tried a session's pages in vain."""

from datetime import datetime, timedelta

import structlog
from msgspec import Struct
from starlette.requests import Request

from cds.errors import LedgerUnavailable
from cds.ledger import Event
from cds.smart import Session, SmartRefused
from cds.web.smart.door import Knock
from cds.web.state import State

ONCE_IN = timedelta(minutes=1)
MOST = 4_096
"""Kinds of refusals that are remembered: the sessions that can be open, and each tenant's reasons."""
LAUNCHING = ("/smart/launch", "/smart/standalone", "/smart/callback")
log = structlog.get_logger("bedside")


async def note_opened(state: State, session: Session) -> None:
    """A launch that opened a session. Raises SmartRefused("not-recorded"): no chart is opened unrecorded."""
    if state.ledger is None:
        return
    event = Event("launch", session.tenant, state.clock(), "success", session.user, patient_of(session), {})
    try:
        await state.ledger.note(event)
    except LedgerUnavailable:
        raise SmartRefused("not-recorded", session.tenant) from None


def patient_of(session: Session) -> str:
    return f"{session.fhir_base}|Patient/{session.patient_id}"


class _Told(Struct, frozen=True):
    """What is noted once a minute: by tenant, reason, and the session at which it happened."""

    tenant: str
    reason: str
    session: str


class Refusals:
    """One process's notes of what was refused. The metrics count each; the ledger's chain must not become the load.

    A refusal goes out whether or not it can be recorded.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._told: dict[_Told, datetime] = {}

    async def note(self, request: Request, refused: SmartRefused, status: int) -> None:
        if status >= 400:
            self._state.metrics.refused(status)
        knock: Knock | None = getattr(request.state, "knock", None)
        event = self._event(refused, knock) if knock else self._launch(refused, request.url.path)
        if event is None or self._state.ledger is None:
            return
        if not self._first(_Told(event.tenant, event.detail["reason"], knock.session.id if knock else "")):
            return
        try:
            await self._state.ledger.note(event)
        except LedgerUnavailable as error:
            log.error("not noted", kind=event.kind, tenant=event.tenant, why=error.message)  # noqa: TRY400 - its trace names a row

    def _launch(self, refused: SmartRefused, path: str) -> Event | None:
        """A refused launch of a known client."""
        if refused.tenant is None or not path.endswith(LAUNCHING):
            return None
        return Event("launch", refused.tenant, self._state.clock(), "refused", None, None, {"reason": refused.reason})

    def _event(self, refused: SmartRefused, knock: Knock) -> Event | None:
        """Somebody at a session's page: another patient asked for, a form not ours, neither cookie nor ticket."""
        session, at = knock.session, self._state.clock()
        who = session.user if knock.proven else None
        if refused.reason == "another-patient":
            return Event("wrong-patient", session.tenant, at, "refused", who, patient_of(session),
                         {"reason": refused.reason})  # fmt: skip
        if refused.reason == "forged" or not knock.proven:
            reason = "forged" if refused.reason == "forged" else "unproven"
            return Event("page-view", session.tenant, at, "refused", who, patient_of(session), {"reason": reason})
        return None

    def _first(self, told: _Told) -> bool:
        now = self._state.clock()
        if told in self._told and now - self._told[told] < ONCE_IN:
            return False
        if len(self._told) >= MOST:
            self._told = {one: at for one, at in self._told.items() if now - at < ONCE_IN}
        self._told[told] = now
        return True
