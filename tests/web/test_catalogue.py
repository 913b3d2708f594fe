"""The gallery and the fact sheets: the same for everybody, wherever the server is served, and of no patient."""

from collections.abc import Callable

import httpx
import pytest

from cds.settings import read_settings
from cds.site import load_site
from tests.cdshooks.charts import kidney
from tests.cdshooks.desk import SERVICE, Desk, site
from tests.trust.ehr import BASE
from tests.web.clinic import Clinic, clinic, hospital

KFRE = "/models/kfre-4"


def get(desk: Desk, path: str, **headers: str) -> httpx.Response:
    response: httpx.Response = desk.http.get(path, headers=headers)
    return response


def test_the_gallery_names_every_model_and_leads_to_it(desk: Desk) -> None:
    for path in ("/models", "/models/"):
        page = get(desk, path)
        assert page.status_code == 200
        for cls in desk.site.known_models:
            assert f'href="/models/{cls.id}"' in page.text


def test_every_model_has_its_sheet(desk: Desk) -> None:
    for cls in desk.site.known_models:
        page = get(desk, f"/models/{cls.id}")
        assert page.status_code == 200
        assert page.text.count('<span class="nr">') == 31


def test_a_sheet_says_what_nobody_verified_before_all_else(desk: Desk) -> None:
    page = get(desk, KFRE).text
    for text in desk.site.models["kfre-4"].card.unverified:
        assert text.split(";")[0].split('"')[0] in page
    assert page.index("Not verified") < page.index("Intended use")


@pytest.mark.parametrize("name", ["nothing", "<script>alert(1)</script>", "..%2f..", "KFRE-4", "kfre-4/"])
def test_what_is_no_model_is_a_page_that_says_so(desk: Desk, name: str) -> None:
    page = get(desk, f"/models/{name}")
    assert page.status_code == 404
    assert "alert(1)" not in page.text


def test_the_pages_have_the_headers_of_every_page_and_no_script(desk: Desk) -> None:
    for path in ("/models", KFRE, "/models/nothing"):
        page = get(desk, path)
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "<script" not in page.text
        assert " style=" not in page.text
        assert " on" + "click" not in page.text


def test_nothing_is_written_with_them(desk: Desk) -> None:
    assert desk.http.post("/models").status_code == 405
    assert desk.http.post(KFRE).status_code == 405


def test_another_name_for_this_machine_is_refused(desk: Desk) -> None:
    assert get(desk, KFRE, host="evil.example").status_code == 421


def test_a_server_for_clients_shows_them_without_a_token(open_desk: Callable[..., Desk]) -> None:
    at = Clinic(open_desk)
    page = get(at.desk, KFRE, host="cds.example.org")
    assert page.status_code == 200
    assert "each registered system may have others" in page.text
    assert "Settings here" in get(open_desk(), KFRE).text
    assert "Settings here" not in page.text
    assert get(at.desk, "/models", host="cds.example.org").status_code == 200
    assert get(at.desk, "/cds-services", host="cds.example.org").status_code == 401


def test_the_demo_serves_them(open_desk: Callable[..., Desk]) -> None:
    assert get(open_desk(demo=True), KFRE).status_code == 200


def test_a_site_that_is_swapped_shows_its_own(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()
    assert "Above 5% within 5 years" in get(desk, KFRE).text
    desk.state.swap(site(model={"referral_percent": 3.0}))
    assert "Above 3% within 5 years" in get(desk, KFRE).text


def test_a_model_that_is_not_set_up_says_so(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(load_site(settings=read_settings()))
    page = get(desk, KFRE)
    assert page.status_code == 200
    assert "Not set up at this site" in page.text


def test_a_model_that_is_set_up_for_a_client_alone_is_not_said_to_be_missing(open_desk: Callable[..., Desk]) -> None:
    at = Clinic(open_desk, hospital(region="north-america"), clinic())
    at.desk.state.swap(load_site(settings=at.desk.site.settings.model_copy(update={"models": {}})))
    assert "kfre-4" not in at.desk.state.site.models
    said = "Not set up at this site"
    assert said not in get(at.desk, KFRE, host="cds.example.org").text
    assert said in get(at.desk, "/models/pce-2013", host="cds.example.org").text


def test_under_a_path_of_a_proxy_every_link_has_it(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk(public_url="https://cds.example.org/bedside")
    page = get(desk, "/models").text
    assert 'href="/bedside/models/kfre-4"' in page
    assert 'href="/bedside/smart/static/sheet.css"' in page
    assert 'href="/smart/' not in page + get(desk, KFRE).text


def test_a_cards_source_leads_to_the_sheet_where_the_server_has_an_address(open_desk: Callable[..., Desk]) -> None:
    card = open_desk(public_url=BASE).card(kidney())
    assert card["source"]["url"] == f"{BASE}{KFRE}"
    assert card["source"]["label"] == "Kidney Failure Risk Equation (4-variable, North America)"


def test_without_an_address_it_leads_to_what_the_card_cites(desk: Desk) -> None:
    assert desk.card(kidney())["source"]["url"] == desk.site.models["kfre-4"].card.url


def test_the_text_of_a_card_is_text(desk: Desk) -> None:
    """A site's own card.yaml may hold anything: it is shown, and it runs nothing."""
    model = desk.site.models["kfre-4"]
    model.card = model.card.model_copy(
        update={"name": "<img src=x onerror=alert(1)>", "cautions": ("<b>bold</b>", "x")}
    )
    page = get(desk, KFRE).text
    assert "<img" not in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert SERVICE not in page
