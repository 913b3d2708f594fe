"""Looks at the launch's patient, makes the page, records it, and only then lets it leave."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec
import structlog
from msgspec import Struct, structs
from starlette.requests import Request
from starlette.responses import Response

from cds.cdshooks.answer import Answer, Deployed, look
from cds.cdshooks.outcomes import status_of
from cds.cdshooks.record import record_of
from cds.cdshooks.wire import page_call
from cds.errors import (
    BedsideError,
    DataUnavailable,
    LedgerUnavailable,
    MalformedRequest,
    ModelFailed,
    Overloaded,
    RequestError,
    TokenRejected,
    UnknownService,
    WrongPatient,
)
from cds.fhir.client import FhirClient
from cds.smart import SmartRefused, lacking
from cds.web.smart import charts, saving, views
from cds.web.smart.banner import banner_of
from cds.web.smart.making import clean, entry_of, moment, page_of
from cds.web.smart.mounting import root
from cds.web.smart.rendering import page
from cds.web.smart.showing import pages_of, shown_risks
from cds.web.smart.visiting import Access, Note, Outcome, Session, Visit
from cds.web.state import State

log = structlog.get_logger("bedside")


class Looked(Struct, frozen=True):
    """One look at the patient: who she is, and each service's answer."""

    access: Access
    banner: views.Banner
    answers: Sequence[Answer]
    at: datetime


class Made(Struct, frozen=True):
    """A page that is ready to be recorded, with what it was made from."""

    visit: Visit
    deployed: Deployed
    access: Access
    said: Answer
    view: views.Page


Change = Callable[[Made], Awaitable[views.Page]]


class Pages:
    """The pages that are read. `note` writes audit events beside the ledger's answers."""

    def __init__(self, state: State, note: Note) -> None:
        self.state = state
        self.note = note

    async def guarded(
        self, request: Request, visit: Visit, work: Callable[[Request, Visit], Awaitable[Response]]
    ) -> Response:
        """Run one page's work; what goes wrong is a page too, that says what to do and shows nothing clinical."""
        try:
            with self.state.place(visit.session.tenant):
                _same_patient(request, visit)
                return await work(request, visit)
        except Overloaded as error:  # which a ledger that cannot record is too
            return problem(request, visit, error)
        except (DataUnavailable, RequestError) as error:
            await self._not_shown(visit.session, error)
            return problem(request, visit, error)
        except SmartRefused:
            raise  # the launch's own pages tell it
        except Exception as error:  # noqa: BLE001 - an unknown fault is a page too, that names no patient
            return problem(request, visit, ModelFailed(type(error).__name__, cause=error))

    async def _not_shown(self, session: Session, error: BedsideError) -> None:
        """Noted as what it is; a page that says that nothing can be shown discloses nothing if it cannot be noted."""
        at, strange = self.state.clock(), isinstance(error, WrongPatient)
        if strange:
            patient = f"{session.fhir_base}|Patient/{session.patient_id}"
            await self.state.audit.wrong_patient(session.tenant, session.user, patient, {"service": "smart-page"})
        with suppress(LedgerUnavailable):
            why = {"page": "problem", "why": type(error).__name__}
            await self.note("page-view", session, at, "refused" if strange else "failed", why)

    async def overview(self, request: Request, visit: Visit) -> Response:
        """Every live service of the tenant, with its number or its reason."""
        live = self._live(visit.session)
        looked = await self._look(visit.session, live)
        pairs = list(zip(looked.answers, live, strict=True))
        view = clean(
            views.Overview(
                moment(looked.at),
                moment(visit.session.launched_at),
                looked.banner,
                tuple(entry_of(said, deployed) for said, deployed in pairs),
                tuple(said.id for said in looked.answers),
            )
        )
        for said, deployed in pairs:
            cards = tuple(card["uuid"] for card in said.cards)
            await self._record(said, deployed, msgspec.json.encode(view), cards, "smart-page")
        await self.note("page-view", visit.session, looked.at, _seen(looked), {"page": "overview"})
        here = _overview_path(request, visit)
        return page("overview.html", visit.headers, view=view, visit=visit, overview=here, root=root(request))

    async def service(self, request: Request, visit: Visit) -> Response:
        """One service's page."""
        return await self.shown(request, visit)

    async def shown(
        self, request: Request, visit: Visit, change: Change | None = None, hook: str = "smart-page"
    ) -> Response:
        """Look, make the page, let `change` add what its reader just did, record it, send it."""
        deployed = self.deployed(request, visit.session)
        looked = await self._look(visit.session, (deployed,))
        [said] = looked.answers
        scope = looked.access.scope
        view = page_of(said, deployed, looked.banner, visit.session.launched_at, scope)
        assessments = saving.assessments_of(said, deployed, visit.session) if saving.may_save(scope) else ()
        names = tuple(deployed.models[risk.model].card.short_name for risk in shown_risks(said))
        view = structs.replace(view, save=saving.identifiers(assessments), saves=names)
        if change is not None:
            view = clean(await change(Made(visit, deployed, looked.access, said, view)))
        await self._record(said, deployed, msgspec.json.encode(view), (view.card,), hook)
        await self.note("page-view", visit.session, looked.at, _seen(looked), {"page": deployed.service.id})
        return _rendered(request, visit, view)

    def deployed(self, request: Request, session: Session) -> Deployed:
        """The live service in the path. Raises UnknownService when the tenant has no page of that name."""
        found = {deployed.service.id: deployed for deployed in self._live(session)}
        named = found.get(request.path_params["service"])
        if named is None:
            raise UnknownService("there is no such page here, or it is off")
        return named

    def _live(self, session: Session) -> tuple[Deployed, ...]:
        for tenant in self.state.site.served():
            if tenant.id == session.tenant:
                return pages_of(tenant.services.values())
        raise UnknownService("this EHR is not served here any more")

    def client(self, session: Session, deployed: Deployed, access: Access) -> FhirClient:
        """The launch's FHIR server with the launch's token."""
        reach = deployed.reach
        base = reach.registered(session.fhir_base)
        if base is None:
            raise DataUnavailable("the FHIR server of this launch is not one of this site's")
        deadline = time.monotonic() + min(reach.seconds, access.expires_in)
        return FhirClient(base, access.token, deadline, server=reach.servers.of(base, reach.transport))

    async def _look(self, session: Session, services: Sequence[Deployed]) -> Looked:
        if not services:
            raise UnknownService("no service is live for this EHR")
        access = await session.access()
        if lacking(access.scope, ("Patient",)):  # whose page it is could not even be said
            raise SmartRefused("not-permitted", session.tenant)
        try:
            looked = await self._look_with(access, session, services)
            if not any(isinstance(said.error, TokenRejected) for said in looked.answers):
                return looked
        except TokenRejected:
            pass
        return await self._look_with(await session.refused(access), session, services)

    async def _look_with(self, access: Access, session: Session, services: Sequence[Deployed]) -> Looked:
        at = self.state.clock()
        call = page_call(
            session.patient_id,
            user=session.user,
            encounter_id=session.encounter_id,
            fhir_server=session.fhir_base,
            token=access.token,
            scope=access.scope,
            expires_in=access.expires_in,
        )
        async with self.client(session, services[0], access) as client:
            looking = asyncio.ensure_future(look(services, call, at))
            try:
                raw = await client.resource_json(f"Patient/{session.patient_id}")
                answers = await looking
            finally:
                looking.cancel()  # when the Patient cannot be read, nothing else is wanted
        for said, deployed in zip(answers, services, strict=True):
            if said.error is not None and status_of(said.error) >= 500:
                where = getattr(said.error, "where", "")
                log.error("not shown", correlation=said.id, service=deployed.service.id, where=where)
        return Looked(access, banner_of(raw, session.patient_id, at), answers, at)

    async def _record(self, said: Answer, deployed: Deployed, body: bytes, cards: tuple[str, ...], hook: str) -> None:
        """What is about to be shown, as it is shown. Raises LedgerUnavailable: then it is not shown."""
        if self.state.ledger is None:
            return
        record = record_of(said, deployed)
        record = structs.replace(record, hook=hook, body=body, card_ids=cards, replay_key=None)
        await self.state.ledger.record(record)
        await self.state.audit.mismatched(said, deployed)


def _seen(looked: Looked) -> Outcome:
    """A page on which one answer is missing was not shown as it was asked for."""
    return "success" if all(said.error is None for said in looked.answers) else "failed"


def _same_patient(request: Request, visit: Visit) -> None:
    """S16: the launch's patient is the only one, whatever a URL says."""
    if any(value != visit.session.patient_id for value in request.query_params.getlist("patient")):
        raise MalformedRequest("This page shows the patient of its launch and no other.")


def _rendered(request: Request, visit: Visit, view: views.Page) -> Response:
    overview = _overview_path(request, visit)
    return page(
        "service.html",
        visit.headers,
        500 if view.state == "failed" else 200,
        view=view,
        visit=visit,
        overview=overview,
        path=f"{overview}/{view.service}",
        root=root(request),
        scales=[charts.scale(number) for number in view.numbers],
        lines=charts.lines(view.course) if view.course else (),
        bars=charts.bars(view.terms.terms) if view.terms else (),
    )


def problem(request: Request, visit: Visit, error: BedsideError, done: str = "") -> Response:
    """The page for what cannot be shown: what happened and what to do; `done` is what was carried out all the same."""
    correlation = str(uuid.uuid4())
    head, what = "This page cannot be shown", _sentence(error.message)
    if isinstance(error, LedgerUnavailable):
        head = "Nothing is shown for the moment"
        what = "What a page shows has to be recorded first, and that is not possible now. Try again in a minute."
        what = f"{done} {what}" if done else what
    elif isinstance(error, ModelFailed):
        what = "Something went wrong here. Try again; if it stays so, tell your support the correlation id below."
    elif isinstance(error, WrongPatient):
        head = "The patient could not be confirmed"
    elif isinstance(error, DataUnavailable):
        head = "The patient could not be read"
        what = f"The EHR did not deliver the Patient ({error.message}). Open this app from the chart again."
    status = status_of(error)
    where = getattr(error, "where", "")
    log.warning("page not shown", correlation=correlation, kind=type(error).__name__, status=status, where=where)
    headers = {**visit.headers, **({"Retry-After": "60"} if status == 503 else {})}
    again = _overview_path(request, visit)  # nothing else of the address, which anybody may have written
    said = {"head": head, "what": what, "correlation": correlation, "visit": visit, "again": again}
    return page("problem.html", headers, status, root=root(request), **said)


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:].removesuffix('.')}."


def _overview_path(request: Request, visit: Visit) -> str:
    return f"{root(request)}/smart/app/{visit.session.id}"
