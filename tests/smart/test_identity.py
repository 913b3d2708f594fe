"""Who signed in: an id_token is believed only when everything about it is right."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from cds.smart import SmartRefused
from cds.smart.authorize import Pending, pending
from cds.smart.discovery import Configuration
from cds.smart.identity import Identity, user_on
from tests.smart.ehr import BASE, CLIENT, ISSUER, Json, ec
from tests.smart.world import World, client

Change = Callable[[World], None]


def claims(**changed: Any) -> Change:
    def change(world: World) -> None:
        world.ehr.claims = lambda usual: {k: v for k, v in (usual | changed).items() if v is not None}

    return change


def signed(alg: str, signer: Any, **header: Any) -> Change:
    def change(world: World) -> None:
        world.ehr.header = {"alg": alg, **header}
        world.ehr.signer = signer

    return change


def answer(route: str, response: httpx.Response) -> Change:
    return lambda world: getattr(world.ehr, route).mock(return_value=response)


def at(**span: float) -> Change:
    """Claims of a token that was issued at another time than it comes."""

    def change(world: World) -> None:
        world.ehr.claims = lambda usual: usual | {
            "iat": usual["iat"] + int(span["iat"]), "exp": usual["exp"] + int(span["exp"])
        }  # fmt: skip

    return change


def replaced(token: str) -> Change:
    def change(world: World) -> None:
        world.ehr.change = lambda said: said | {"id_token": token}

    return change


BAD: dict[str, Change] = {
    "another issuer": claims(iss="https://evil.example"),
    "no issuer": claims(iss=None),
    "another audience": claims(aud="somebody"),
    "no audience": claims(aud=None),
    "several audiences, another party": claims(aud=[CLIENT, "other"], azp="other"),
    "several audiences, no party": claims(aud=[CLIENT, "other"]),
    "another party": claims(azp="other"),
    "no subject": claims(sub=None),
    "empty subject": claims(sub=""),
    "another nonce": claims(nonce="replayed"),
    "no nonce": claims(nonce=None),
    "expired": at(iat=-400, exp=-400),
    "from the future": at(iat=100, exp=100),
    "no expiry": claims(exp=None),
    "expiry true": claims(exp=True),
    "expiry as text": claims(exp="4102444800"),
    "expiry beyond time": claims(exp=1e300),
    "no issue time": claims(iat=None),
    "HS256 with our client id": signed("HS256", OctKey.import_key(CLIENT * 8), kid="id-1"),
    "unknown kid": signed("RS256", RSAKey.generate_key(2048), kid="id-2"),
    "right kid, other key": signed("RS256", RSAKey.generate_key(2048), kid="id-1"),
    "an algorithm of another key": signed("ES384", ec(), kid="id-1"),
    "no token at all": replaced("not a token"),
    "alg none": replaced("eyJhbGciOiJub25lIn0.e30."),
    "keys absent": answer("jwks", httpx.Response(404)),
    "keys no keys": answer("jwks", httpx.Response(200, json={"keys": "none"})),
    "another issuer's document": answer("openid", httpx.Response(200, json={"issuer": "x", "jwks_uri": "https://x"})),
    "keys without TLS": answer(
        "openid", httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": "http://ehr.example"})
    ),
}


@pytest.mark.proves("S17", "28 of 28 wrong id_tokens refused, no session opened")
@pytest.mark.proves(
    "R40", "id_token: algorithm, nonce, audience, subject and times each checked, 28 wrong ones refused"
)
@pytest.mark.parametrize("fault", BAD)
async def test_a_wrong_id_token_opens_nothing(world: World, fault: str) -> None:
    BAD[fault](world)
    with pytest.raises(SmartRefused) as refused:
        await world.launch()
    assert (refused.value.reason, refused.value.tenant) == ("identity-invalid", "north-clinic")
    assert len(world.app.sessions) == 0


@pytest.mark.proves("S17", "a token without kid accepted when the set has one usable key, refused when it has two")
async def test_a_token_without_kid_needs_an_issuer_with_one_key(world: World) -> None:
    world.ehr.header = {"alg": "RS256"}
    assert (await world.launch()).user == "Practitioner/dr-1"
    nameless: Json = {k: v for k, v in world.ehr.key.as_dict(private=False).items() if k != "kid"}
    two: Json = {"keys": [nameless, RSAKey.generate_key(2048).as_dict(private=False)]}
    fresh = World(world.ehr.router, None)
    fresh.ehr.header = {"alg": "RS256"}
    fresh.ehr.jwks.mock(return_value=httpx.Response(200, json=two))
    with pytest.raises(SmartRefused):
        await fresh.launch()


async def test_a_token_of_several_audiences_names_us_as_its_party(world: World) -> None:
    claims(aud=[CLIENT, "other"], azp=CLIENT)(world)
    assert (await world.launch()).user == "Practitioner/dr-1"


async def test_a_clock_that_is_a_minute_off_is_forgiven(world: World) -> None:
    at(iat=59, exp=59)(world)
    assert (await world.launch()).user
    at(iat=-359, exp=-359)(world)
    assert (await world.launch()).user


async def test_an_issuer_without_openid_configuration_is_read_by_the_jwks_uri_beside_its_endpoints(
    world: World,
) -> None:
    world.ehr.openid.mock(return_value=httpx.Response(404))
    assert (await world.launch()).user == "Practitioner/dr-1"


async def test_a_server_that_names_no_issuer_signs_as_its_fhir_base(world: World) -> None:
    del world.ehr.configuration["issuer"]
    world.ehr.router.get(f"{BASE}/.well-known/openid-configuration").mock(return_value=httpx.Response(404))
    claims(iss=BASE)(world)
    assert (await world.launch()).user == "Practitioner/dr-1"


async def test_the_keys_are_read_once_and_again_for_a_key_that_is_new(world: World) -> None:
    ticks = iter(range(0, 100_000, 100))
    world.app._identity._monotonic = lambda: float(next(ticks))
    for _ in range(3):
        await world.launch()
    assert world.ehr.jwks.call_count == 1
    world.ehr.key = world.ehr.signer = RSAKey.generate_key(2048, {"kid": "id-2"})
    world.ehr.header = {"alg": "RS256", "kid": "id-2"}
    assert (await world.launch()).user
    assert world.ehr.jwks.call_count == 2


def without_id_token(said: Json) -> Json:
    return {name: value for name, value in said.items() if name != "id_token"}


@pytest.mark.proves("S17", "no id_token: refused, but where the site says that identity is optional")
async def test_a_launch_that_names_nobody_is_refused_unless_the_site_allows_it(world: World) -> None:
    world.ehr.change = without_id_token
    with pytest.raises(SmartRefused) as refused:
        await world.launch()
    assert (refused.value.reason, refused.value.tenant) == ("identity-invalid", "north-clinic")
    assert len(world.app.sessions) == 0
    assert (await world.launch(client(identity="optional"))).user is None


@pytest.mark.proves("S17", "an issuer that names keys at a server outside its EHR's site: 0 requests there")
async def test_keys_elsewhere_are_not_read(world: World) -> None:
    keys = world.ehr.router.get("http://127.0.0.1:2375/keys").respond(200, json={"keys": []})
    said = {"issuer": ISSUER, "jwks_uri": "http://127.0.0.1:2375/keys"}
    world.ehr.openid.mock(return_value=httpx.Response(200, json=said))
    with pytest.raises(SmartRefused) as refused:
        await world.launch()
    assert (refused.value.reason, refused.value.host) == ("host-unregistered", "127.0.0.1")
    assert not keys.called


class Claimed:
    """One issuer that two EHRs claim, each with a key of its own beside its endpoints."""

    issuer = "https://id.example.org"

    def __init__(self) -> None:
        self.keys = {"north": ec("k"), "south": ec("k")}
        self.identity = Identity(self._fetch)

    async def _fetch(self, url: str) -> tuple[int, bytes, dict[str, str]]:
        if url.endswith("openid-configuration"):
            return 404, b"", {}
        return (
            200,
            json.dumps({"keys": [self.keys[url.rsplit("/", maxsplit=1)[-1]].as_dict(private=False)]}).encode(),
            {},
        )

    def launch(self, ehr: str) -> Pending:
        base = f"https://{ehr}.example.org"
        found = Configuration(f"{base}/auth", f"{base}/token", self.issuer, f"{base}/{ehr}")
        return pending(
            tenant=ehr, base=base, client_id=CLIENT, redirect_uri="https://x/cb", scope="s", launch="l",
            configuration=found, began=datetime.now(UTC),
        )  # fmt: skip

    async def user(self, one: Pending, signer: str) -> str | None:
        said = {"iss": self.issuer, "aud": CLIENT, "sub": "s", "iat": 1, "exp": 300, "nonce": one.nonce}
        token = jwt.encode(
            {"alg": "ES384", "kid": "k"}, said | {"fhirUser": "Practitioner/x"}, self.keys[signer], algorithms=["ES384"]
        )
        return await self.identity.user(token, one, 1.0)


@pytest.mark.proves("S17", "one EHR's key signs for no other's launch, though both claim one issuer")
async def test_the_keys_of_one_ehr_serve_no_other() -> None:
    claimed = Claimed()
    assert await claimed.user(claimed.launch("north"), "north") == "Practitioner/x"
    for signer in ("north", "south"):
        with pytest.raises(SmartRefused) as refused:
            await claimed.user(claimed.launch("south"), signer)
        assert refused.value.reason == "identity-invalid"
    claimed.keys["north"] = claimed.keys["south"]
    assert await claimed.user(claimed.launch("south"), "south") == "Practitioner/x", "both have replaced their key"


@pytest.mark.proves("S18", "relative and on our base kept; 10 others not, and none of them fetched")
async def test_a_user_is_somebody_on_our_fhir_base(world: World) -> None:
    for named in ("Practitioner/dr-1", f"{BASE}/Practitioner/dr-1"):
        assert user_on(BASE, named) == "Practitioner/dr-1"
    for other in (
        "https://evil.example/fhir/Practitioner/dr-1", f"{BASE}.evil.example/Practitioner/dr-1",
        f"{BASE}/../x/Practitioner/dr-1", "Practitioner/../Patient/1", "Practitioner/", "Device/1",
        f"{BASE}/Practitioner/dr-1?x=1", "", 7, None,
    ):  # fmt: skip
        assert user_on(BASE, other) is None
    claims(fhirUser="https://evil.example/fhir/Practitioner/dr-1")(world)
    assert (await world.launch()).user is None
    assert not any("evil" in str(request.url) for request in world.ehr.asked)
