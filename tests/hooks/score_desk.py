"""A server with one of the services of the scores, and a patient in whose chart something stands."""

from collections.abc import Callable
from typing import Any

from cds.settings import read_settings
from cds.site import Site, load_site
from tests.cdshooks.desk import Desk
from tests.charts import Json

Open = Callable[..., Desk]


def served(service: str, **settings: Any) -> Site:
    services = {service: {"stage": "live", **settings}}
    return load_site(settings=read_settings(services=services, answer_seconds=20.0))


def numbered(*resources: Json) -> list[Json]:
    """Each resource with an id, since two of one id are one resource."""
    return [{"id": f"r{number}", **resource} for number, resource in enumerate(resources)]


def post(desk: Desk, service: str, *resources: Json, **members: Any) -> Any:
    return desk.post(desk.call(numbered(*resources), of="p", **members), f"/cds-services/{service}")


def card(desk: Desk, service: str, *resources: Json) -> Json:
    """The one card about these resources; an empty object for silence."""
    response = post(desk, service, *resources)
    assert response.status_code == 200, response.text
    cards = response.json()["cards"]
    assert len(cards) <= 1
    return cards[0] if cards else {}
