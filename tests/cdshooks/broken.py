"""Models and services as a careless site might write them, in place of the real ones."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Never

import msgspec

from cds import Action, Card, Coding, Estimate, Guidance, HookCall, Refusal, Source, hook
from cds.cdshooks.service import HookService
from cds.risk.model import RiskModel
from cds.site import Site
from models.kfre.inputs import FourVariables
from models.kfre.model import OUTCOME, Kfre4
from tests.cdshooks.desk import SERVICE

CANARY = "canary-in-an-exception"


class Raises(Kfre4):
    def predict(self, row: FourVariables) -> Never:
        raise ValueError(CANARY)


class RefusesBadly(Kfre4):
    def refuse(self, row: FourVariables) -> Refusal | None:
        raise KeyError(CANARY)


class NoNumber(Kfre4):
    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        return tuple(Estimate(OUTCOME, years, math.nan) for years in (2, 5))


class Infinite(Kfre4):
    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        return tuple(Estimate(OUTCOME, years, math.inf) for years in (2, 5))


class TooSure(Kfre4):
    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        return tuple(Estimate(OUTCOME, years, 1.0000001) for years in (2, 5))


class Below(Kfre4):
    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        return tuple(Estimate(OUTCOME, years, -0.1) for years in (2, 5))


class Nothing(Kfre4):
    def predict(self, row: FourVariables) -> Sequence[Estimate]:
        return ()


MODELS: tuple[type[Kfre4], ...] = (Raises, RefusesBadly, NoNumber, Infinite, TooSure, Below, Nothing)


def with_models(served: Site, **models: type[Kfre4]) -> Site:
    """The site whose kidney service runs these models in place of its own; "kfre_4" stands for kfre-4."""
    deployed = served.services[SERVICE]
    running: dict[str, RiskModel] = dict(deployed.models)
    for name, kind in models.items():
        id_ = name.replace("_", "-")
        own: Any = running[id_]
        running[id_] = type(kind.__name__, (kind,), {"id": id_})(own.card, own.settings)
    return _serving(served, models=running)


def with_service(served: Site, service: HookService) -> Site:
    """The site that runs this service under the kidney service's id."""
    return _serving(served, service=service)


def _serving(served: Site, **changes: Any) -> Site:
    deployed = msgspec.structs.replace(served.services[SERVICE], **changes)
    services: Mapping[str, Any] = dict(served.services) | {SERVICE: deployed}
    return msgspec.structs.replace(served, services=services)


def beside(served: Site, *others: HookService) -> Site:
    """The site with more services, which run on the same models as the kidney service."""
    first = served.services[SERVICE]
    more = {s.id: msgspec.structs.replace(first, service=s, hooks=frozenset(s.hooks)) for s in others}
    return msgspec.structs.replace(served, services=dict(served.services) | more)


SOURCE = Source("Test", "https://example.org", Coding("x", "urn:x"))


def saying(*cards: Card, actions: tuple[Action, ...] = ()) -> HookService:
    """A service that always says this."""

    @hook("patient-view", id=SERVICE, title="t", description="d", models=("kfre-4",))
    def always(call: HookCall) -> Guidance:
        return Guidance(cards, actions)

    return always


@hook("patient-view", id=SERVICE, title="t", description="d", models=("kfre-4",))
def failing(call: HookCall) -> Guidance:
    raise RuntimeError(CANARY)
