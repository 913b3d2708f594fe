"""Writes into the ledger which launches were opened and which were refused, and who asked for another patient."""

from typing import Literal

from cds.errors import LedgerUnavailable
from cds.ledger import Event
from cds.smart import Session, SmartRefused
from cds.web.state import State


async def note_opened(state: State, session: Session) -> None:
    """A launch that opened a session. Raises SmartRefused("not-recorded"): no chart is opened unrecorded."""
    if state.ledger is None:
        return
    patient = f"{session.fhir_base}|Patient/{session.patient_id}"
    event = Event("launch", session.tenant, state.clock(), "success", session.user, patient, {})
    try:
        await state.ledger.note(event)
    except LedgerUnavailable:
        raise SmartRefused("not-recorded", session.tenant) from None


async def note_refused(state: State, refused: SmartRefused, path: str) -> None:
    """A refused launch of a known client, or an address that named another patient.

    A refusal goes out whether or not it can be recorded.
    """
    strange = refused.reason == "another-patient"
    if state.ledger is None or refused.tenant is None or not (strange or path.endswith(("/launch", "/callback"))):
        return
    kind: Literal["wrong-patient", "launch"] = "wrong-patient" if strange else "launch"
    event = Event(kind, refused.tenant, state.clock(), "refused", None, None, {"reason": refused.reason})
    try:
        await state.ledger.note(event)
    except LedgerUnavailable:
        return
