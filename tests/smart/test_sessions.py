"""A session's life: its token is refreshed once for all, and nothing is left of it when it ends."""

import asyncio
import gc

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.smart import SessionEnded, Sessions, SmartRefused
from cds.smart.sessions import IDLE, LIMIT, LONGEST, Launched
from cds.smart.tickets import LIMIT as TICKETS
from cds.smart.tickets import Tickets
from cds.smart.tokens import Tokens
from tests.smart.ehr import BASE, Json
from tests.smart.world import Clock, World

TOKENS = Tokens("access-canary", "patient/*.rs", 300, "refresh-canary", "patient-7", None, "id-canary")


async def never(refresh_token: str, scope: str) -> Tokens:
    raise AssertionError("nobody refreshes here")


def launched(renew: object = never) -> Launched:
    return Launched("north-clinic", BASE, "Practitioner/dr-1", renew)  # type: ignore[arg-type]


async def ended(one: object) -> SessionEnded:
    with pytest.raises(SessionEnded) as fault:
        await one  # type: ignore[misc]
    return fault.value


@pytest.mark.proves(
    "S19", "refreshed 60 s before expiry; 50 who ask at once make 1 request; rotated token never reused"
)
async def test_a_token_near_its_end_is_refreshed_once_for_all_who_ask(world: World) -> None:
    session = await world.launch()
    assert (await session.access()).token == "access-canary-1"
    assert len(world.ehr.posts) == 1
    for turn in range(1, 4):
        world.clock.forward(seconds=241)
        session.touch()
        got = await asyncio.gather(*(session.access() for _ in range(50)))
        assert {one.token for one in got} == {f"access-canary-r{turn}"}
        assert len(world.ehr.posts) == 1 + turn
    used = [form["refresh_token"] for form in world.ehr.posts[1:]]
    assert used == [f"refresh-canary-{number}" for number in range(3)]


@pytest.mark.proves("S19", "a 401 refreshes once for 20 readers of one token, and their 401s of the old one not again")
async def test_a_token_that_the_server_refuses_is_refreshed_once(world: World) -> None:
    session = await world.launch()
    old = await session.access()
    got = await asyncio.gather(*(session.refused(old) for _ in range(20)))
    assert {one.token for one in got} == {"access-canary-r1"}
    assert (await session.refused(old)).token == "access-canary-r1"
    assert len(world.ehr.posts) == 2


@pytest.mark.proves("S19", "a refused refresh ends the session; neither token is left in it")
async def test_a_refused_refresh_ends_the_session_and_forgets_its_tokens(world: World) -> None:
    session = await world.launch()
    world.ehr.fault = lambda _: httpx.Response(403, json={"error": "invalid_grant"})
    world.clock.forward(seconds=250)
    fault = await ended(session.access())
    assert (fault.reason, fault.tenant) == ("refresh-refused", "north-clinic")
    assert (await ended(session.access())).reason == "session-ended"
    assert "canary" not in str({name: getattr(session, name) for name in vars(session)})


async def test_without_a_refresh_token_a_refused_token_ends_the_session(world: World) -> None:
    world.ehr.change = lambda said: {name: value for name, value in said.items() if name != "refresh_token"}
    session = await world.launch()
    access = await session.access()
    assert (await ended(session.refused(access))).reason == "token-rejected"
    assert session.ended


async def test_a_silent_server_ends_nothing(world: World) -> None:
    session = await world.launch()
    world.ehr.fault = lambda _: httpx.Response(503)
    world.clock.forward(seconds=250)
    with pytest.raises(SmartRefused) as fault:
        await session.access()
    assert fault.value.reason == "unreachable"
    world.ehr.fault = None
    assert (await session.access()).token == "access-canary-r1"


@pytest.mark.proves("S16", "a refresh that names another patient ends the session")
async def test_a_refresh_for_another_patient_ends_the_session(world: World) -> None:
    session = await world.launch()

    def other(said: Json) -> Json:
        return said | {"patient": "patient-8"}

    world.ehr.change = other
    world.clock.forward(seconds=250)
    assert (await ended(session.access())).reason == "another-patient"
    assert session.patient_id == "patient-7"


async def test_a_reader_who_hangs_up_does_not_lose_the_next_token(world: World) -> None:
    session = await world.launch()
    world.clock.forward(seconds=250)
    first = asyncio.create_task(session.access())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert (await session.access()).token == "access-canary-r1"
    assert len(world.ehr.posts) == 2


@pytest.mark.proves("R41", "ends after 15 idle minutes, with its token when it cannot be refreshed, after 8 h at most")
async def test_a_session_ends_when_idle_with_its_token_and_after_a_day_of_work() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    idle = sessions.open(launched(), TOKENS)
    clock.forward(minutes=14, seconds=59)
    assert sessions.find(idle.id) is idle
    clock.forward(seconds=1)
    with pytest.raises(SessionEnded):
        sessions.find(idle.id)
    once = sessions.open(launched(), Tokens("t", "s", 300, None, "patient-7", None, None))
    clock.forward(seconds=299)
    assert (await once.access()).expires_in == 1
    clock.forward(seconds=1)
    assert (await ended(once.access())).reason == "session-ended"
    busy = sessions.open(launched(), TOKENS)
    for _ in range(int(LONGEST / IDLE) * 2 - 1):
        clock.forward(seconds=IDLE.total_seconds() / 2)
        sessions.find(busy.id).touch()
    clock.forward(seconds=IDLE.total_seconds() / 2)
    with pytest.raises(SessionEnded):
        sessions.find(busy.id)
    assert len(sessions) == 0


async def test_a_token_whose_life_is_not_said_serves_an_hour_at_most() -> None:
    clock = Clock()
    session = Sessions(clock).open(launched(), Tokens("t", "s", None, None, "patient-7", None, None))
    assert (await session.access()).expires_in == 3600


def test_knowing_a_sessions_id_keeps_it_neither_open_nor_alive() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    session = sessions.open(launched(), TOKENS)
    cookie = session.new_cookie()
    for guess in ("", cookie[:-1], session.id, "x" * 43):
        assert not session.holds(guess)
    assert session.holds(cookie)
    session.end()
    assert not session.holds(cookie)
    assert not session.holds("")


@pytest.mark.proves("R41", "closed: 0 tokens left in the process that the session held")
def test_a_closed_session_holds_no_token() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    session = sessions.open(launched(), Tokens("access-" + "q" * 9, "s", 300, "refresh-" + "q" * 9, "p", None, None))
    sessions.close(session)
    gc.collect()
    assert not any(isinstance(one, Tokens) and "q" * 9 in one.access_token for one in gc.get_objects())
    with pytest.raises(SessionEnded):
        sessions.find(session.id)


def test_the_number_of_sessions_is_bounded_and_the_oldest_goes() -> None:
    clock = Clock()
    sessions = Sessions(clock, limit=20)
    opened = [sessions.open(launched(), TOKENS) for _ in range(50)]
    assert len(sessions) == 20
    assert [one.ended for one in opened] == [True] * 30 + [False] * 20
    assert LIMIT >= 20


@pytest.mark.proves("S23", "1,000 sessions: no two share an id, and no cookie opens any other, 0 of 9,900 tries")
def test_no_session_opens_with_the_cookie_of_another() -> None:
    sessions = Sessions(Clock())
    opened = [sessions.open(launched(), TOKENS) for _ in range(1_000)]
    assert len({one.id for one in opened}) == 1_000
    held = [(one, one.new_cookie()) for one in opened[:100]]
    assert all(one.holds(cookie) is (one is other) for one, _ in held for other, cookie in held)


def test_a_session_and_its_access_print_nothing() -> None:
    session = Sessions(Clock()).open(launched(), TOKENS)
    assert repr(session) == "Session(north-clinic)"
    assert "canary" not in repr(session._tokens)


@given(st.lists(st.tuples(st.sampled_from(["give", "spend", "wait"]), st.integers(0, 5)), max_size=80))
def test_a_ticket_opens_one_page_or_a_double_click(steps: list[tuple[str, int]]) -> None:
    clock = Clock()
    tickets = Tickets(clock)
    given_: list[str] = []
    spent: dict[str, list[tuple[float, str]]] = {}
    for step, number in steps:
        if step == "give":
            given_.append(tickets.give())
        elif step == "wait":
            clock.forward(seconds=number)
        elif given_:
            ticket, form = given_[-1 - number % len(given_)], f"form {number % 2}"
            now = clock().timestamp()
            uses = spent.setdefault(ticket, [])
            twice = len(uses) == 1 and uses[0][1] == form and now - uses[0][0] <= 3
            assert tickets.spend(ticket, form) is ((not uses or twice) and ticket in given_[-TICKETS:])
            uses.append((now, form))
        assert not tickets.spend("made up", "form 0")


def test_only_the_last_tickets_are_kept() -> None:
    tickets = Tickets(Clock())
    given_ = [tickets.give() for _ in range(TICKETS + 5)]
    assert [tickets.known(one) for one in given_] == [False] * 5 + [True] * TICKETS
    assert len(set(given_)) == TICKETS + 5
