"""From one hook call's bytes to one answer's bytes."""

import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from cds.cdshooks.card import EVERY_ACTION, Action, Link, on_wire
from cds.cdshooks.configuration import configured
from cds.cdshooks.outcomes import body_of, status_of
from cds.cdshooks.prefetch import Filled, Reach, fill
from cds.cdshooks.service import Guidance, HookCall, HookService, ServiceSettings
from cds.cdshooks.wire import Call, read_call
from cds.errors import BedsideError, DataUnavailable, ModelFailed, Overloaded
from cds.features.feature import Need
from cds.features.needs import union
from cds.fhir.chart import Chart
from cds.fhir.codes import Vocabulary
from cds.risk.estimate import NotScored, Outcome
from cds.risk.model import RiskModel
from cds.risk.scoring import score

NO_CARDS = b'{"cards":[]}'
MUTED = "muted"
"""The kind of an answer, and the reason in its record, when its card rests (`cds.cdshooks.muting`)."""
DUPLICATE = "duplicate"
"""The reason in the record when another service's card says the same (`cds.cdshooks.duplicates`)."""


class Deployed(Struct, frozen=True):
    """A service as a site runs it: its settings, its models, and what those need."""

    service: HookService
    settings: ServiceSettings
    models: Mapping[str, RiskModel]
    needs: tuple[Need, ...]
    vocabulary: Vocabulary
    reach: Reach
    tenant: str = "local"
    lenient: bool = False
    hooks: frozenset[str] = frozenset()
    keys: frozenset[str] | None = None
    actions: frozenset[str] = EVERY_ACTION
    """The action types that the EHR carries out."""
    smart_url: str | None = None
    """Where the EHR launches our page, when this client registered it."""
    public_url: str | None = None
    """Where this server is known: there a card's source leads to its model's fact sheet."""
    fingerprint: str = ""
    """Models, versions and settings in one text: a repeated call gets the earlier answer only while it is the same."""

    @property
    def hooks_in_order(self) -> tuple[str, ...]:
        """The hooks that are heard, in the order in which the service names them."""
        return tuple(hook for hook in self.service.hooks if hook in self.hooks)

    def links(self) -> tuple[Link, ...]:
        """What every card of this service links to: its page. The context names the service and no patient."""
        if self.smart_url is None or not self.service.has_page:
            return ()
        title = f"{self.service.title[:1].lower()}{self.service.title[1:]}"
        return (Link(f"Open {title} details", self.smart_url, "smart", appContext=self.service.id),)

    def sheets(self) -> dict[str, str]:
        """The address of each model's fact sheet by the model's title, under which a card names its source."""
        if self.public_url is None:
            return {}
        return {model.title: f"{self.public_url}/models/{id_}" for id_, model in self.models.items()}


class Answer(Struct):
    """What became of a call, filled step by step, so that a failure keeps what was done before it.

    `error` is why there is no guidance, `reason` why there is no card; `body` is what goes back with `status`.
    """

    id: str
    call: Call
    at: datetime
    digest: str
    outcomes: dict[str, Outcome] = {}
    failed: dict[str, ModelFailed] = {}
    cards: list[dict[str, Any]] = []
    system_actions: tuple[Action, ...] = ()
    fetched: bool = False
    reason: str = ""
    error: BedsideError | None = None
    status: int = 200
    body: bytes = NO_CARDS
    latency_us: int = 0
    chart: Chart | None = None
    """Only while a page is made of it (`look`)."""
    guidance: Guidance | None = None


async def answer(deployed: Deployed, body: bytes, at: datetime) -> Answer:
    """Answer one hook call. Raises RequestError (400, 413) for what is no call; the Answer holds all else."""
    started = time.perf_counter()
    call = read_call(body, deployed.hooks, asked=deployed.keys, lenient=deployed.lenient)
    said = Answer(str(uuid.uuid4()), call, at, _digest(call))
    try:
        await _advise(deployed, said)
    except BedsideError as fault:
        said.error = fault
    except Exception as fault:  # noqa: BLE001 - whatever a service raises is one kind of failure
        # A fault of ours may carry a patient's value in its text: only its kind goes on.
        said.error = ModelFailed(f"the service failed with {type(fault).__name__}", deployed.service.id, fault)
    _settle(said, shadow=deployed.settings.stage == "shadow")
    # What was read is not kept while the ledger writes: sixty answers would hold sixty charts.
    context = replace(call.context, proposed=())
    said.call = replace(call, context=context, prefetch={}, digestible=(b"", b""), authorization=None)
    said.chart = None
    said.latency_us = int((time.perf_counter() - started) * 1e6)
    return said


async def look(services: Sequence[Deployed], call: Call, at: datetime) -> list[Answer]:
    """One patient as a page shows her: an Answer for each of one tenant's services, from one look at her data.

    The same door and the same service function as a hook's, but low risk and "does not apply" are shown too, and the
    chart is kept. What a service lacks is its own `error`; one patient's data in doubt are everybody's.
    """
    answers = [Answer(str(uuid.uuid4()), call, at, _digest(call)) for _ in services]
    try:
        filled = await _filled(services, call)
    except BedsideError as fault:
        for said in answers:
            said.error, said.status = fault, status_of(fault)
        return answers
    for deployed, said in zip(services, answers, strict=True):
        started = time.perf_counter()
        shown = {"show_low_risk": True, "show_out_of_domain": True}
        _guarded(deployed, said, filled, deployed.settings.model_copy(update=shown))
        said.latency_us = int((time.perf_counter() - started) * 1e6)
    return answers


async def _filled(services: Sequence[Deployed], call: Call) -> Filled:
    """One chart for all: what one service cannot do without must not take the others' data away."""
    needs = union(need for deployed in services for need in deployed.needs)
    needs = tuple(replace(need, required=need.resource_type == "Patient") for need in needs)
    return await fill(call, needs, services[0].vocabulary, services[0].reach)


def _guarded(deployed: Deployed, said: Answer, filled: Filled, settings: ServiceSettings) -> None:
    said.fetched, said.chart = True, filled.chart
    try:
        filled.require(deployed.needs)
        _advise_from(deployed, filled, said, settings)
    except BedsideError as fault:
        said.error, said.status = fault, status_of(fault)
    except Exception as fault:  # noqa: BLE001 - as in `answer`
        said.error = ModelFailed(f"the service failed with {type(fault).__name__}", deployed.service.id, fault)
        said.status = status_of(said.error)


async def _advise(deployed: Deployed, said: Answer) -> None:
    filled = await fill(said.call, deployed.needs, deployed.vocabulary, deployed.reach)
    said.fetched = bool(filled.fetched)
    _advise_from(deployed, filled, said, configured(deployed.settings, said.call.extension))


def _advise_from(deployed: Deployed, filled: Filled, said: Answer, settings: ServiceSettings) -> None:
    call = said.call
    seed = f"{deployed.tenant}|{deployed.service.id}|{call.hook_instance}|{said.digest}"
    _score(deployed, filled.chart, said)
    if said.failed and not said.outcomes:
        raise next(iter(said.failed.values()))
    guidance = deployed.service.answer(
        HookCall(call, said.at, said.outcomes, deployed.models, settings, seed, tuple(said.failed))
    )
    if said.failed and not guidance.cards:
        raise next(iter(said.failed.values()))
    said.reason, said.guidance = guidance.reason, guidance
    said.cards = on_wire(
        guidance.cards, seed, actions=deployed.actions, links=deployed.links(), sheets=deployed.sheets()
    )
    said.system_actions = guidance.system_actions if "create" in deployed.actions else ()


def _score(deployed: Deployed, chart: Chart, said: Answer) -> None:
    """Run the models in turn; one that fails, be it in reading its inputs, does not silence the others."""
    for model in deployed.models.values():
        try:
            said.outcomes[model.id] = next(score(model, (chart,), said.at))
        except DataUnavailable:
            raise  # whose data, and whether there are any, is every model's matter
        except ModelFailed as fault:
            said.failed[model.id] = fault
        except BedsideError as fault:  # such as a trained model's file that is not as it was at the start
            said.failed[model.id] = ModelFailed(f"{model.id} failed with {type(fault).__name__}", model.id, fault)


def _digest(call: Call) -> str:
    body, authorization = call.digestible
    return sha256(body.replace(authorization, b"", 1) if authorization else body).hexdigest()


def _settle(said: Answer, *, shadow: bool) -> None:
    """Status and body. In shadow every answer is silence, whatever became of the call."""
    if shadow:
        return
    if said.error is not None:
        said.status, said.body = status_of(said.error), body_of(said.error, said.id)
    elif said.system_actions:
        said.body = msgspec.json.encode({"cards": said.cards, "systemActions": said.system_actions})
    elif said.cards:
        said.body = msgspec.json.encode({"cards": said.cards})


def overdue(late: Answer) -> None:
    """Turn an answer that took too long into a 503 without a card, and leave what was computed for the record."""
    late.error, late.cards, late.system_actions = Overloaded("the answer took too long"), [], ()
    _settle(late, shadow=False)


def quieten(said: Answer) -> None:
    """Take the cards from an answer whose user need not see them again; what was computed stays for the record."""
    said.cards, said.reason, said.body = [], MUTED, NO_CARDS
    _settle(said, shadow=False)


def reasons_of(said: Answer) -> set[str]:
    """Why models gave no number."""
    return {outcome.reason for outcome in said.outcomes.values() if isinstance(outcome, NotScored)}


def shorten(said: Answer, cards: list[dict[str, Any]]) -> None:
    """Leave an answer the cards, or the parts of them, that nobody else has shown in the same event."""
    said.cards, said.body = cards, NO_CARDS
    if not cards:
        said.reason = DUPLICATE
    _settle(said, shadow=False)


def kind(said: Answer, deployed: Deployed) -> str:
    """What an answer counts as: a closed word for ledger and metrics."""
    if isinstance(said.error, DataUnavailable):
        return "unavailable"
    if said.error is not None:
        return "failed"
    if deployed.settings.stage == "shadow":
        return "shadow"
    return "card" if said.cards else MUTED if said.reason == MUTED else "silent"


def missing(said: Answer) -> tuple[str, ...]:
    """The prefetch keys for want of which there is no guidance."""
    return said.error.keys if isinstance(said.error, DataUnavailable) else ()
