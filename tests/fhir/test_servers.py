"""What callers of one FHIR server share: connections, a breaker and places, and nothing of each other (R49, R50)."""

import asyncio
import json
import time

import httpx
import pytest

from cds.errors import DataUnavailable, WriteRefused
from cds.fhir.breaker import CALLS
from cds.fhir.client import FhirClient
from cds.fhir.servers import CALLERS, FhirServer, Servers
from tests.fhir.loopback import Asked, Loopback, Reply

BASE = "https://ehr.example/fhir"
PATIENT = b'{"resourceType":"Patient","id":"p"}'
ASSESSMENT = {"resourceType": "RiskAssessment", "status": "final", "note": [{"text": "canary-value"}]}


class Scripted:
    """A server that answers by a script, the last answer for ever, and counts what it is asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def says(status: int, content: bytes = PATIENT, **headers: str) -> httpx.Response:
    return httpx.Response(status, content=content, headers={k.replace("_", "-"): v for k, v in headers.items()})


def steady() -> float:
    return 0.0


def client(server: FhirServer, token: str | None = "t", seconds: float = 5.0) -> FhirClient:
    return FhirClient(BASE, token, time.monotonic() + seconds, server=server)


async def read(server: FhirServer, seconds: float = 5.0) -> str:
    """What became of one read: the id that came, or why none did."""
    async with client(server, seconds=seconds) as asking:
        try:
            return str((await asking.first_page("Patient/p"))[0].id)
        except DataUnavailable as fault:
            return fault.message


@pytest.mark.proves(
    "R49", "1 retry, of a GET only: 2 requests for each of 5 passing faults, 1 for each of 6 that are answers"
)
@pytest.mark.parametrize(
    ("first", "tries", "told"),
    [
        (says(500), 2, "p"),
        (says(502), 2, "p"),
        (says(503, retry_after="0"), 2, "p"),
        (httpx.ConnectError("x"), 2, "p"),
        (httpx.ReadTimeout("x"), 2, "p"),
        (says(503, retry_after="60"), 1, "answered 503"),
        (says(503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), 1, "answered 503"),
        (says(429, retry_after="1"), 1, "answered 429"),
        (says(429), 1, "answered 429"),
        (says(401), 1, "answered 401"),
        (says(404), 1, "answered 404"),
    ],
)
async def test_a_read_is_tried_once_more_where_that_may_help(
    first: httpx.Response | Exception, tries: int, told: str
) -> None:
    ehr = Scripted(first, says(200))
    assert told in await read(FhirServer(ehr.transport, jitter=steady))
    assert len(ehr.requests) == tries


async def test_no_read_is_tried_a_third_time() -> None:
    ehr = Scripted(says(500))
    assert await read(FhirServer(ehr.transport, jitter=steady)) == "the FHIR server answered 500"
    assert len(ehr.requests) == 2


async def test_without_time_left_there_is_no_second_try() -> None:
    ehr = Scripted(says(500))
    assert await read(FhirServer(ehr.transport, jitter=lambda: 0.99), seconds=0.1) == "the FHIR server answered 500"
    assert len(ehr.requests) == 1


async def test_the_second_try_waits_as_the_jitter_says() -> None:
    async def waited(jitter: float) -> float:
        started = time.perf_counter()
        await read(FhirServer(Scripted(says(500), says(200)).transport, jitter=lambda: jitter))
        return time.perf_counter() - started

    assert await waited(0.0) >= 0.049
    assert await waited(1.0) >= 0.149


@pytest.mark.proves("R50", "open: 0 requests for 100 reads, the slowest answer under 20 ms; closed again by 1 probe")
async def test_a_server_that_keeps_failing_is_not_asked() -> None:
    now = [100.0]
    ehr = Scripted(httpx.ConnectError("x"))
    server = FhirServer(ehr.transport, lambda: now[0], steady)
    for _ in range(CALLS // 2):
        assert "ConnectError" in await read(server)
    assert (server.breaker.state, len(ehr.requests)) == ("open", CALLS)
    slowest = 0.0
    for _ in range(100):
        started = time.perf_counter()
        assert "kept failing" in await read(server)
        slowest = max(slowest, time.perf_counter() - started)
    assert len(ehr.requests) == CALLS
    assert slowest < 0.020
    now[0] += 31
    ehr.answers = [says(200)]
    assert await read(server) == "p"
    assert server.breaker.state == "closed"


@pytest.mark.parametrize(
    ("status", "state"), [(401, "closed"), (403, "closed"), (404, "closed"), (422, "closed"), (429, "open")]
)
async def test_what_is_an_answer_is_no_failure_of_the_server(status: int, state: str) -> None:
    server = FhirServer(Scripted(says(status)).transport, jitter=steady)
    for _ in range(20):
        await read(server)
    assert server.breaker.state == state


async def test_a_server_that_had_no_time_has_not_failed() -> None:
    server = FhirServer(Hanging(), jitter=steady)
    for _ in range(12):
        assert "too long" in await read(server, seconds=0.01)
    assert server.breaker.state == "closed"


class Hanging(httpx.AsyncBaseTransport):
    """A server that never answers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError


@pytest.mark.proves(
    "R50", "a tenant whose server hangs holds 64 callers and no more; 200 of 200 of another tenant's are answered"
)
async def test_one_slow_server_holds_no_more_than_its_places() -> None:
    slow, well = Servers(jitter=steady), Servers(jitter=steady)
    hanging, healthy = slow.of(BASE, Hanging()), well.of(BASE, Scripted(says(200)).transport)
    waiting = [asyncio.create_task(read(hanging, seconds=30)) for _ in range(CALLERS)]
    await asyncio.sleep(0.05)
    assert hanging.callers == CALLERS
    started = time.perf_counter()
    assert "too many calls are waiting" in await read(hanging)
    assert time.perf_counter() - started < 0.1
    assert await asyncio.gather(*(read(healthy) for _ in range(50))) == ["p"] * 50
    for _ in range(150):
        assert await read(healthy) == "p"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (hanging.callers, healthy.callers) == (0, 0)


def patient(_: Asked) -> Reply:
    return 200, {"set-cookie": "session=canary; Path=/"}, PATIENT


async def reads(servers: Servers, base: str, tokens: list[str | None]) -> None:
    for token in tokens:
        async with FhirClient(base, token, time.monotonic() + 5, server=servers.of(base)) as asking:
            await asking.first_page("Patient/p")


async def test_connections_are_kept_while_somebody_keeps_them_and_closed_then() -> None:
    with Loopback(patient) as ehr:
        async with Servers() as servers:
            await reads(servers, ehr.base, ["one"] * 5)
            assert ehr.connections == 1
        await reads(servers, ehr.base, ["one"] * 3)
        assert ehr.connections == 4


async def test_a_kept_connection_keeps_no_token_and_no_cookie() -> None:
    with Loopback(patient) as ehr:
        async with Servers() as servers:
            await reads(servers, ehr.base, ["one", None, "two"])
        assert ehr.connections == 1
        assert [asked.headers.get("authorization") for asked in ehr.seen] == ["Bearer one", None, "Bearer two"]
        assert [asked.headers.get("cookie") for asked in ehr.seen] == [None] * 3


def test_connections_of_another_event_loop_are_not_used() -> None:
    servers = Servers()
    with Loopback(patient) as ehr:

        async def kept() -> None:
            async with servers:
                await reads(servers, ehr.base, ["one"])
                await asyncio.to_thread(lambda: asyncio.run(reads(servers, ehr.base, ["two"])))

        asyncio.run(kept())
        assert ehr.connections == 2


def test_what_an_operator_sees_names_servers_only() -> None:
    servers = Servers()
    assert servers.of("https://EHR.example/fhir") is servers.of("https://ehr.example:443/other")
    assert servers.states() == {"ehr.example:443": "closed"}


async def test_a_resource_is_read_as_it_was_written() -> None:
    written = {"resourceType": "Patient", "name": [{"family": "F"}], "unknown": {"a": [1, None]}}
    server = FhirServer(Scripted(says(200, json.dumps(written).encode())).transport)
    async with client(server) as asking:
        assert await asking.resource_json("Patient/p") == written


@pytest.mark.parametrize("content", [b"[]", b"7", b"{}", b"", b"\xff", b'{"resourceType":7}'])
async def test_what_is_no_resource_is_unavailable(content: bytes) -> None:
    async with client(FhirServer(Scripted(says(200, content)).transport)) as asking:
        with pytest.raises(DataUnavailable, match="no FHIR resource"):
            await asking.resource_json("Patient/p")


CREATED: list[tuple[httpx.Response, str]] = [
    (says(201, b"", location=f"{BASE}/RiskAssessment/7"), "7"),
    (says(201, b"", location=f"{BASE}/RiskAssessment/7/_history/1"), "7"),
    (says(201, b"", location="RiskAssessment/a.b-1"), "a.b-1"),
    (says(201, b'{"resourceType":"RiskAssessment","id":"8"}'), "8"),
    (says(200, b'{"resourceType":"RiskAssessment","id":"9"}'), "9"),
]


@pytest.mark.parametrize(("answer", "id_"), CREATED, ids=range(len(CREATED)))
async def test_a_saved_resource_has_the_id_that_the_server_gave(answer: httpx.Response, id_: str) -> None:
    ehr = Scripted(answer)
    async with client(FhirServer(ehr.transport)) as asking:
        assert (await asking.create(ASSESSMENT)).id == id_
    (sent,) = ehr.requests
    assert (sent.method, str(sent.url)) == ("POST", f"{BASE}/RiskAssessment")
    assert sent.headers["content-type"] == sent.headers["accept"] == "application/fhir+json"
    assert (sent.headers["prefer"], sent.headers["authorization"]) == ("return=representation", "Bearer t")
    assert json.loads(sent.content) == ASSESSMENT


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 412, 415, 418, 422, 302])
async def test_a_refusal_to_save_says_why_and_nothing_of_the_patient(status: int) -> None:
    ehr = Scripted(says(status, b'{"resourceType":"OperationOutcome","issue":[{"diagnostics":"canary-value"}]}'))
    async with client(FhirServer(ehr.transport)) as asking:
        with pytest.raises(WriteRefused, match="did not save it") as refusal:
            await asking.create(ASSESSMENT)
    assert refusal.value.status == status
    assert "canary" not in repr(refusal.value)
    assert len(ehr.requests) == 1


UNKNOWN: list[tuple[httpx.Response | Exception, str]] = [
    (says(500), "not known whether it was saved"),
    (says(503, retry_after="0"), "not known whether it was saved"),
    (says(429), "not known whether it was saved"),
    (httpx.ReadTimeout("x"), "not known whether it was saved"),
    (httpx.ConnectError("x"), "not known whether it was saved"),
    (says(201, b"", location="https://elsewhere.example/Patient/7"), "under which id"),
    (says(201, b'{"resourceType":"Patient","id":"7"}'), "under which id"),
    (says(201, b"<html>"), "under which id"),
]


@pytest.mark.proves("R49", "a POST is never tried twice: 1 request for each of 8 faults")
@pytest.mark.parametrize(("answer", "told"), UNKNOWN, ids=range(len(UNKNOWN)))
async def test_saving_is_never_tried_twice(answer: httpx.Response | Exception, told: str) -> None:
    ehr = Scripted(answer)
    async with client(FhirServer(ehr.transport, jitter=steady)) as asking:
        with pytest.raises(DataUnavailable, match=told):
            await asking.create(ASSESSMENT)
    assert len(ehr.requests) == 1
