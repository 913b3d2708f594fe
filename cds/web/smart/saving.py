"""Saves the assessments that a page shows to the chart, each once however often the button is pressed."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from time import monotonic
from typing import Any, Protocol
from urllib.parse import quote
from weakref import WeakValueDictionary

from msgspec import Struct

from cds.cdshooks.answer import Answer, Deployed
from cds.cdshooks.prefetch import covers
from cds.errors import DataUnavailable
from cds.fhir.client import Created
from cds.risk.assessment import IDENTIFIER_SYSTEM, risk_assessment
from cds.smart.scopes import may_create
from cds.web.smart.showing import shown_risks
from cds.web.smart.visiting import Session

REMEMBERED = 4096
INDEXED_SECONDS = 60.0
"""By when a server's search finds what was saved."""


class Chart(Protocol):
    """The EHR's FHIR server, as far as saving needs it."""

    async def resource_json(self, query: str) -> dict[str, Any]: ...
    async def create(self, resource: dict[str, Any], unless: str = "") -> Created: ...


class Saved(Struct, frozen=True):
    """The RiskAssessment's id, and whether it had been there before; `retracted` when it was, and was taken back."""

    id: str
    again: bool
    retracted: bool = False


def assessments_of(said: Answer, deployed: Deployed, session: Session) -> tuple[dict[str, Any], ...]:
    """A RiskAssessment of each model that a page shows scored; the same results give the same identifiers."""
    return tuple(
        risk_assessment(
            risk,
            deployed.models[risk.model],
            patient_id=session.patient_id,
            encounter_id=session.encounter_id,
        )
        for risk in shown_risks(said)
    )


def identifier(assessment: dict[str, Any]) -> str:
    value: str = assessment["identifier"][0]["value"]
    return value


def identifiers(assessments: Sequence[dict[str, Any]]) -> str:
    """All of them in one text, by which a page says what its reader saw."""
    return " ".join(map(identifier, assessments))


def may_save(scope: str) -> bool:
    """Whether the granted scopes let a RiskAssessment be created."""
    return may_create(scope, "RiskAssessment")


class Saver:
    """Remembers what this process saved, and lets only one save of an assessment run at a time."""

    def __init__(self) -> None:
        self._saved: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._busy: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # held by who saves or waits

    async def save(self, chart: Chart, assessment: dict[str, Any], patient_id: str, scope: str) -> Saved:
        """Create it unless it is there. Raises DataUnavailable when the EHR did not take it.

        What the chart says counts before what this process remembers: somebody may have taken it back since.
        """
        name = identifier(assessment)
        lock = self._busy.setdefault(name, asyncio.Lock())
        async with lock:
            found = await _found(chart, name, patient_id, scope)
            known = found[0] if found else self._remembered(name, searched=found is not None)
            if known is None:
                made = await chart.create(assessment, f"identifier={IDENTIFIER_SYSTEM}|{name}")
                known = Saved(made.id, again=made.existed)
            self._remember(name, known.id)
            return known

    def _remembered(self, name: str, *, searched: bool) -> Saved | None:
        """What this process saved: where nothing can be searched, and while a search may not find it yet."""
        id_, at = self._saved.get(name, ("", 0.0))
        fresh = monotonic() - at < INDEXED_SECONDS
        return Saved(id_, again=True) if id_ and (fresh or not searched) else None

    def _remember(self, name: str, id_: str) -> None:
        self._saved[name] = (id_, monotonic())
        while len(self._saved) > REMEMBERED:
            self._saved.popitem(last=False)


async def _found(chart: Chart, name: str, patient_id: str, scope: str) -> list[Saved] | None:
    """What was saved before, what stands before what was taken back; None when that cannot be searched.

    A server that ignores a parameter is not believed.
    """
    if not covers(scope, "RiskAssessment"):
        return None
    token = quote(f"{IDENTIFIER_SYSTEM}|{name}", safe="")
    try:
        bundle = await chart.resource_json(f"RiskAssessment?patient={quote(patient_id, safe='')}&identifier={token}")
    except DataUnavailable:  # a server without this search: what this process remembers must do
        return None
    entries = bundle.get("entry")
    found = [
        Saved(str(resource.get("id", "")), again=True, retracted=resource.get("status") == "entered-in-error")
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict)
        and isinstance(resource := entry.get("resource"), dict)
        and _is(resource, name, patient_id)
    ]
    return sorted(found, key=lambda one: one.retracted)


def _is(resource: dict[str, Any], name: str, patient_id: str) -> bool:
    given, subject = resource.get("identifier"), resource.get("subject")
    same = (one.get("value") == name for one in given if isinstance(one, dict)) if isinstance(given, list) else ()
    reference = str(subject.get("reference", "")) if isinstance(subject, dict) else ""
    hers = f"/{reference}".partition("/_history/")[0].endswith(f"/Patient/{patient_id}")
    return resource.get("resourceType") == "RiskAssessment" and hers and any(same)
