"""The authorization request, and the launches that are on their way."""

from base64 import urlsafe_b64encode
from contextlib import nullcontext
from hashlib import sha256
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from cds.smart import SmartRefused
from cds.smart.app import returned
from cds.smart.authorize import Pending, pending, request
from cds.smart.discovery import Configuration
from cds.smart.launches import Launches, handle
from tests.smart.ehr import AUTHORIZE, BASE, CLIENT, TOKEN
from tests.smart.world import REDIRECT, Clock, World, asked, client

URLSAFE = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def one(
    clock: Clock, launch: str | None = "launch-1", scope: str = "launch", by: str = "", **configuration: object
) -> Pending:
    found = Configuration(AUTHORIZE, TOKEN, **configuration)  # type: ignore[arg-type]
    return pending(
        tenant="north-clinic", base=BASE, client_id=CLIENT, redirect_uri=REDIRECT, scope=scope, launch=launch,
        configuration=found, began=clock(), by=by,
    )  # fmt: skip


def reason(launches: Launches, state: str | None) -> str:
    with pytest.raises(SmartRefused) as refused:
        launches.take(state)
    return refused.value.reason


@pytest.mark.proves("S5", "response_type, client_id, exact redirect_uri and aud = FHIR base in 2 of 2 kinds of launch")
@pytest.mark.proves("S6", "launch echoed byte for byte on an EHR launch, absent from a standalone one")
async def test_the_request_says_who_asks_for_what_and_where_to_return(world: World) -> None:
    for launch in ("xyz/ +&=%20", None):
        sent = asked(await world.begin(launch=launch))
        assert (sent["response_type"], sent["client_id"]) == ("code", CLIENT)
        assert (sent["redirect_uri"], sent["aud"]) == (REDIRECT, BASE)
        scopes = sent["scope"].split()
        assert sent.get("launch") == launch
        assert ("launch" in scopes, "launch/patient" in scopes) == (launch is not None, launch is None)


@pytest.mark.proves("S7", "1,000 states: 256 bits each, none twice")
@pytest.mark.proves("R40", "state of 256 bits, single use, 10 minutes; PKCE S256 only")
async def test_a_state_cannot_be_guessed_and_no_two_launches_share_a_secret(world: World) -> None:
    made = [one(world.clock) for _ in range(1_000)]
    secrets = [value for launch in made for value in (launch.state, launch.verifier, launch.nonce, launch.cookie)]
    assert len(set(secrets)) == 4_000
    assert all(len(value) * log2(64) >= 256 and set(value) <= URLSAFE for value in secrets)


@pytest.mark.proves("S8", "S256 sent also where the server advertises nothing, or only plain")
async def test_pkce_is_s256_whatever_the_server_says_that_it_knows(world: World) -> None:
    for methods in (["S256"], ["plain"], [], None):
        world.ehr.configuration["code_challenge_methods_supported"] = methods
        begun = await World(world.ehr.router, None).begin()
        sent = asked(begun)
        expected = urlsafe_b64encode(sha256(begun.pending.verifier.encode()).digest()).rstrip(b"=").decode()
        assert (sent["code_challenge"], sent["code_challenge_method"]) == (expected, "S256")
        assert 43 <= len(begun.pending.verifier) <= 128
        assert begun.pending.verifier not in begun.request.url


@pytest.mark.proves("S9", "posted above 2,000 characters where authorize-post is known, else never; no field lost")
def test_a_long_request_is_posted_where_the_server_takes_it() -> None:
    clock = Clock()
    long = " ".join(f"patient/Observation.rs?category=c{number}" for number in range(60))
    for capabilities, scope, posted in (
        (("authorize-post",), long, True),
        (("authorize-post",), "launch", False),
        ((), long, False),
    ):
        sent = request(one(clock, scope=scope, capabilities=capabilities))
        assert sent.post is posted
        assert sent.action == AUTHORIZE
        fields = dict(sent.fields)
        assert fields["scope"] == scope
        assert {"state", "code_challenge", "aud", "nonce", "launch"} <= set(fields)


def test_an_authorization_endpoint_with_a_query_keeps_it() -> None:
    found = Configuration(f"{AUTHORIZE}?realm=north", TOKEN)
    sent = request(structs.replace(one(Clock()), configuration=found))
    assert ("realm", "north") in sent.fields
    assert sent.url.startswith(f"{AUTHORIZE}?realm=north&response_type=code")


@pytest.mark.proves("S7", "replayed, unknown, expired and missing states each refused by name")
def test_a_state_comes_back_once_and_within_ten_minutes() -> None:
    clock = Clock()
    launches = Launches(clock)
    first, late, last = one(clock), one(clock), one(clock)
    for launch in (first, late, last):
        launches.add(launch)
    assert launches.take(first.state) is first
    assert reason(launches, first.state) == "state-replayed"
    assert reason(launches, "made-up") == "state-unknown"
    assert reason(launches, None) == reason(launches, "") == "state-missing"
    clock.forward(minutes=10)
    assert launches.take(last.state) is last
    clock.forward(seconds=1)
    assert reason(launches, late.state) == "state-expired"


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_other_text_opens_a_launch(state: str, page: str) -> None:
    clock = Clock()
    launches, launch = Launches(clock), one(clock)
    launches.add(launch)
    assert reason(launches, state) in {"state-unknown", "state-missing"}
    held = launches.hold(launches.take(launch.state), "code")
    with pytest.raises(SmartRefused):
        launches.claim(state, page)
    with pytest.raises(SmartRefused) as refused:
        launches.claim(held, page)
    assert refused.value.reason == "other-browser"
    with pytest.raises(SmartRefused):  # guessed at once, and it is gone
        launches.claim(held, launch.page)


@given(st.lists(st.sampled_from(["add", "take", "again", "wait"]), max_size=60))
def test_every_launch_is_taken_at_most_once_however_they_interleave(steps: list[str]) -> None:
    clock = Clock()
    launches = Launches(clock)
    waiting: list[Pending] = []
    taken: set[str] = set()
    for step in steps:
        if step == "add":
            waiting.append(one(clock))
            launches.add(waiting[-1])
        elif step == "wait":
            clock.forward(minutes=3)
        elif waiting:
            launch = waiting[0] if step == "again" else waiting[len(taken) % len(waiting)]
            in_time = (clock() - launch.began).total_seconds() <= 600
            with nullcontext() if in_time and launch.state not in taken else pytest.raises(SmartRefused):
                assert launches.take(launch.state) is launch
            taken.add(launch.state)


def test_the_number_of_launches_under_way_is_bounded() -> None:
    clock = Clock()
    launches = Launches(clock, limit=10)
    made = [one(clock) for _ in range(25)]
    for launch in made:
        launches.add(launch)
    assert len(launches) == 10
    assert reason(launches, made[0].state) == "state-unknown"
    assert launches.take(made[-1].state) is made[-1]
    clock.forward(hours=1)
    launches.add(one(clock))
    assert len(launches) == 1


@pytest.mark.proves("R40", "RFC 9207: a response of another issuer refused, 3 of 3")
async def test_an_answer_of_another_server_is_refused(world: World) -> None:
    launch = (await world.begin()).pending
    for iss in ("https://evil.example", "", "https://ehr.example/"):
        with pytest.raises(SmartRefused) as refused:
            returned(launch, code="code", error=None, iss=iss)
        assert (refused.value.reason, refused.value.tenant) == ("authorization-failed", "north-clinic")
    assert returned(launch, code="code", error=None, iss="https://ehr.example") == "code"


def test_nothing_secret_is_printed() -> None:
    launch = one(Clock())
    shown = f"{launch!r} {request(launch)!r} {client()!r} {handle(launch.state)}"
    for value in (launch.state, launch.verifier, launch.nonce, launch.cookie, launch.page):
        assert value not in shown
