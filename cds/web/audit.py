"""Notes in the ledger's chain what is told besides answers: who was refused, and what began to be served (R38)."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from cds.cdshooks.answer import Answer, Deployed
from cds.cdshooks.record import patient_key
from cds.errors import LedgerUnavailable, WrongPatient
from cds.ledger import Event, Ledger
from cds.ledger.events import Kind, Outcome
from cds.site import LOCAL, Site
from cds.trust import NotTrusted

log = structlog.get_logger("bedside")

ONCE_IN = timedelta(minutes=1)
"""A tenant that is over its rate is noted once in this time: the notes must not become the load."""


class Audit:
    """One process's notes. What cannot be noted is logged: a refusal stays a refusal, whatever the ledger does."""

    def __init__(self, ledger: Ledger | None, clock: Callable[[], datetime]) -> None:
        self._ledger, self._clock = ledger, clock
        self._limited: dict[str, float] = {}

    async def turned_away(self, error: NotTrusted) -> None:
        """A caller who could not prove who he is. `tenant` is what his token claimed, if that is registered."""
        kind: Kind = "token-replayed" if error.reason == "replayed" else "token-refused"
        await self._note(kind, error.tenant or LOCAL, "refused", {"reason": error.reason})

    async def limited(self, tenant: str | None) -> None:
        """A tenant that calls more often than it may. Strangers are counted in the metrics only."""
        now = self._clock().timestamp()
        if tenant is None or now - self._limited.get(tenant, float("-inf")) < ONCE_IN.total_seconds():
            return
        self._limited[tenant] = now
        await self._note("rate-limited", tenant, "refused", {})

    async def mismatched(self, said: Answer, deployed: Deployed) -> None:
        """Somebody else's resource among a patient's data."""
        if isinstance(said.error, WrongPatient):
            who, patient = said.call.context.user_id, patient_key(said.call, deployed)
            detail = {"service": deployed.service.id, "answer": said.id}
            await self.wrong_patient(deployed.tenant, who, patient, detail)

    async def wrong_patient(self, tenant: str, who: str | None, patient: str, detail: Mapping[str, str]) -> None:
        """Somebody else's resource in answer to a question about this patient."""
        await self._note("wrong-patient", tenant, "refused", detail, who, patient)

    async def configured(self, outcome: Outcome) -> None:
        """An attempt to serve a changed site."""
        await self._note("configuration", LOCAL, outcome, {})

    async def activated(self, site: Site) -> None:
        """Every model that is served from now on, by tenant, service and stage."""
        for tenant in site.served():
            for id_, deployed in tenant.services.items():
                for model in deployed.models.values():
                    stage = deployed.settings.stage
                    detail = {"service": id_, "model": model.id, "version": model.version, "stage": stage}
                    await self._note("model-activated", tenant.id, "success", detail)

    async def _note(
        self,
        kind: Kind,
        tenant: str,
        outcome: Outcome,
        detail: Mapping[str, str],
        who: str | None = None,
        patient: str | None = None,
    ) -> None:
        if self._ledger is None:
            return
        try:
            await self._ledger.note(Event(kind, tenant, self._clock(), outcome, who, patient, detail))
        except LedgerUnavailable as error:
            log.error("not noted", kind=kind, tenant=tenant, why=error.message)  # noqa: TRY400 - its trace names a row
