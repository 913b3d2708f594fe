"""An EHR's keys are asked for seldom, noticed when they change, and never taken when they are weak."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from joserfc.jwk import ECKey, RSAKey
from msgspec import json

from cds.errors import DataUnavailable
from cds.trust import Clients, PublicKeys
from cds.trust.clients import Client
from cds.trust.jwks import STALE_SECONDS
from cds.trust.keys import UnusableKeys, read_keys, read_own_keys
from tests.trust.ehr import (
    NOW,
    Json,
    KeyServer,
    T,
    accepted,
    b64,
    claims,
    header,
    key,
    public,
    refusal,
    signed,
    table,
    token,
    trust,
)

MINUTE = 60.0


@pytest.fixture
def client() -> Client:
    return next(iter(Clients.read([table()])))


async def knows(keys: PublicKeys, client: Client, kid: str, now: float) -> bool:
    return (keys.at_hand(client, kid, now) or await keys.find(client, kid, now)) is not None


async def settled() -> None:
    """Lets a fetch in the background end."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_r7_one_fetch_serves_a_whole_life(server: KeyServer, client: Client) -> None:
    keys = PublicKeys(server.fetch)
    for second in range(0, 480, 10):
        assert await knows(keys, client, "ec-1", T + second)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("said", "minutes"),
    [
        ({}, 10),
        ({"Cache-Control": "max-age=1800"}, 30),
        ({"cache-control": "public, MAX-AGE=1800"}, 30),
        ({"Cache-Control": "max-age=1"}, 5),
        ({"Cache-Control": "max-age=31536000"}, 60),
        ({"Cache-Control": "max-age=99999999999999999999"}, 10),
        ({"Cache-Control": "s-maxage=1800"}, 10),
        ({"Cache-Control": "max-age=-1"}, 10),
        ({"Cache-Control": "no-store"}, 5),
        ({"Cache-Control": "no-cache, max-age=1800"}, 5),
        ({"Cache-Control": "max-age=x"}, 10),
    ],
)
async def test_r7_a_life_is_what_the_issuer_says_within_bounds(
    said: dict[str, str], minutes: int, server: KeyServer, client: Client
) -> None:
    server.headers = said
    keys = PublicKeys(server.fetch)
    assert await knows(keys, client, "ec-1", T)
    server.keys = []
    assert await knows(keys, client, "ec-1", T + minutes * 48 - 1)
    assert len(server.asked) == 1
    assert await knows(keys, client, "ec-1", T + minutes * 48)  # its last fifth: renewed while it still serves
    await settled()
    assert len(server.asked) == 2


@pytest.mark.proves("R7", "a withdrawn key is refused within its life")
async def test_r7_a_withdrawn_key_is_refused_when_its_life_is_over(server: KeyServer, client: Client) -> None:
    keys = PublicKeys(server.fetch)
    assert await knows(keys, client, "ec-1", T)
    server.keys = public(key("ec-2"))
    assert await knows(keys, client, "ec-1", T + 479)
    assert not await knows(keys, client, "ec-1", T + 600)
    assert await knows(keys, client, "ec-2", T + 600)


@pytest.mark.proves("R7", "1,000 unknown kids within a minute: 1 fetch")
async def test_r7_c99_a_thousand_unknown_kids_cause_one_fetch(server: KeyServer, client: Client) -> None:
    keys = PublicKeys(server.fetch)
    assert await knows(keys, client, "ec-1", T)
    assert not any([await knows(keys, client, f"random-{n}", T + 120 + n * 0.05) for n in range(1000)])
    assert len(server.asked) == 2  # the first, and one for all of them


async def test_r7_a_thousand_unknown_kids_at_a_cold_start_cause_one_fetch(server: KeyServer) -> None:
    door = trust(server)
    refused = await asyncio.gather(*(refusal(door, signed(header(kid=f"r-{n}"), claims())) for n in range(50)))
    assert {one.reason for one in refused} == {"key"}
    client = door.clients.of(refused[0].tenant or "") or next(iter(door.clients))
    keys = PublicKeys(server.fetch)
    server.asked.clear()
    assert not any(await asyncio.gather(*(knows(keys, client, f"random-{n}", T + n * 0.05) for n in range(1000))))
    assert len(server.asked) == 1


async def test_c99_a_new_key_is_found_by_one_more_fetch(server: KeyServer, client: Client) -> None:
    keys = PublicKeys(server.fetch)
    assert await knows(keys, client, "ec-1", T)
    server.keys += public(key("ec-2"))
    assert not await knows(keys, client, "ec-2", T + 59)
    assert await knows(keys, client, "ec-2", T + MINUTE)
    assert len(server.asked) == 2


@pytest.mark.proves("R7", "rotation with overlap: 0 of 10,000 calls refused")
async def test_r7_a_rotation_with_overlap_refuses_nobody(server: KeyServer, client: Client) -> None:
    """10,000 calls in 100 minutes; every 20 minutes a key is published and used a minute later."""
    keys = PublicKeys(server.fetch)
    server.keys = _published(0)
    for call in range(10_000):
        second = call * 0.6
        server.keys = _published(second)
        generation = int(max(0.0, second - MINUTE) // 1200)
        assert await knows(keys, client, f"ec-{generation}", T + second), second
    assert len(server.asked) <= 6000 / 300


def _published(second: float) -> list[Json]:
    newest = int(second // 1200)
    overlap = second % 1200 < 700 and newest > 0
    return [{**public(key())[0], "kid": f"ec-{generation}"} for generation in range(newest - overlap, newest + 1)]


@pytest.mark.proves("R7", "100 callers at a cold start: 1 fetch")
async def test_r7_at_a_cold_start_all_callers_share_one_fetch(server: KeyServer, client: Client) -> None:
    keys = PublicKeys(server.fetch)
    server.open.clear()
    calls = [asyncio.create_task(knows(keys, client, "ec-1", T)) for _ in range(100)]
    await settled()
    calls[0].cancel()  # who hangs up takes nothing away from the others
    await settled()
    server.open.set()
    assert all(await asyncio.gather(*calls[1:]))
    assert len(server.asked) == 1


@pytest.mark.proves("R7", "stale keys serve for 24 h of failures, and not after")
@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (500, None, None),
        (302, None, None),
        (404, None, None),
        (200, b"", None),
        (200, b"<html>", None),
        (200, b"[]", None),
        (200, b'{"keys":{}}', None),
        (200, b'{"keys":[1]}', None),
        (200, b'{"keys":' + b"[" * 50_000, None),
        (200, b'{"keys":[],"x":"' + b"x" * 65_536 + b'"}', None),
        (200, b'{"keys":[' + b",".join([b"{}"] * 21) + b"]}", None),
        (200, b'{"keys":["\xff"]}', None),
        (200, None, OSError("connection refused")),
        (200, None, DataUnavailable("no")),
        (200, None, RuntimeError("a bug")),
    ],
)
async def test_r7_what_fails_leaves_the_keys_for_a_day(
    status: int, body: bytes | None, fault: Exception | None, server: KeyServer, client: Client
) -> None:
    keys = PublicKeys(server.fetch)
    assert await knows(keys, client, "ec-1", T)
    server.status, server.body, server.fault = status, body, fault
    for hour in range(1, 24):
        assert await knows(keys, client, "ec-1", T + hour * 3600)
    assert not await knows(keys, client, "ec-1", T + STALE_SECONDS)
    server.status, server.body, server.fault = 200, None, None
    assert await knows(keys, client, "ec-1", T + STALE_SECONDS + MINUTE)


async def test_r7_a_failing_issuer_is_asked_once_a_minute_and_not_waited_for(server: KeyServer, client: Client) -> None:
    keys = PublicKeys(server.fetch)
    assert await knows(keys, client, "ec-1", T)
    server.fault = OSError()
    for second in range(600, 1200):
        assert await knows(keys, client, "ec-1", T + second)
        await settled()
    assert len(server.asked) == 1 + 10
    server.open.clear()  # now it hangs
    async with asyncio.timeout(1):
        assert await knows(keys, client, "ec-1", T + 1200)
    server.open.set()
    await settled()


async def test_r7_an_issuer_that_never_answered_is_asked_again_after_five_seconds(server: KeyServer) -> None:
    door = trust(server)
    server.fault = OSError()
    for second in range(10):
        assert (await refusal(door, token(), now=NOW + timedelta(seconds=second))).reason == "key"
    assert len(server.asked) == 2
    server.fault = None
    await accepted(door, token(), now=NOW + timedelta(seconds=10))


async def test_r7_a_hanging_issuer_is_given_up(
    server: KeyServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cds.trust.jwks.FETCH_SECONDS", 0.01)
    server.open.clear()
    assert not await knows(PublicKeys(server.fetch), client, "ec-1", T)


async def test_r7_a_clock_that_is_set_back_does_not_stop_the_asking(server: KeyServer, client: Client) -> None:
    keys = PublicKeys(server.fetch)
    assert not await knows(keys, client, "ec-2", T + 86_400)
    server.keys += public(key("ec-2"))
    assert await knows(keys, client, "ec-2", T)


WEAK: dict[str, Callable[[], Json]] = {
    "RSA of 1024 bits": lambda: _rsa_numbers(1024),
    "RSA of 2048 bits, by leading zeros": lambda: _rsa_numbers(1024, zeros=200),
    "RSA of 16384 bits": lambda: _rsa_numbers(16_384),
    "a secret": lambda: {"kty": "oct", "k": "c2VjcmV0"},
    "EC on P-521": lambda: public(key("p521", "P-521"))[0],
    "EC on no curve": lambda: {**public(key())[0], "crv": ["P-384"]},
    "EC off its curve": lambda: {**public(key())[0], "y": public(key("other"))[0]["y"]},
    "EC without y": lambda: {name: value for name, value in public(key())[0].items() if name != "y"},
    "for encryption": lambda: public(key(), use="enc")[0],
    "for signing only": lambda: public(key(), key_ops=["sign"])[0],
    "operations that are none": lambda: public(key(), key_ops=7)[0],
    "for another algorithm": lambda: public(key(), alg="ES256")[0],
    "an algorithm that is none": lambda: public(key(), alg=["ES384"])[0],
    "published with its private half": lambda: key().as_dict(private=True),
    "no kind": lambda: {"x": 1},
    "x a number": lambda: {**public(key())[0], "x": 1},
    "x no base64": lambda: {**public(key())[0], "x": "\u00e9"},
    "n a number": lambda: {"kty": "RSA", "n": 5, "e": "AQAB"},
    "e even": lambda: {**public(key("rsa-1", "RSA"))[0], "e": "Ag"},
}


def _rsa_numbers(bits: int, zeros: int = 0) -> Json:
    """A modulus of that many bits; that it has no factors that we know does not matter to who only verifies."""
    return {"kty": "RSA", "n": b64(bytes(zeros) + ((1 << (bits - 1)) + 1).to_bytes(bits // 8)), "e": "AQAB"}


@pytest.mark.parametrize("name", WEAK)
def test_r7_a_key_that_should_not_verify_is_passed_over(name: str) -> None:
    offered = {**WEAK[name](), "kid": "weak"}
    assert list(read_keys(json.encode({"keys": [offered, *public(key())]}))) == ["ec-1"]
    with pytest.raises(UnusableKeys):
        read_own_keys({"keys": [offered, *public(key())]})


def test_r7_twenty_keys_are_not_too_many() -> None:
    keys = [{**public(key())[0], "kid": f"ec-{n}"} for n in range(20)]
    assert len(read_keys(json.encode({"keys": keys}))) == 20
    with pytest.raises(UnusableKeys, match="more than 20"):
        read_keys(json.encode({"keys": [*keys, *public(key())]}))


def test_r7_keys_without_a_kid_of_their_own_are_passed_over() -> None:
    one = public(key())[0]
    for kid in (None, "", 1, ["ec-1"], {"a": 1}):
        assert read_keys(json.encode({"keys": [{**one, "kid": kid}]})) == {}
    assert read_keys(json.encode({"keys": [one, one]})) == {}
    assert isinstance(read_keys(json.encode({"keys": [one]}))["ec-1"].key, ECKey)
    assert isinstance(read_keys(json.encode({"keys": public(key("rsa-1", "RSA"))}))["rsa-1"].key, RSAKey)
