"""A site's clients are read strictly, and what is wrong is said in words that an administrator can act on."""

import tomllib

import pytest
from pydantic import ValidationError

from cds.errors import SiteError
from cds.trust import Clients
from tests.trust.ehr import ISSUER, JWKS_URL, Json, key, public, table

SITE_TOML = """
[[clients]]
tenant = "general-hospital"
issuer = "https://ehr.example.org/oauth2"
jwks_url = "https://ehr.example.org/oauth2/jwks"
fhir_base = "https://ehr.example.org/fhir/"
services = ["kidney-failure-risk"]
hooks = ["patient-view"]
browser_origins = ["https://ehr.example.org"]
max_age_seconds = 600
leeway_seconds = 0
algorithms = ["RS256"]

[[clients]]
tenant = "clinic"
issuer = "https://ehr.example.org/oauth2/"
jwks_url = "http://127.0.0.1:9999/jwks"
"""


def test_c100_clients_stand_in_site_toml() -> None:
    clients = Clients.read(tomllib.loads(SITE_TOML)["clients"])
    first, second = clients.of(ISSUER), clients.of(f"{ISSUER}/")
    assert first is not None
    assert second is not None
    assert len(clients) == 2
    assert first.fhir_base == "https://ehr.example.org/fhir"
    assert (first.max_age_seconds, first.leeway_seconds, first.algorithms) == (600, 0, ("RS256",))
    assert first.may_call("kidney-failure-risk")
    assert not first.may_call("other")
    assert not first.may_use("order-sign")
    assert second.may_call("other")
    assert second.may_use("order-sign")
    assert (second.max_age_seconds, second.leeway_seconds, second.algorithms) == (300, 30, ("ES384", "RS384"))
    assert clients.of(ISSUER.upper()) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tenant": "General Hospital"}, "tenant: "),
        ({"backend": {"client_id": "x"}, "fhir_base": None}, "backend: an export is read from fhir_base"),
        ({"backend": {"client_id": "x", "file_hosts": ["https://f.example/x"]}}, "backend.file_hosts.0: an origin is"),
        ({"backend": {"algorithm": "ES384"}}, "backend.client_id: Field required"),
        ({"tenant": ""}, "tenant: "),
        ({"tenant": None}, "tenant: Field required"),
        ({"issuer": None}, "issuer: Field required"),
        ({"issuer": ""}, "issuer: "),
        ({"issuer": f"{ISSUER} "}, "issuer: an issuer is compared character by character"),
        ({"issuer": "x" * 256}, "issuer: "),
        ({"jwks_url": None}, "without jwks_url or jwks nothing that it signs can be verified"),
        ({"jwks_url": "http://ehr.example.org/jwks"}, "jwks_url: write an https URL"),
        ({"jwks_url": "https://user@ehr.example.org/jwks"}, "jwks_url: "),
        ({"jwks_url": "https://ehr.example.org/jwks#x"}, "jwks_url: "),
        ({"jwks_url": "https://ehr.example.org:x/jwks"}, "jwks_url: "),
        ({"jwks_url": "https:///jwks"}, "jwks_url: "),
        ({"jwks_url": "https://[/jwks"}, "jwks_url: "),
        ({"jwks_url": "file:///etc/jwks"}, "jwks_url: "),
        ({"algorithms": []}, "algorithms: "),
        ({"algorithms": ["HS256"]}, "algorithms.0: "),
        ({"algorithms": ["none"]}, "algorithms.0: "),
        ({"algorithms": ["ES512"]}, "algorithms.0: "),
        ({"fhir_base": "http://ehr.example.org/fhir"}, "fhir_base: "),
        ({"fhir_base": "https://ehr.example.org/fhir?x"}, "fhir_base: a base URL has no query"),
        ({"browser_origins": ["*"]}, "browser_origins.0: "),
        ({"browser_origins": ["https://ehr.example.org/"]}, "browser_origins.0: an origin is scheme://host"),
        ({"max_age_seconds": 3601}, "max_age_seconds: "),
        ({"max_age_seconds": 0}, "max_age_seconds: "),
        ({"max_age_seconds": True}, "max_age_seconds: "),
        ({"leeway_seconds": 121}, "leeway_seconds: "),
        ({"leeway_seconds": -1}, "leeway_seconds: "),
        ({"secret": "x"}, "secret: Extra inputs are not permitted"),
        ({"jwks": {"keys": []}}, "jwks: a JWK set is written"),
        ({"jwks": {"keys": [{}]}}, "jwks: a key cannot be used"),
        ({"jwks": {"keys": [1]}}, "jwks: the key set is no JSON object with keys"),
        ({"jwks": {}}, "jwks: a JWK set is written"),
        ({"jwks": {"keys": public(key()) * 2}}, "jwks: a key cannot be used: each needs its own kid"),
        ({"jwks": {"keys": [key().as_dict(private=True)]}}, "jwks: this is a private key"),
    ],
)
def test_a_wrong_client_stops_the_start_and_says_why(changed: Json, said: str) -> None:
    with pytest.raises(SiteError) as error:
        Clients.read([table(tenant="first", issuer="https://first.example"), table(**changed)])
    assert said in error.value.message
    assert "[[clients]] number 2" in error.value.message
    assert "first" not in error.value.message
    private = key().as_dict(private=True).get("d")
    assert str(private) not in error.value.message


def test_r2_an_issuer_is_registered_once() -> None:
    with pytest.raises(SiteError, match="general-hospital and clinic have one issuer"):
        Clients.read([table(), table(tenant="clinic")])


def test_a_client_is_frozen_and_shows_no_key() -> None:
    client = next(iter(Clients.read([table(jwks={"keys": public(key())})])))
    assert "keys" not in repr(client)
    assert client.jwks_url == JWKS_URL
    with pytest.raises(ValidationError):
        client.issuer = "https://evil.example"  # type: ignore[misc]
