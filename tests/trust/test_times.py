"""A token is good for a short time only, and a time that is none is a refusal and never a fault."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from cds.trust.claims import check_claims
from cds.trust.clients import Client
from cds.trust.compact import Claims, take_apart
from cds.trust.keys import read_own_keys
from cds.trust.refused import NotTrusted
from tests.trust.ehr import (
    BASE,
    ENDPOINT,
    ISSUER,
    NOW,
    KeyServer,
    T,
    accepted,
    header,
    refusal,
    signed,
    table,
    token,
    trust,
)

URL = BASE + ENDPOINT


skews = st.integers(-120, 120)


@pytest.mark.proves("R5", "generated exp, iat and skew within 120 s either way: accepted exactly inside the rule")
@given(
    exp=st.one_of(st.integers(T - 400, T + 400), skews.map(lambda skew: T + skew)),
    iat=st.one_of(st.integers(T - 700, T + 400), skews.map(lambda skew: T + skew)),
    nbf=st.none() | skews.map(lambda skew: T + skew),
    leeway=st.integers(0, 120),
    age=st.integers(1, 3600),
)
def test_r5_c102_a_token_is_accepted_exactly_inside_the_rule(
    exp: int, iat: int, nbf: int | None, leeway: int, age: int
) -> None:
    client = Client.model_validate(table(leeway_seconds=leeway, max_age_seconds=age))
    inside = exp + leeway > T and iat <= T + leeway and 1 <= exp - iat <= age and (nbf is None or nbf <= T + leeway)
    given_claims = Claims(ISSUER, URL, exp, iat, "jti", nbf=UNSET if nbf is None else nbf)
    assert _accepts(given_claims, client) is inside


@given(skew=skews)
def test_r5_a_clock_that_is_off_by_more_than_the_leeway_is_refused(skew: int) -> None:
    """The EHR's clock is `skew` seconds ahead; its token lives for a minute."""
    client = Client.model_validate(table())
    skewed = Claims(ISSUER, URL, T + skew + 60, T + skew, "jti")
    assert _accepts(skewed, client) is (-90 < skew <= 30)


def _accepts(given_claims: Claims, client: Client) -> bool:
    try:
        check_claims(given_claims, client, [URL], float(T))
    except NotTrusted:
        return False
    return True


NO_TIMES = [
    b"true", b"false", b"null", b'"1777887000"', b'""', b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999",
    b"1e308", b"-1", b"[]", b"{}", b"9" * 30, b"9" * 5000, b"253402300800", b"0x10", b"01", b"1_0", b"",
]  # fmt: skip


@pytest.mark.proves("R5", "what is no time in exp, iat or nbf (booleans, strings, NaN, 1e999): refused, never a fault")
@pytest.mark.parametrize("member", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", NO_TIMES, ids=lambda value: value[:12].decode() or "nothing")
async def test_r5_what_is_no_time_is_refused_and_never_a_fault(member: str, value: bytes, server: KeyServer) -> None:
    parts = [b'"%s":%s' % (name.encode(), str(time).encode()) for name, time in _times(member)]
    text = b'{"iss":"%s","aud":"%s","jti":"j",%s,"%s":%s}' % (
        ISSUER.encode(), URL.encode(), b",".join(parts), member.encode(), value,
    )  # fmt: skip
    refused = await refusal(trust(server), signed(header(), text))
    assert refused.reason in {"unreadable claims", "lifetime", "expired", "issued in the future"}


def _times(without: str) -> list[tuple[str, int]]:
    return [(name, time) for name, time in (("exp", T + 300), ("iat", T)) if name != without]


async def test_r5_a_fraction_of_a_second_is_a_time(server: KeyServer) -> None:
    caller = await accepted(trust(server), token(iat=T + 0.25, exp=T + 60.75, nbf=T - 300.5))
    assert caller.tenant == "general-hospital"


@pytest.mark.proves("C102", "each bound of exp, iat, nbf and life: refused with its own reason")
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": T + 301}, "lifetime"),
        ({"exp": T + 3600 * 24 * 365}, "lifetime"),
        ({"exp": T, "iat": T}, "lifetime"),
        ({"exp": T - 5, "iat": T}, "lifetime"),
        ({"exp": T - 30, "iat": T - 60}, "expired"),
        ({"exp": T + 60, "iat": T + 31}, "issued in the future"),
        ({"nbf": T + 31}, "not yet valid"),
    ],
)
async def test_r5_c102_each_bound_refuses(changed: dict[str, int], reason: str, server: KeyServer) -> None:
    assert (await refusal(trust(server), token(**changed))).reason == reason


async def test_c102_a_not_before_five_minutes_earlier_is_taken(server: KeyServer) -> None:
    caller = await accepted(trust(server), token(nbf=T - 300))
    assert caller.tenant == "general-hospital"


SPEC_EXAMPLE = (
    "eyJhbGciOiJFUzM4NCIsInR5cCI6IkpXVCIsImtpZCI6ImV4YW1wbGUta2lkIiwiamt1IjoiaHR0cHM6Ly9maGlyLWVoci5leGFtcGxlLmNv"
    "bS9qd2tfdXJpIn0.eyJpc3MiOiJodHRwczovL2ZoaXItZWhyLmV4YW1wbGUuY29tLyIsImF1ZCI6Imh0dHBzOi8vY2RzLmV4YW1wbGUub3Jn"
    "L2Nkcy1zZXJ2aWNlcy9zb21lLXNlcnZpY2UiLCJleHAiOjE0MjI1Njg4NjAsImlhdCI6MTMxMTI4MDk3MCwianRpIjoiZWUyMmIwMjEtZTFi"
    "Ny00NjExLWJhNWItOGVlYzZhMzNhYzFlIiwidGVuYW50IjoiMmRkZDZjM2EtOGU5YS00NGM2LWEzMDUtNTIxMTFhZDMwMmEyIn0.d1WfLjGR"
    "KlcWB94l9do4cM8REXeYJLL6SGUBO8VHZhfM8mwKYP70EMxJ67War4TQblEpaQrp11wx5p7oPFm2ETYgCicS84vXWEIYTdjooZdooCSDf2L8"
    "-i4awdoUwiEb"
)
"""The example of the CDS Hooks specification, section on mutual authentication; it lives for three and a half years."""

SPEC_KEY = {
    "kty": "EC",
    "use": "sig",
    "crv": "P-384",
    "kid": "example-kid",
    "x": "46SDH7Znh821wblCBglA61sNE9ZrHYKKt3qRtRTmSXyOI_FIGBLWrWa0GPUkDCEk",
    "y": "XMcRuuoGW7CXjQdy-F5i3FeBE0x9hPLdeFdSoDd3ELmx404tLX0VRRcqzAsPhXcI",
    "alg": "ES384",
}


@pytest.mark.proves("C105", "the published example: good signature, refused for its life")
async def test_c105_the_specifications_example_is_signed_well_and_refused_for_its_age() -> None:
    jws = take_apart(SPEC_EXAMPLE)
    assert read_own_keys({"keys": [SPEC_KEY]})["example-kid"].verifies("ES384", jws.signed, jws.signature)
    jwks_url = "https://fhir-ehr.example.com/jwk_uri"
    ehr = table(
        issuer="https://fhir-ehr.example.com/", jwks_url=jwks_url, jwks={"keys": [SPEC_KEY]}, max_age_seconds=3600
    )
    door = trust(KeyServer(), ehr, bases=("https://cds.example.org",))
    for now in (NOW, NOW.replace(year=2014)):
        assert (await refusal(door, SPEC_EXAMPLE, "/cds-services/some-service", now)).reason == "lifetime"
