"""A CDS service: which hooks it hears, which models it runs, and how it words their outcomes as cards."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from pydantic import BaseModel, ConfigDict

from cds.cdshooks.card import Action, Card, card_id
from cds.cdshooks.context import HOOKS
from cds.cdshooks.drafts import Draft
from cds.cdshooks.wire import Call
from cds.errors import SiteError
from cds.fhir.identity import FHIR_ID
from cds.risk.estimate import VARIANT_INPUTS, NotScored, Outcome
from cds.risk.model import RiskModel

Stage = Literal["off", "shadow", "live"]


class ServiceSettings(BaseModel):
    """`[services.<id>]` of site.toml. A service is off until a site turns it on; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: Stage = "off"
    show_low_risk: bool = False
    show_out_of_domain: bool = False
    system_action: bool = False
    """Save the assessment by a systemAction instead of a suggestion: only where the EHR agreed to it."""


class HookCall(Struct, frozen=True):
    """What a service's function gets: the checked call, the outcomes by model id, and the service's settings."""

    call: Call
    at: datetime
    outcomes: Mapping[str, Outcome]
    models: Mapping[str, RiskModel]
    settings: Any
    seed: str
    """From which the ids of this call's cards and resources follow, so that a repeated call gives the same ones."""
    failed: tuple[str, ...] = ()
    """Ids of models that broke: to be named on the card that the others give."""

    def id_of(self, name: str) -> str:
        """An id for something this call makes, the same whenever the call is repeated."""
        return card_id(f"{self.seed}/{name}")

    def outcome(self) -> Outcome:
        """The outcome of the first model that had the inputs of its variant; of the last one when none had."""
        return shown(self.outcomes)

    @property
    def drafts(self) -> tuple[Draft, ...]:
        """The draft orders that the call is about: of order-select the selected ones, of order-sign all."""
        return self.call.context.drafts

    @property
    def patient_id(self) -> str:
        return self.call.patient_id

    @property
    def encounter_id(self) -> str | None:
        return self.call.context.encounter_id


def shown(outcomes: Mapping[str, Outcome]) -> Outcome:
    """The outcome that a person sees: of the first model that had the inputs of its variant, else of the last one."""
    found = list(outcomes.values())
    return next((o for o in found if not (isinstance(o, NotScored) and o.reason == VARIANT_INPUTS)), found[-1])


class Guidance(Struct, frozen=True):
    """What a service says: cards, and what the EHR saves by itself where the site agreed to that."""

    cards: tuple[Card, ...] = ()
    system_actions: tuple[Action, ...] = ()
    reason: str = ""
    """Why there is no card, as a closed code for the ledger: "low-risk", "not-eligible", "palliative" …"""
    text: str = ""
    """The same for a clinician who looks although nothing called her; "" where the outcome says it all."""
    shows: tuple[str, ...] = ()
    """Ids of the models that a page shows: the one it is about, then those beside it; () for `HookCall.outcome`."""


ServiceFunction = Callable[[HookCall], Guidance]


SEEN = frozenset({"patient-view", "encounter-start", "encounter-discharge"})
"""The hooks that are about a whole chart; what hears only others judges a draft, which no page has."""


class HookService(Struct, frozen=True):
    """One service; `hook` makes it. `models` are ids in the order in which they are tried."""

    id: str
    hooks: tuple[str, ...]
    title: str
    description: str
    models: tuple[str, ...]
    answer: ServiceFunction
    settings_type: type[ServiceSettings] = ServiceSettings
    usage_requirements: str = ""
    mutes: bool = False
    """Whether its info cards at patient-view rest after a user's feedback (D16): never for deterioration or orders."""
    never_rest: frozenset[str] = frozenset()
    """Reasons for not scoring whose card is shown whatever was said of it before."""
    by_name_only: bool = False
    """Whether `default_stage` leaves it off: it is on where the site gives it a stage of its own."""

    @property
    def has_page(self) -> bool:
        """Whether it can be shown of a patient when nothing is drafted or booked."""
        return not SEEN.isdisjoint(self.hooks)

    def chosen(self, settings: ServiceSettings) -> tuple[str, ...]:
        """The models that run under these settings: the site's variant with its fallback, or all."""
        variant = getattr(settings, "variant", None)
        return tuple(dict.fromkeys((variant, self.models[0]))) if variant else self.models


def hook(
    *hooks: str,
    id: str,  # noqa: A002 - the standard's own word
    title: str,
    description: str,
    models: Iterable[str],
    settings: type[ServiceSettings] = ServiceSettings,
    usage_requirements: str = "",
    mutes: bool = False,
    never_rest: Iterable[str] = (),
    by_name_only: bool = False,
) -> Callable[[ServiceFunction], HookService]:
    """Make a function of a HookCall a service. Nothing is registered: the site finds it by its type.

    Raises SiteError for a hook that no page of the hooks library defines.
    """
    if not FHIR_ID.fullmatch(id):
        raise SiteError(f"service {id!r}: an id is part of a URL: letters, digits, - and . only")
    unknown = [name for name in hooks if name not in HOOKS]
    if unknown or not hooks:
        raise SiteError(f"service {id}: unknown hook {', '.join(unknown) or '(none)'}")

    def made(answer: ServiceFunction) -> HookService:
        asked, awake = tuple(models), frozenset(never_rest)
        return HookService(
            id, hooks, title, description, asked, answer, settings, usage_requirements, mutes, awake, by_name_only
        )

    return made


def silence(outcome: Outcome) -> Guidance:
    """No card, with the reason for the ledger."""
    return Guidance(reason=outcome.reason if isinstance(outcome, NotScored) else "low-risk")
