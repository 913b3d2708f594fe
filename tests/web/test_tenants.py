"""Only a registered EHR is answered, for its own patients, by its own settings."""

from collections.abc import Callable
from typing import Any

import pytest
import respx
from msgspec.structs import replace

from cds.cdshooks.card import EVERY_ACTION
from cds.errors import SiteError, UnsafeToServe
from cds.web.app import create_app
from tests.cdshooks.charts import Json, kidney, request
from tests.cdshooks.desk import PATH, SERVICE, Desk, settings, site
from tests.trust.ehr import BASE, NOW, KeyServer, key, public, table, token, trust
from tests.trust.test_bad_tokens import BAD
from tests.web.clinic import CLINIC, CLINIC_FHIR, HOSPITAL, HOSPITAL_FHIR, Clinic, clinic, hospital

ENDPOINTS = (("GET", "/cds-services"), ("POST", PATH), ("POST", f"{PATH}/feedback"))


@pytest.fixture
def two(open_desk: Callable[..., Desk]) -> Clinic:
    return Clinic(open_desk)


def call(two: Clinic, **members: Any) -> Json:
    found = two.desk.http.get("/cds-services", headers=two.hospital.headers("/cds-services")).json()
    return request(kidney(), found["services"][0]["prefetch"], **members)


@pytest.mark.proves("C97", "discovery, call and feedback: each 200 with its token and 401 without")
def test_c97_every_endpoint_asks_for_a_token(two: Clinic) -> None:
    bodies: dict[str, Json] = {PATH: call(two), f"{PATH}/feedback": {"feedback": []}}
    for method, path in ENDPOINTS:
        sent: dict[str, Any] = {"json": bodies[path]} if path in bodies else {}
        known = two.desk.http.request(method, path, headers=two.hospital.headers(path), **sent)
        stranger = two.desk.http.request(method, path, **sent)
        assert (known.status_code, stranger.status_code) == (200, 401)
    assert len(two.desk.answers()) == 1


@pytest.mark.proves("R1", "at least 60 bad tokens, each on 3 endpoints: one byte-identical 401")
def test_r1_every_bad_token_gets_the_same_bytes(open_desk: Callable[..., Desk]) -> None:
    tables = (table(),)
    keys = KeyServer(*public(key(), key("ec-256", "P-256"), key("rsa-1", "RSA"), key("other-use")))
    changes: dict[str, Any] = {"trust": "clients", "public_url": BASE, "clients": tables, "failures_per_minute": 1e6}
    desk = open_desk(site(**changes), trust=trust(keys, *tables))
    desk.now = NOW
    answers = set()
    for method, path in ENDPOINTS:
        for _, make in BAD.values():
            sent = make().encode("utf-8", "surrogatepass")
            got = desk.http.request(method, path, headers={b"authorization": b"Bearer " + sent}, content=b"{}")
            answers.add((got.status_code, got.content, tuple(sorted(got.headers.items()))))
    assert len(BAD) >= 60
    assert len(answers) == 1
    status, body, headers = answers.pop()
    assert (status, body) == (401, b"")
    assert dict(headers) == {"www-authenticate": "Bearer", "cache-control": "no-store", "content-length": "0"}
    assert desk.answers() == []
    assert desk.post({}, authorization=f"Bearer {token()}").status_code == 400  # the good one gets as far as its body


@pytest.mark.proves("R1", "0, 2 and malformed Authorization headers: the same 401")
def test_no_token_two_tokens_and_another_scheme_are_the_same_401(two: Clinic) -> None:
    good = two.hospital.headers()["authorization"]
    sent: list[list[tuple[str, str]]] = [
        [],
        [("authorization", good), ("authorization", good)],
        [("authorization", good.replace("Bearer", "Basic"))],
        [("authorization", "Bearer")],
        [("authorization", "")],
        [("cookie", f"token={good}")],
    ]
    got = [two.desk.http.post(PATH, headers=headers, content=b"{}") for headers in sent]
    assert {(one.status_code, one.content) for one in got} == {(401, b"")}


@pytest.mark.proves("R8", "6 headers that claim a client certificate: the same 401")
def test_r8_a_header_that_claims_a_certificate_is_not_looked_at(two: Clinic) -> None:
    certificate = "-----BEGIN CERTIFICATE-----MIIB"
    names = ("x-ssl-client-cert", "x-forwarded-client-cert", "ssl-client-verify", "x-client-verify", "client-cert")
    claimed = [{name: certificate} for name in names] + [
        {"ssl-client-verify": "SUCCESS", "x-forwarded-for": "10.0.0.1"}
    ]
    got = [two.desk.http.post(PATH, headers=headers, content=b"{}") for headers in claimed]
    assert {(one.status_code, one.content) for one in got} == {(401, b"")}


@pytest.mark.proves("R4", "a token for another service, for feedback and for discovery: 401 each")
def test_c101_a_token_for_one_endpoint_opens_no_other(two: Clinic) -> None:
    for aud in (f"{PATH}/feedback", "/cds-services", "/cds-services/other", PATH + "x"):
        assert two.desk.post(call(two), **two.hospital.headers(aud)).status_code == 401
    assert two.desk.post(call(two), **two.hospital.headers(PATH)).status_code == 200


@pytest.mark.proves("R4", "feedback and discovery each accept their own audience only")
def test_c92_feedback_and_c26_discovery_have_audiences_of_their_own(two: Clinic) -> None:
    told = two.desk.http.post(f"{PATH}/feedback", json={"feedback": []}, headers=two.hospital.headers(PATH))
    read = two.desk.http.get("/cds-services", headers=two.hospital.headers(PATH))
    assert (told.status_code, read.status_code) == (401, 401)


def test_c26_a_site_may_let_discovery_be_read_openly(open_desk: Callable[..., Desk]) -> None:
    open_one = Clinic(open_desk, discovery="open")
    assert open_one.desk.http.get("/cds-services").json()["services"]
    assert open_one.desk.post({}).status_code == 401


@pytest.mark.proves("R6", "the same token twice over HTTP: 200, then 401")
def test_c103_a_token_is_good_for_one_call(two: Clinic) -> None:
    headers = two.hospital.headers()
    body = call(two)
    assert [two.desk.post(body, **headers).status_code for _ in range(2)] == [200, 401]


def test_each_tenant_has_its_own_stage_region_and_threshold(open_desk: Callable[..., Desk]) -> None:
    own = {"region": "elsewhere", "models": {"kfre": {"referral_percent": 3}}, "stages": {SERVICE: "shadow"}}
    two = Clinic(open_desk, hospital(), clinic(**own), model={}, region="north-america")
    ours, theirs = (two.desk.site.tenants[name].services[SERVICE] for name in (HOSPITAL, CLINIC))
    assert [d.models["kfre-4"].recorded_settings["referral_percent"] for d in (ours, theirs)] == [5.0, 3.0]
    assert two.post(call(two), two.hospital).json()["cards"]
    assert two.post(call(two), two.clinic).json() == {"cards": []}
    assert [(a.tenant, a.stage) for a in two.desk.answers()] == [(HOSPITAL, "live"), (CLINIC, "shadow")]


def test_a_service_and_a_hook_that_a_client_may_not_use(open_desk: Callable[..., Desk]) -> None:
    two = Clinic(open_desk, hospital(hooks=["patient-view"]), clinic(services=[]))
    listed = two.desk.http.get("/cds-services", headers=two.hospital.headers("/cds-services")).json()["services"]
    assert [entry["hook"] for entry in listed] == ["patient-view"]
    begun = call(two, hook="encounter-start", context={"encounterId": "e1"})
    assert two.post(begun, two.hospital).status_code == 400
    assert two.post(call(two), two.clinic).status_code == 401
    nothing = two.desk.http.get("/cds-services", headers=two.clinic.headers("/cds-services")).json()
    assert nothing == {"services": []}


@pytest.mark.proves("C54", "another tenant's FHIR server: 0 requests, 412")
def test_c54_a_fhir_server_is_bound_to_the_caller(two: Clinic) -> None:
    access = {"access_token": "t", "token_type": "Bearer", "expires_in": 60, "scope": "patient/*.rs", "subject": "s"}
    body = call(two) | {"prefetch": {}, "fhirServer": CLINIC_FHIR, "fhirAuthorization": access}
    with respx.mock(assert_all_called=False) as outside:
        asked = outside.route().respond(500)
        assert two.post(body, two.hospital).status_code == 412
        assert asked.call_count == 0
        two.post(body | {"fhirServer": HOSPITAL_FHIR}, two.hospital)
        assert {call.request.url.host for call in asked.calls} == {"ehr.example.org"}


@pytest.mark.proves("R34", "a card of one tenant reported by another joins nothing")
def test_r34_feedback_on_another_tenants_card_joins_nothing(two: Clinic) -> None:
    card = two.post(call(two), two.hospital).json()["cards"][0]["uuid"]
    report = {"card": card, "outcome": "overridden", "outcomeTimestamp": "2026-11-22T14:05:00Z"}
    path = f"{PATH}/feedback"
    for signer in (two.clinic, two.hospital):
        told = two.desk.http.post(path, json={"feedback": [report]}, headers=signer.headers(path))
        assert told.status_code == 200  # an unknown card is kept as an orphan (C93)
    tallies = {(tally.model, tally.cards) for tally in two.desk.ledger.tallies()}
    assert tallies == {(None, 1), ("kfre-4", 1)}


@pytest.mark.parametrize(
    "base", ["http://ehr.example.org/fhir", "ftp://ehr.example.org", "https://u:p@ehr.example.org/"]
)
def test_c32_a_fhir_server_is_registered_with_https_or_not_at_all(base: str) -> None:
    with pytest.raises(SiteError, match="fhir_base: write an https URL"):
        site(trust="clients", public_url=BASE, clients=(hospital(fhir_base=base),))


def test_a_revoked_client_is_a_stranger(open_desk: Callable[..., Desk]) -> None:
    two = Clinic(open_desk, hospital(), clinic(revoked=True))
    body = call(two)
    assert two.post(body, two.clinic).status_code == 401
    assert two.post(body, two.hospital).status_code == 200


def test_an_action_that_the_ehr_does_not_carry_out_becomes_a_sentence(open_desk: Callable[..., Desk]) -> None:
    two = Clinic(open_desk, hospital(actions=["update"]), clinic())
    plain, full = (two.post(call(two), by).json()["cards"][0] for by in (two.hospital, two.clinic))
    assert "suggestions" not in plain
    for suggestion in full["suggestions"]:
        assert {action["type"] for action in suggestion["actions"]} <= EVERY_ACTION
        assert suggestion["label"] in plain["detail"].replace("\\", "")
    assert "To be done by hand" not in full["detail"]


def test_a_card_links_to_the_page_where_the_client_has_the_app(open_desk: Callable[..., Desk]) -> None:
    two = Clinic(open_desk, hospital(smart={"client_id": "bedside", "auth": "public"}), clinic())
    linked, bare = (two.post(call(two), by).json()["cards"][0]["links"] for by in (two.hospital, two.clinic))
    assert linked[0] == {
        "label": "Open kidney failure risk details",
        "url": f"{BASE}/smart/launch",
        "type": "smart",
        "appContext": SERVICE,
    }
    assert {link["type"] for link in bare} == {"absolute"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fhir_version": "5.0.0"}, "Bedside reads FHIR R4"),
        ({"fhir_version": "3.0.2"}, "Bedside reads FHIR R4"),
        ({"services": ["no-such"]}, "unknown no-such"),
        ({"hooks": ["patient-look"]}, "unknown patient-look"),
        ({"stages": {"no-such": "live"}}, "unknown no-such"),
        ({"models": {"kfre": {"referral_percent": 20}}}, "referral_percent"),
        ({"models": {"nothing": {}}}, "unknown nothing"),
        ({"smart": {"client_id": "x"}, "fhir_base": None}, "fhir_base, which is not set"),
    ],
)
def test_a_client_that_is_wrongly_set_up_stops_the_start(changed: Json, said: str) -> None:
    with pytest.raises(SiteError, match=r"\[\[clients\]\].*" + said):
        site(trust="clients", public_url=BASE, clients=({**hospital(), **changed},))


def test_two_clients_of_one_name_stop_the_start() -> None:
    with pytest.raises(SiteError, match="have one tenant"):
        site(trust="clients", public_url=BASE, clients=(hospital(), clinic(tenant=HOSPITAL)))


@pytest.mark.parametrize(
    "url",
    [
        "http://cds.example.org",
        "http://localhost.evil.example",
        "http://127.0.0.1.nip.io",
        "https://u@cds.example.org",
        "cds.example.org",
        "https://x/?a",
    ],
)
def test_the_public_address_is_https(url: str) -> None:
    with pytest.raises(SiteError, match=r"public_url: .*write https"):
        settings(public_url=url)


@pytest.mark.parametrize("missing", [{"public_url": None}, {"clients": ()}])
def test_trust_in_clients_needs_clients_and_an_address(missing: Json) -> None:
    usual: dict[str, Any] = {"trust": "clients", "public_url": BASE, "clients": (hospital(),)}
    with pytest.raises(SiteError, match="needs public_url and one"):
        settings(**(usual | missing))


def test_a_site_with_clients_is_never_served_without_tokens() -> None:
    with pytest.raises(UnsafeToServe):
        create_app(site(trust="clients", public_url=BASE, clients=(hospital(),)))
    with pytest.raises(UnsafeToServe):
        create_app(site(), trust=trust(KeyServer(), table()))


def test_a_token_of_a_client_that_this_site_no_longer_has_is_refused(open_desk: Callable[..., Desk]) -> None:
    two = Clinic(open_desk)
    body = call(two)
    two.desk.state.site = replace(two.desk.site, tenants={})
    assert two.post(body, two.hospital).status_code == 401


def test_an_open_site_serves_its_one_client_to_whoever_is_on_this_machine(open_desk: Callable[..., Desk]) -> None:
    one = clinic(smart={"client_id": "x", "auth": "public"})
    desk = open_desk(site(trust="open-on-loopback", public_url="http://127.0.0.1:1", clients=(one,)))
    card = desk.post(desk.call(kidney())).json()["cards"][0]
    assert card["links"][0]["url"] == "http://127.0.0.1:1/smart/launch"
    assert desk.last().tenant == CLINIC
