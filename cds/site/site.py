"""What is served, once it was found and checked: models and services, the site's own and each tenant's."""

from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable

from msgspec import Struct

from cds.cdshooks.answer import Deployed
from cds.fhir.codes import Vocabulary
from cds.fhir.servers import Servers
from cds.risk.model import RiskModel
from cds.settings import Settings
from cds.trust.clients import Client, Clients

LOCAL = "local"
"""The one tenant of a site that is open on loopback."""


class Tenant(Struct, frozen=True):
    """What one client is served. `unavailable` says of each model and service that is not, why."""

    id: str
    client: Client | None
    services: Mapping[str, Deployed]
    vocabulary: Vocabulary
    unavailable: Mapping[str, str] = {}


class Site(Struct, frozen=True):
    """What is served. `services` and `models` are the site's own; each registered client has its tenant beside them."""

    settings: Settings
    models: Mapping[str, RiskModel]
    services: Mapping[str, Deployed]
    vocabulary: Vocabulary
    unavailable: Mapping[str, str]
    known_models: tuple[type[RiskModel], ...] = ()
    known_services: tuple[str, ...] = ()
    clients: Clients = Clients(())
    tenants: Mapping[str, Tenant] = {}

    @property
    def local(self) -> Tenant:
        """Whoever is on this machine, where the site is open: its one registered client, if there is one."""
        if len(self.tenants) == 1:
            return next(iter(self.tenants.values()))
        return Tenant(LOCAL, None, self.services, self.vocabulary, self.unavailable)

    def served(self) -> tuple[Tenant, ...]:
        """Every tenant that is answered, as the site is set up."""
        return tuple(self.tenants.values()) if self.settings.trust == "clients" else (self.local,)

    def servers(self) -> tuple[Servers, ...]:
        """What is known of each tenant's FHIR servers; whoever serves keeps their connections."""
        reaches = [deployed.reach for tenant in self.served() for deployed in tenant.services.values()]
        return tuple({id(reach.servers): reach.servers for reach in reaches}.values())

    def as_recorded(self, model_id: str, settings: Mapping[str, object]) -> RiskModel | None:
        """A model under the settings of a recorded score, which may differ from today's; None when it is gone."""
        cls = next((c for c in self.known_models if c.id == model_id), None)
        if cls is None:
            return None
        return cls.build(folder_of(cls), cls.settings_type.model_validate(settings))


def folder_of(cls: type[RiskModel]) -> Traversable:
    """The folder with the model's card.yaml."""
    return files(cls.__module__.rpartition(".")[0])
