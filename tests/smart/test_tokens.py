"""The token request as each kind of client sends it, and what is believed of the answer."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
import respx

from cds.smart import SmartRefused
from cds.smart.tokens import read_tokens
from cds.trust.clients import Client
from cds.trust.own_keys import OwnKeys
from tests.smart.ehr import CLIENT, PATIENT, TOKEN, refused
from tests.smart.world import REDIRECT, World, client

GOOD = {"access_token": "t", "token_type": "Bearer", "scope": "launch", "expires_in": 60, "patient": PATIENT}


def why(said: dict[str, Any]) -> str:
    with pytest.raises(SmartRefused) as fault:
        read_tokens(said)
    return fault.value.reason


async def failure(world: World, one: Client | None = None) -> SmartRefused:
    with pytest.raises(SmartRefused) as fault:
        await world.launch(one)
    return fault.value


@pytest.mark.proves("S12", "public: client_id in the form; asymmetric: none; same redirect_uri and verifier in both")
@pytest.mark.parametrize("auth", ["public", "private_key_jwt"])
async def test_the_code_is_exchanged_by_a_form(router: respx.MockRouter, own_keys: OwnKeys, auth: str) -> None:
    world = World(router, own_keys)
    registered = client(auth=auth)
    world.ehr.client_keys = own_keys.public() if auth == "private_key_jwt" else None
    session = await world.launch(registered)
    assert session.patient_id == PATIENT
    (form,) = world.ehr.posts
    assert (form["grant_type"], form["redirect_uri"]) == ("authorization_code", REDIRECT)
    assert len(form["code_verifier"]) >= 43
    assert ("client_id" in form, "client_assertion" in form) == (auth == "public", auth != "public")
    assert "authorization" not in world.ehr.asked[-2].headers


@pytest.mark.proves("S13", "ES384 and RS384: kid, typ, iss = sub, aud = token URL, 300 s, 10 of 10 jti unique, no jku")
@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
async def test_an_assertion_is_signed_afresh_for_each_request(
    router: respx.MockRouter, own_keys: OwnKeys, algorithm: str
) -> None:
    world = World(router, own_keys)
    world.ehr.client_keys = own_keys.public()
    registered = client(auth="private_key_jwt", algorithm=algorithm)
    for _ in range(5):
        session = await world.launch(registered)
        world.clock.forward(seconds=270)
        await session.access()
    assert len(world.ehr.assertions) == 10
    assert len({one["jti"] for one in world.ehr.assertions}) == 10
    for one in world.ehr.assertions:
        assert (one["alg"], one["typ"], one["aud"]) == (algorithm, "JWT", TOKEN)
        assert one["iss"] == one["sub"] == CLIENT
        assert one["exp"] - one["iat"] == 300
        assert one["kid"] == own_keys.signing(one["alg"]).kid
        assert not {"jku", "jwk", "x5u"} & set(one)


@pytest.mark.proves("S14", "15 faulty token responses refused, 6 tolerable ones read")
@pytest.mark.parametrize(
    "change",
    [
        {"access_token": None}, {"access_token": ""}, {"access_token": 7}, {"access_token": "two words"},
        {"access_token": "line\nbreak"}, {"token_type": None}, {"token_type": "mac"}, {"token_type": 1},
        {"scope": None}, {"scope": ["launch"]}, {"expires_in": True}, {"expires_in": "soon"}, {"expires_in": -5},
        {"patient": "Patient/1"}, {"patient": "../other"},
    ],
    ids=str,
)  # fmt: skip
def test_a_token_response_that_breaks_the_rules_is_not_used(change: dict[str, Any]) -> None:
    assert why({name: value for name, value in (GOOD | change).items() if value is not None}) == "token-unusable"


@pytest.mark.parametrize(
    ("change", "member", "value"),
    [
        ({"token_type": "bearer"}, "access_token", "t"),
        ({"token_type": "BEARER"}, "access_token", "t"),
        ({"expires_in": None}, "expires_in", None),
        ({"expires_in": "3600"}, "expires_in", 3600),
        ({"encounter": ""}, "encounter", None),
        ({"need_patient_banner": False}, "need_patient_banner", False),
    ],
    ids=str,
)
def test_what_servers_are_free_to_do_is_read(change: dict[str, Any], member: str, value: object) -> None:
    said = {name: one for name, one in (GOOD | change).items() if one is not None}
    assert getattr(read_tokens(said), member) == value
    assert read_tokens(GOOD).need_patient_banner is True


@pytest.mark.proves("S15", "no patient in the response: refused by name, no session opened")
async def test_a_launch_without_a_patient_opens_nothing(world: World) -> None:
    world.ehr.patient = None
    fault = await failure(world)
    assert (fault.reason, fault.tenant) == ("no-patient", "north-clinic")
    assert len(world.app.sessions) == 0


def says(status: int, error: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: refused(status, error, error_description="canary <script>alert(1)</script>")


def fails(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    return fail


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (says(400, "invalid_grant"), "code-refused"),
        (says(401, "invalid_grant"), "code-refused"),
        (says(401, "invalid_client"), "client-refused"),
        (says(400, "unauthorized_client"), "client-refused"),
        (says(400, "invalid_scope"), "scope-refused"),
        (says(400, "something new"), "authorization-failed"),
        (lambda _: httpx.Response(400, html="<h1>no</h1>"), "authorization-failed"),
        (lambda _: httpx.Response(302, headers={"location": "https://evil.example"}), "authorization-failed"),
        (lambda _: httpx.Response(500), "unreachable"),
        (lambda _: httpx.Response(429), "unreachable"),
        (lambda _: httpx.Response(200, html="<h1>hello</h1>"), "token-unusable"),
        (lambda _: httpx.Response(200, content=b'{"access_token":"' + b"x" * 300_000), "token-unusable"),
        (fails(httpx.ReadTimeout("canary")), "unreachable"),
    ],
)
async def test_what_the_token_endpoint_refuses_has_its_reason(world: World, fault: Any, reason: str) -> None:
    world.ehr.fault = fault
    said = await failure(world)
    assert (said.reason, said.tenant) == (reason, "north-clinic")
    assert "canary" not in f"{said!r} {said} {said.__cause__}"


async def test_a_code_works_once_and_only_with_its_verifier(world: World) -> None:
    begun = await world.begin()
    other = await world.begin()
    code = world.ehr.sign_in(begun.request.url)
    with pytest.raises(SmartRefused) as mixed:
        await world.app.complete(client(), other.pending, code)
    with pytest.raises(SmartRefused) as replayed:
        await world.app.complete(client(), begun.pending, code)
    assert mixed.value.reason == replayed.value.reason == "code-refused"


async def test_a_site_without_keys_cannot_sign(world: World) -> None:
    assert (await failure(world, client(auth="private_key_jwt"))).reason == "client-refused"


def test_tokens_are_never_printed() -> None:
    assert repr(read_tokens(GOOD | {"access_token": "canary"})) == "Tokens(…)"
