"""Every token that a registered EHR did not sign for this endpoint is refused, and all in the same words."""

import asyncio
import json as stdlib_json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from cds.trust import bearer
from cds.trust.compact import take_apart
from cds.trust.refused import NotTrusted
from tests.trust.ehr import (
    BASE,
    ENDPOINT,
    ISSUER,
    JWKS_URL,
    NOW,
    SERVICE,
    Json,
    KeyServer,
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

P256 = "ec-256"
RSA = "rsa-1"


@pytest.fixture
def server() -> KeyServer:
    return KeyServer(*public(key(), key(P256, "P-256"), key(RSA, "RSA"), key("other-use")))


def pem(of: ECKey | RSAKey) -> bytes:
    return of.as_pem(private=False)


def two_signatures() -> str:
    """The JSON serialisation, which may carry several signatures; ours is among them."""
    parts = token().split(".")
    one = {"protected": parts[0], "signature": parts[2]}
    return stdlib_json.dumps({"payload": parts[1], "signatures": [one, one]})


def raw_claims(old: bytes, new: bytes) -> bytes:
    text = stdlib_json.dumps(claims(), separators=(",", ":")).encode()
    assert old in text
    return text.replace(old, new)


def text_of(members: Json) -> bytes:
    return stdlib_json.dumps(members, separators=(",", ":")).encode()


BAD: dict[str, tuple[str, Callable[[], str]]] = {
    "alg none, unsigned": ("not a compact JWS", lambda: f"{b64(header(alg='none'))}.{b64(claims())}."),
    "alg none, with a signature": ("alg", lambda: signed(header(alg="none"), claims(), algorithm="ES384")),
    "alg None": ("alg", lambda: signed(header(alg="None"), claims(), algorithm="ES384")),
    "alg nOnE": ("alg", lambda: signed(header(alg="nOnE"), claims(), algorithm="ES384")),
    "alg empty": ("alg", lambda: signed(header(alg=""), claims(), algorithm="ES384")),
    "alg absent": ("unreadable header", lambda: signed(header(alg=None), claims())),
    "alg null": ("unreadable header", lambda: signed({**header(), "alg": None}, claims(), algorithm="ES384")),
    "HS256 keyed with the public key's PEM": (
        "alg",
        lambda: signed(header(alg="HS256"), claims(), pem(key())),
    ),
    "HS256 keyed with the RSA key's PEM": (
        "alg",
        lambda: signed(header(alg="HS256", kid=RSA), claims(), pem(key(RSA, "RSA"))),
    ),
    "HS384": ("alg", lambda: signed(header(alg="HS384"), claims(), b"x" * 48)),
    "HS512": ("alg", lambda: signed(header(alg="HS512"), claims(), b"x" * 64)),
    "RS256, which this client may not use": (
        "alg",
        lambda: signed(header(alg="RS256", kid=RSA), claims(), key(RSA, "RSA")),
    ),
    "ES256 with its own key, not configured": (
        "alg",
        lambda: signed(header(alg="ES256", kid=P256), claims(), key(P256, "P-256")),
    ),
    "ES256 over a P-384 key": ("alg", lambda: signed(header(alg="ES256"), claims(), key())),
    "ES384 over a P-256 key": (
        "key does not fit alg",
        lambda: signed(header(kid=P256), claims(), key(P256, "P-256"), algorithm="ES256"),
    ),
    "ES384 naming an RSA key": ("key does not fit alg", lambda: signed(header(kid=RSA), claims())),
    "RS384 naming an EC key": ("key does not fit alg", lambda: signed(header(alg="RS384"), claims(), key(RSA, "RSA"))),
    "PS384 signed as RS384": (
        "signature",
        lambda: signed(header(alg="RS384", kid=RSA), claims(), key(RSA, "RSA"), algorithm="PS384"),
    ),
    "embedded jwk": (
        "header member refused",
        lambda: signed(header(jwk=public(key("evil"))[0], kid="evil"), claims(), key("evil")),
    ),
    "x5u": ("header member refused", lambda: signed(header(x5u="https://evil.example/c.pem"), claims())),
    "x5c": ("header member refused", lambda: signed(header(x5c=["MIIB"]), claims())),
    "crit": ("header member refused", lambda: signed(header(crit=["exp"]), claims())),
    "b64 false": ("header member refused", lambda: signed(header(b64=False, crit=["b64"]), claims())),
    "no kid": ("unreadable header", lambda: signed(header(kid=None), claims())),
    "kid a number": ("unreadable header", lambda: signed(header(kid=1), claims())),
    "kid unknown": ("key", lambda: signed(header(kid="ec-2"), claims())),
    "kid with a path": ("key", lambda: signed(header(kid="../../dev/null"), claims(), b"", "HS384")),
    "kid twice in the header": (
        "unreadable header",
        lambda: signed(b'{"alg":"ES384","typ":"JWT","kid":"evil","kid":"ec-1"}', claims()),
    ),
    "no typ": ("typ", lambda: signed(header(typ=None), claims())),
    "typ at+jwt": ("typ", lambda: signed(header(typ="at+jwt"), claims())),
    "typ JOSE": ("typ", lambda: signed(header(typ="JOSE"), claims())),
    "another's signature": ("signature", lambda: signed(header(), claims(), key("evil"))),
    "an all-zero signature (r = s = 0)": ("signature", lambda: f"{b64(header())}.{b64(claims())}.{b64(bytes(96))}"),
    "a DER signature": ("signature", lambda: f"{b64(header())}.{b64(claims())}.{b64(b'0' * 104)}"),
    "claims exchanged": (
        "signature",
        lambda: ".".join([token().split(".")[0], b64(claims(sub="x")), token().split(".")[2]]),
    ),
    "two signatures": ("not a compact JWS", two_signatures),
    "four parts": ("not a compact JWS", lambda: f"{token()}.{b64(b'x')}"),
    "five parts, as if encrypted": ("not a compact JWS", lambda: f"{token()}.a.b"),
    "no signature": ("not a compact JWS", lambda: token().rpartition(".")[0]),
    "truncated": ("signature", lambda: token()[:-7]),
    "truncated to nothing decodable": ("signature", lambda: f"{token().rpartition('.')[0]}.A"),
    "a dot at the end": ("not a compact JWS", lambda: f"{token()}."),
    "a space at the end": ("not a compact JWS", lambda: f"{token()} "),
    "a line break within": ("not a compact JWS", lambda: token().replace(".", ".\n", 1)),
    "padded": ("not a compact JWS", lambda: f"{token()}="),
    "standard base64": ("not a compact JWS", lambda: f"{token()[:-2]}+/"),
    "letters that are none of base64's": ("not a compact JWS", lambda: f"{token()[:-1]}\uff21"),
    "too long": ("too long", lambda: token(sub="x" * 8192)),
    "empty": ("not a compact JWS", lambda: ""),
    "header no JSON": ("unreadable header", lambda: signed(b"ES384", claims())),
    "header an array": ("unreadable header", lambda: signed(b"[]", claims())),
    "header no UTF-8": ("unreadable header", lambda: signed(b'{"alg":"ES384","typ":"JWT","kid":"\xff"}', claims())),
    "header nested without end": (
        "unreadable header",
        lambda: signed(b'{"alg":"ES384","typ":"JWT","kid":"ec-1","x":' + b"[" * 5000, claims()),
    ),
    "claims nested without end": ("unreadable claims", lambda: signed(header(), b'{"x":' + b"[" * 5000)),
    "claims with a byte order mark": (
        "unreadable claims",
        lambda: signed(header(), b"\xef\xbb\xbf" + text_of(claims())),
    ),
    "claims with NaN beside": ("unreadable claims", lambda: signed(header(), raw_claims(b"{", b'{"x":NaN,'))),
    "iss twice": ("unreadable claims", lambda: signed(header(), raw_claims(b"{", b'{"iss":"https://evil.example",'))),
    "no iss": ("unreadable claims", lambda: token(iss=None)),
    "no aud": ("unreadable claims", lambda: token(aud=None)),
    "no exp": ("unreadable claims", lambda: token(exp=None)),
    "no iat": ("unreadable claims", lambda: token(iat=None)),
    "no jti": ("unreadable claims", lambda: token(jti=None)),
    "jti empty": ("unreadable claims", lambda: token(jti="")),
    "jti a number": ("unreadable claims", lambda: token(jti=7)),
    "jti with a NUL": ("unreadable claims", lambda: token(jti="a\0b")),
    "jti of 256 letters": ("unreadable claims", lambda: token(jti="j" * 256)),
    "sub with a line break": ("unreadable claims", lambda: token(sub="a\nb")),
    "aud empty": ("audience", lambda: token(aud=[])),
    "aud an object": ("unreadable claims", lambda: token(aud={"a": BASE})),
}


@pytest.mark.proves("C99", "no kid, unknown kid, kid twice, no typ, another typ: refused")
@pytest.mark.proves("R1", "69 bad tokens: each refused, in one and the same words")
@pytest.mark.parametrize("name", BAD)
async def test_r1_c97_c98_c99_a_bad_token_is_refused(name: str, server: KeyServer) -> None:
    reason, make = BAD[name]
    door = trust(server)
    refused = await refusal(door, make())
    assert refused.reason == reason
    assert refused.message == str(refused) == "the caller is not trusted"
    assert refused.__cause__ is None
    await accepted(door, token())  # and nothing is used up by it


@pytest.mark.proves("R1", "25 of 25 bad tokens refused: 53 of the 69 are bad in form, header, key or signature")
def test_r1_there_are_at_least_25_bad_tokens_besides_claims() -> None:
    assert sum(reason not in {"unreadable claims", "audience"} for reason, _ in BAD.values()) >= 25


async def test_c98_what_is_configured_beyond_the_default_is_taken(server: KeyServer) -> None:
    door = trust(server, table(algorithms=["RS256", "PS384", "ES256"]))
    keys = {"RS256": key(RSA, "RSA"), "PS384": key(RSA, "RSA"), "ES256": key(P256, "P-256")}
    for name, by in keys.items():
        caller = await accepted(door, signed(header(alg=name, kid=by.kid), claims(jti=name), by))
        assert (caller.kid, caller.jti, caller.subject, caller.tenant) == (
            by.kid,
            name,
            "ehr-client",
            "general-hospital",
        )
    assert (await refusal(door, token())).reason == "alg"


@pytest.mark.proves("C98", "ES384 and RS384 taken by default; HS256, HS384, HS512, none and RS256 among the 69 refused")
async def test_c98_both_recommended_algorithms_are_taken_by_default(server: KeyServer) -> None:
    door = trust(server)
    rs384 = signed(header(alg="RS384", kid=RSA), claims(jti="jti-2"), key(RSA, "RSA"))
    for one in (token(), rs384):
        assert (await accepted(door, one)).tenant == "general-hospital"


async def test_r1_es256_over_a_p384_key_is_refused_where_es256_is_allowed(server: KeyServer) -> None:
    door = trust(server, table(algorithms=["ES256", "ES384"]))
    assert (await refusal(door, signed(header(alg="ES256"), claims()))).reason == "key does not fit alg"


async def test_r1_a_kid_that_two_keys_share_is_no_key(server: KeyServer) -> None:
    server.keys += public(key("ec-1", "P-256"))
    assert (await refusal(trust(server), token())).reason == "key"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.proves("R1", "100 generated texts: each refused, no other exception")
@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
def test_r1_any_text_is_a_refusal_and_never_a_fault(text: str) -> None:
    with pytest.raises(NotTrusted):
        take_apart(text)


@pytest.mark.proves(
    "R5", "100 generated values of header and claims, NaN and Infinity among them: each refused, no other exception"
)
@given(st.sampled_from([*header(), "jku", "x"]), st.sampled_from([*claims(), "nbf", "tenant", "x"]), anything, anything)
def test_r1_r5_any_value_of_any_member_is_accepted_or_refused_and_never_a_fault(
    in_header: str, in_claims: str, value: object, other: object
) -> None:
    sent = ".".join([_b64({**header(), in_header: value}), _b64({**claims(), in_claims: other}), b64(bytes(96))])
    with pytest.raises(NotTrusted):
        asyncio.run(trust(KeyServer(*public(key()))).verify(sent, ENDPOINT, NOW))


def _b64(members: Json) -> str:
    """As Python writes it: with NaN and Infinity, which are no JSON."""
    return b64(text_of(members))


NEAR_MISSES = [
    f"{ISSUER}/",
    ISSUER.upper(),
    ISSUER.replace("ehr", "EHR"),
    ISSUER.replace("https", "http"),
    ISSUER.removesuffix("2"),
    f"{ISSUER}2",
    f" {ISSUER}",
    f"{ISSUER}\0",
    ISSUER.replace("ehr.example.org", "ehr.example.org:443"),
    ISSUER.replace("e", "\u0435"),
    f"{ISSUER}?",
    ISSUER.replace("/oauth2", "/./oauth2"),
]


@pytest.mark.proves("R2", "12 near misses of the issuer: 0 accepted, 0 fetches")
@pytest.mark.parametrize("issuer", NEAR_MISSES, ids=range(len(NEAR_MISSES)))
async def test_r2_c100_a_near_miss_is_not_the_issuer(issuer: str, server: KeyServer) -> None:
    refused = await refusal(trust(server), token(iss=issuer))
    assert (refused.reason, refused.tenant, server.asked) == ("issuer", None, [])


HOSTILE_JKU = [
    *(f"https://{host}/jwks" for host in (
        "evil.example", "169.254.169.254", "[::1]", "127.0.0.1", "localhost", "[::ffff:169.254.169.254]", "2852039166",
        "0xa9fea9fe", "[64:ff9b::a9fe:a9fe]", "ehr.example.org.evil.example", "ehr.example.org@evil.example",
        "evil.example#ehr.example.org", "evil.example?ehr.example.org", "ehr.example.org:8443", "ehr.example.org.",
        "EHR.example.org", "ehr.example.org%2eevil.example", "\u0435hr.example.org", "xn--hr-hlc.example.org",
    )),
    *(f"{JWKS_URL}{tail}" for tail in ("/", "?", "#", "?x=1", "#x", "/..", "%20", " ", ".json", "\t", "\0", "//")),
    *(JWKS_URL.replace("https", scheme) for scheme in ("http", "HTTPS", "file", "ftp", "gopher", "data", "ldap")),
    *(JWKS_URL.replace("/oauth2", path) for path in ("/oauth2/.", "/x/../oauth2", "//oauth2", "\\oauth2", "/OAuth2")),
    "", "jwks", "//ehr.example.org/oauth2/jwks", JWKS_URL.removesuffix("s"), f" {JWKS_URL}", ISSUER, BASE,
    f"{BASE}{ENDPOINT}",
]  # fmt: skip


@pytest.mark.proves("R3", "51 hostile jku: 0 requests")
async def test_r3_c100_fifty_hostile_jku_cause_no_fetch(server: KeyServer) -> None:
    assert len(set(HOSTILE_JKU)) >= 50
    door = trust(server)
    for jku in HOSTILE_JKU:
        assert (await refusal(door, signed(header(jku=jku), claims()))).reason == "jku"
    assert server.asked == []


async def test_r3_c99_a_jku_equal_to_the_pin_is_only_the_pin(server: KeyServer) -> None:
    await accepted(trust(server), signed(header(jku=JWKS_URL), claims()))
    assert server.asked == [JWKS_URL]


async def test_r3_keys_written_down_are_never_fetched(server: KeyServer) -> None:
    own = {"keys": public(key())}
    await accepted(trust(server, table(jwks=own)), signed(header(jku=JWKS_URL), claims()))
    await accepted(trust(server, table(jwks=own, jwks_url=None)), token())
    refused = await refusal(trust(server, table(jwks=own, jwks_url=None)), signed(header(jku=JWKS_URL), claims()))
    assert (refused.reason, server.asked) == ("jku", [])


@pytest.mark.proves("C100", "one issuer with the key of another: refused")
async def test_c100_one_issuers_key_is_no_key_of_another(server: KeyServer) -> None:
    other = table(tenant="other", issuer="https://other.example", jwks_url="https://other.example/jwks")
    door = trust(server, table(jwks={"keys": public(key("evil"))}), other)
    assert (await refusal(door, token())).reason == "key"
    refused = await refusal(door, signed(header(jku="https://other.example/jwks"), claims()))
    assert (refused.reason, refused.tenant) == ("jku", "general-hospital")


OTHER_AUDIENCES: list[object] = [
    f"{BASE}/cds-services",
    f"{BASE}{ENDPOINT}/feedback",
    f"{BASE}/cds-services/other",
    f"{BASE}{ENDPOINT}//",
    f"{BASE}{ENDPOINT}?x",
    f"{BASE}{ENDPOINT}#",
    f"{BASE}{ENDPOINT[:-1]}",
    f"{BASE}{ENDPOINT}x",
    BASE,
    ENDPOINT,
    BASE.replace("https", "http") + ENDPOINT,
    "https://cds.example.org.evil.example" + ENDPOINT,
    "*",
    "",
    [f"{BASE}/cds-services", BASE],
    f"{BASE}{ENDPOINT} {BASE}{ENDPOINT}",
]


@pytest.mark.proves("R4", "16 audiences that are not the endpoint: 0 accepted")
@pytest.mark.parametrize("aud", OTHER_AUDIENCES, ids=range(len(OTHER_AUDIENCES)))
async def test_r4_c101_a_token_for_another_url_is_refused(aud: object, server: KeyServer) -> None:
    assert (await refusal(trust(server), token(aud=aud))).reason == "audience"


@pytest.mark.proves("R4", "a service's token at discovery, at feedback and at another service: refused")
@pytest.mark.parametrize("endpoint", ["/cds-services", f"{ENDPOINT}/feedback", "/cds-services/other"])
async def test_r4_c92_c101_a_services_token_is_for_that_service_only(endpoint: str, server: KeyServer) -> None:
    assert (await refusal(trust(server), token(), endpoint)).reason == "audience"
    await accepted(trust(server), token(aud=BASE + endpoint), endpoint)


@pytest.mark.proves("C101", "the exact URL, alone or in an array, at 3 endpoints: taken")
@pytest.mark.parametrize("aud", [BASE + ENDPOINT, f"{BASE}{ENDPOINT}/", [BASE + ENDPOINT], ["x", BASE + ENDPOINT]])
@pytest.mark.parametrize("endpoint", [ENDPOINT, f"{ENDPOINT}/"])
async def test_c101_the_exact_url_alone_or_in_an_array(aud: object, endpoint: str, server: KeyServer) -> None:
    caller = await accepted(trust(server), token(aud=aud), endpoint)
    assert (caller.tenant, caller.jti) == ("general-hospital", "jti-1")


async def test_c101_a_server_may_be_known_under_several_urls(server: KeyServer) -> None:
    door = trust(server, bases=(f"{BASE}/", "https://inside.example:8443/bedside"))
    outside = await accepted(door, token())
    inside = await accepted(door, token(aud=f"https://inside.example:8443/bedside{ENDPOINT}", jti="jti-2"))
    assert (outside.jti, inside.jti) == ("jti-1", "jti-2")


@pytest.mark.proves("C104", "a tenant that is not listed, and none: refused")
async def test_c104_the_tokens_tenant_is_checked_where_the_site_lists_it(server: KeyServer) -> None:
    door = trust(server, table(token_tenants=["ward-1"]))
    assert (await refusal(door, token(tenant="ward-2"))).reason == "tenant"
    assert (await refusal(door, token())).reason == "tenant"
    await accepted(door, token(tenant="ward-1"))


async def test_r34_a_client_calls_only_its_own_services(server: KeyServer) -> None:
    door = trust(server, table(services=["other"]))
    assert (await refusal(door, token(), service=SERVICE)).reason == "service"
    await accepted(trust(server, table(services=[SERVICE])), token())


@pytest.mark.parametrize(
    "headers",
    [[], ["Bearer"], ["Bearer "], ["Basic dXNlcjpwYXNz"], ["token"], ["Bearer a", "Bearer b"], ["", "Bearer a"], [""]],
)
def test_c97_without_one_bearer_token_nobody_is_trusted(headers: list[str]) -> None:
    with pytest.raises(NotTrusted) as refused:
        bearer(headers)
    assert (refused.value.reason, str(refused.value)) == ("no token", "the caller is not trusted")


def test_c97_the_scheme_has_no_case() -> None:
    assert bearer(["Bearer a.b.c"]) == bearer(["bearer a.b.c"]) == "a.b.c"


async def test_c104_a_refusal_holds_nothing_of_the_token(server: KeyServer) -> None:
    canary = "canary-5b1f"
    for sent in (token(jti=canary, aud=canary), token(sub=canary, exp=canary), signed(header(kid=canary), claims())):
        refused = await refusal(trust(server), sent)
        assert canary not in f"{refused!r} {vars(refused)}"
        assert sent not in f"{refused!r} {vars(refused)}"
