"""Tokens by SMART Backend Services: signed anew each time, renewed before they end, and for exactly what is read."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from cds.bulk import AccessRefused, BackendAccess, BulkServer, export
from cds.errors import DataUnavailable
from cds.trust.clients import BackendRegistration
from cds.trust.own_keys import OwnKeys
from tests.bulk.roads import REQUEST, Sleeps, fetched, server_of
from tests.bulk.server import BulkDouble, outcome, patients

READ = {"Patient": "rs", "Observation": "rs"}


def access(
    double: BulkDouble, rights: Mapping[str, str] = READ, sleeps: Sleeps | None = None, **said: Any
) -> BackendAccess:
    assert double.keys is not None
    extra = said.pop("extra", ())
    registration = BackendRegistration(client_id="bedside", **said)
    clock = (sleeps or Sleeps()).clock
    return BackendAccess(double.base, rights, registration, double.keys, clock=clock, extra=extra)


@pytest.mark.proves(
    "B1", "private_key_jwt with ES384 and RS384; the scope is exactly the types, in the server's own SMART words"
)
@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
@pytest.mark.parametrize(
    ("capabilities", "scope"),
    [
        (["permission-v2"], "system/Observation.rs system/Patient.rs"),
        ([], "system/Observation.read system/Patient.read"),
    ],
)
async def test_the_assertion_and_the_scope(
    signed: BulkDouble, algorithm: str, capabilities: list[str], scope: str
) -> None:
    signed.capabilities = capabilities
    token = await access(signed, algorithm=algorithm).token()
    assert token in signed.tokens
    [said] = signed.assertions
    assert said["scope"] == scope
    assert (said["iss"], said["sub"], said["header"]["alg"], said["header"]["typ"]) == (
        "bedside",
        "bedside",
        algorithm,
        "JWT",
    )
    assert 0 < said["exp"] - said["iat"] <= 300


async def test_writing_is_another_right(signed: BulkDouble) -> None:
    await access(signed, {"RiskAssessment": "cu"}, extra=["system/Group.rs"]).token()
    signed.capabilities = []
    await access(signed, {"RiskAssessment": "cu"}).token()
    assert [one["scope"] for one in signed.assertions] == [
        "system/RiskAssessment.cu system/Group.rs", "system/RiskAssessment.write",
    ]  # fmt: skip


@pytest.mark.proves("B2", "20 who ask at once get one token of one assertion; refused by 20 at once it is renewed once")
async def test_one_flight_for_all(signed: BulkDouble) -> None:
    tokens = access(signed)
    first = await asyncio.gather(*(tokens.token() for _ in range(20)))
    assert len(set(first)) == len(signed.assertions) == 1
    second = await asyncio.gather(*(tokens.token(refused=first[0]) for _ in range(20)))
    assert len(set(second)) == 1
    assert second[0] != first[0]
    assert await tokens.token(refused=first[0]) == second[0]
    assert len(signed.assertions) == 2
    assert await tokens.token(fresh=True) != second[0]


@pytest.mark.proves("B2", "tokens of 300 s and of 5 s are renewed before they end, each time with a new jti")
@pytest.mark.parametrize(("seconds", "kept", "renewed"), [(300.0, 260, 271), (5.0, 3, 5)])
async def test_a_token_is_renewed_before_it_ends(signed: BulkDouble, seconds: float, kept: int, renewed: int) -> None:
    signed.token_seconds = seconds
    sleeps = Sleeps()
    tokens = access(signed, sleeps=sleeps)
    first = await tokens.token()
    await sleeps.sleep(kept)
    assert await tokens.token() == first
    await sleeps.sleep(renewed - kept)
    assert await tokens.token() != first
    assert len({one["jti"] for one in signed.assertions}) == 2


async def test_keys_that_rotate_sign_the_next_assertion(signed: BulkDouble, tmp_path: Path) -> None:
    signed.keys = OwnKeys.create(tmp_path / "keys.json")
    tokens = access(signed)
    await tokens.token()
    signed.keys.rotate()
    await tokens.token(fresh=True)
    first, second = (one["header"]["kid"] for one in signed.assertions)
    assert first != second


@pytest.mark.proves(
    "B2", "a token that the server forgets on the way is renewed once for each request, in a whole export"
)
def test_forgotten_tokens_cost_one_renewal(signed: BulkDouble, out: Path) -> None:
    signed.statuses = [{"Retry-After": "1"}] * 3
    signed.add("output", "Patient.1", patients(1))

    def forget(_: object, number: int) -> None:
        if number % 2 == 0:
            signed.tokens.clear()

    signed.on["/fhir/status/1"] = signed.on["/files/Patient.1"] = forget
    assert fetched(signed, out).resources == 1
    assert len(signed.assertions) == 5  # for the start, two looks at the status, the file and the DELETE


def test_a_server_that_never_takes_a_token_is_asked_twice(signed: BulkDouble, out: Path) -> None:
    signed.on["/fhir/Patient/$export"] = lambda *_: outcome(401, "login")
    with pytest.raises(Exception, match="answered 401"):
        fetched(signed, out)
    assert len(signed.asked("/fhir/Patient/$export")) == len(signed.assertions) == 2


@pytest.mark.proves("B1", "a token that cannot read a type that is needed is refused: what it hides would look absent")
@pytest.mark.parametrize("granted", ["system/Patient.rs", "system/Patient.rs system/Observation.c", "", "openid"])
async def test_less_than_was_asked_is_refused(signed: BulkDouble, granted: str) -> None:
    signed.granted = granted
    with pytest.raises(AccessRefused, match=r"Observation|token response"):
        await access(signed).token()


@pytest.mark.parametrize("granted", ["system/*.rs", "system/*.read", "system/Patient.rs system/Observation.cruds"])
async def test_more_than_was_asked_is_fine(signed: BulkDouble, granted: str) -> None:
    signed.granted = granted
    assert await access(signed).token()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            JSONResponse({"error": "invalid_client", "error_description": "secret"}, 401),
            "401 invalid_client: see that it knows",
        ),
        (JSONResponse({"error": "invalid_scope"}, 400), "400 invalid_scope: see that its registration"),
        (JSONResponse({"error": "a patient's name"}, 400), "answered 400: see how"),
        (JSONResponse({"access_token": "x"}), "no token response"),
        (Response("<html>"), "no token response"),
    ],
)
async def test_a_refusal_says_what_to_do(signed: BulkDouble, answer: Response, why: str) -> None:
    signed.on["/auth/token"] = lambda *_: answer
    with pytest.raises(AccessRefused, match=why):
        await access(signed).token()


async def test_a_token_endpoint_that_is_out_may_come_back(signed: BulkDouble) -> None:
    signed.on["/auth/token"] = lambda _, n: Response(status_code=503) if n == 0 else None
    tokens = access(signed)
    with pytest.raises(DataUnavailable):
        await tokens.token()
    assert await tokens.token()


@pytest.mark.parametrize("url", ["https://login.evil.example/token", "", None, "http://169.254.169.254/"])
async def test_a_token_endpoint_elsewhere_gets_no_assertion(signed: BulkDouble, url: str | None) -> None:
    document: dict[str, Any] = {"token_endpoint": url, "capabilities": []}
    signed.on["/fhir/.well-known/smart-configuration"] = lambda *_: JSONResponse(document)
    with pytest.raises(AccessRefused, match=r"token_url|token endpoint"):
        await access(signed).token()
    assert await access(signed, token_url=f"{signed.origin}/auth/token").token()


def test_a_token_is_in_no_repr(signed: BulkDouble, keys: OwnKeys) -> None:
    tokens = access(signed)
    token = asyncio.run(tokens.token())
    assert token
    assert token not in repr(tokens) + repr(vars(BulkServer(signed.base, tokens)))


def test_our_clock_may_be_a_little_ahead(signed: BulkDouble, out: Path) -> None:
    sleeps = Sleeps()
    asyncio.run(export(REQUEST, out, server=server_of(signed, sleeps=sleeps), pace=sleeps.pace()))
    assert all(one["exp"] - one["iat"] == 240 for one in signed.assertions)
