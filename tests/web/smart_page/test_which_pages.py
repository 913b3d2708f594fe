"""Only services that look at a whole chart have a page, and a page calls nothing low that its service does not."""

from collections.abc import Callable

import httpx
import msgspec
import pytest
from msgspec import structs

from cds import Guidance, HookCall, hook
from cds.settings import read_settings
from cds.site import Site, load_site
from cds.web.smart import views
from cds.web.smart.making import UNSAID
from tests.cdshooks.charts import CREATININE, Json, kidney, lab, person
from tests.web.smart_page.bench import BASE, App, Records
from tests.web.smart_page.markup import Markup

Open = Callable[..., App]
INJURED = [person(64), lab(CREATININE, 1.0, "mg/dL", ago=60), lab(CREATININE, 6.0, "mg/dL", ago=1)]
DRAFTS = ("nephrotoxic-order", "appointment-kidney")


def served(records: Records, *live: str) -> Site:
    wanted = read_settings(
        services={service: {"stage": "live"} for service in live},
        models={"kfre": {"region": "north-america"}},
        fhir_servers=(BASE,),
        answer_seconds=20.0,
    )
    return load_site(settings=wanted, transport=httpx.MockTransport(records))


@pytest.mark.parametrize("service", DRAFTS)
def test_what_judges_a_draft_has_no_page(service: str, open_app: Open) -> None:
    records = Records(INJURED)
    app = open_app(INJURED, records=records, served=served(records, "deterioration", *DRAFTS))
    overview = Markup(app.open("")).text
    assert "Clinical deterioration" in overview
    assert "Nephrotoxic order" not in overview
    assert "calls for action" not in overview
    app.open(service, status=404)


@pytest.mark.parametrize("service", ["kidney-failure-risk", *DRAFTS])
def test_a_card_links_to_no_page_that_there_is_not(service: str, open_app: Open) -> None:
    site = served(Records([]), service)
    deployed = structs.replace(site.services[service], smart_url="https://cds.example/smart/launch")
    assert [link.appContext for link in deployed.links()] == ([] if service in DRAFTS else [service])


@pytest.mark.parametrize(
    ("said", "headline"),
    [
        (Guidance(reason="no-such-order"), UNSAID),
        (Guidance(reason="low-risk"), "Nothing in this risk calls for action."),
        (Guidance(reason="no-such-order", text="Nothing was ordered."), "Nothing was ordered."),
    ],
)
def test_only_what_a_service_calls_low_is_called_low(said: Guidance, headline: str, open_app: Open) -> None:
    @hook("patient-view", id="quiet", title="Quiet", description="Says no more than its reason", models=("kfre-4",))
    def quiet(call: HookCall) -> Guidance:
        return said

    held: list[Json] = kidney(14, 2000)
    records = Records(held)
    site = served(records, "kidney-failure-risk")
    own = structs.replace(site.services["kidney-failure-risk"], service=quiet, hooks=frozenset(quiet.hooks))
    app = open_app(held, records=records, served=structs.replace(site, services={"quiet": own}))
    app.open("quiet")
    view = msgspec.json.decode(app.answers()[-1].body, type=views.Page)
    assert view.headline == headline
