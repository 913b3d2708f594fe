"""Saves the assessment that a page shows to the chart, once however often the button is pressed."""

import asyncio
from collections import OrderedDict
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
from msgspec import Struct

from cds.cdshooks.answer import Answer, Deployed
from cds.cdshooks.card import card_id
from cds.cdshooks.prefetch import covers
from cds.cdshooks.service import shown
from cds.errors import DataUnavailable
from cds.risk.assessment import IDENTIFIER_SYSTEM, basis, risk_assessment
from cds.risk.estimate import Risk
from cds.risk.snapshot import estimates
from cds.smart.scopes import may_create
from cds.web.smart.visiting import Session

REMEMBERED = 4096


class Chart(Protocol):
    """The EHR's FHIR server, as far as saving needs it."""

    async def resource_json(self, query: str) -> dict[str, Any]: ...
    async def create(self, resource: dict[str, Any]) -> str: ...


class Saved(Struct, frozen=True):
    """The RiskAssessment's id, and whether it had been there before."""

    id: str
    again: bool


def assessment_of(said: Answer, deployed: Deployed, session: Session) -> dict[str, Any] | None:
    """The RiskAssessment of a scored page; the same numbers from the same results have the same identifier."""
    outcome = shown(said.outcomes) if said.outcomes and said.error is None else None
    if not isinstance(outcome, Risk):
        return None
    model = deployed.models[outcome.model]
    told = [outcome.model, outcome.version, model.recorded_settings, estimates(outcome), list(basis(outcome, model))]
    digest = sha256(msgspec.json.encode(told)).hexdigest()
    name = f"{deployed.tenant}|{session.fhir_base}|{session.patient_id}|{deployed.service.id}|{digest}"
    return risk_assessment(
        outcome,
        model,
        patient_id=session.patient_id,
        identifier=card_id(name),
        encounter_id=session.encounter_id,
    )


def identifier(assessment: dict[str, Any]) -> str:
    value: str = assessment["identifier"][0]["value"]
    return value


def may_save(scope: str) -> bool:
    """Whether the granted scopes let a RiskAssessment be created."""
    return may_create(scope, "RiskAssessment")


class Saver:
    """Remembers what this process saved, and lets only one save of an assessment run at a time."""

    def __init__(self) -> None:
        self._saved: OrderedDict[str, str] = OrderedDict()
        self._busy: dict[str, asyncio.Lock] = {}

    async def save(self, chart: Chart, assessment: dict[str, Any], patient_id: str, scope: str) -> Saved:
        """Create it unless it is there. Raises DataUnavailable when the EHR did not take it."""
        name = identifier(assessment)
        lock = self._busy.setdefault(name, asyncio.Lock())
        async with lock:
            try:
                known = self._saved.get(name) or await _found(chart, name, patient_id, scope)
                id_ = known or await chart.create(assessment)
                self._remember(name, id_)
                return Saved(id_, known is not None)
            finally:
                if not lock.locked() or self._busy.get(name) is lock:
                    self._busy.pop(name, None)

    def _remember(self, name: str, id_: str) -> None:
        self._saved[name] = id_
        while len(self._saved) > REMEMBERED:
            self._saved.popitem(last=False)


async def _found(chart: Chart, name: str, patient_id: str, scope: str) -> str | None:
    """The id under which it was saved before; a server that ignores a parameter is not believed."""
    if not covers(scope, "RiskAssessment"):
        return None
    token = quote(f"{IDENTIFIER_SYSTEM}|{name}", safe="")
    try:
        bundle = await chart.resource_json(f"RiskAssessment?patient={quote(patient_id, safe='')}&identifier={token}")
    except DataUnavailable:  # a server without this search: what this process remembers must do
        return None
    entries = bundle.get("entry")
    for entry in entries if isinstance(entries, list) else ():
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and _is(resource, name):
            return str(resource.get("id", ""))
    return None


def _is(resource: dict[str, Any], name: str) -> bool:
    given = resource.get("identifier")
    same = (one.get("value") == name for one in given if isinstance(one, dict)) if isinstance(given, list) else ()
    return resource.get("resourceType") == "RiskAssessment" and any(same)
