"""A hook call whose data are fetched from a real FHIR server: the demo's, over a socket on this machine."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from cds.web.app import create_app
from cds.web.demo.kept import Context, Token
from fhir_fixtures.search import prefetch
from tests.cdshooks.charts import AT, Json, request
from tests.cdshooks.desk import Desk, outcome, site, without


class Seen:
    """Remembers the requests that reach an application."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.requests: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            query = scope["query_string"].decode()
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.requests.append((f"{scope['path']}?{query}", headers))
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Seen]]:
    """The demo's FHIR base, and what was asked of it."""
    seen = Seen(create_app(site(), None, demo=True, clock=lambda: AT))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(seen, port=port, log_level="critical", lifespan="off", ws="none"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/demo/fhir", seen
    running.should_exit = True
    thread.join(10)


@pytest.fixture
def desk(open_desk: Callable[..., Desk], server: tuple[str, Seen]) -> Desk:
    server[1].requests.clear()
    return open_desk(fhir_servers=(server[0],))


def issued(seen: Seen, of: str) -> Json:
    """A token for one patient as the EHR hands it to a service."""
    scope = "patient/*.rs"
    token = seen.app.state.demo_ehr.memory.access.add(Token("bedside", scope, Context(of), "a-family"), 60)
    told = {"access_token": token, "token_type": "Bearer", "expires_in": 60, "scope": scope}
    return told | {"subject": "bedside", "patient": of}


def call(base: str, of: str, authorization: Json | None = None) -> Json:
    """A call that carries no data, with the EHR's token when there is one."""
    carried = {"fhirAuthorization": authorization} if authorization else {}
    return request(of=of) | {"fhirServer": base} | carried


def charts(base: str) -> dict[str, str]:
    patients = httpx.get(f"{base}/Patient").json()["entry"]
    return {e["resource"]["id"].split("-")[0]: e["resource"]["id"] for e in patients}


def everything(base: str, of: str) -> list[Json]:
    """All that the server holds about a patient, page by page."""
    found = [httpx.get(f"{base}/Patient/{of}").json()]
    for kind in ("Observation", "Condition", "Procedure", "Encounter"):
        found += [e["resource"] for e in httpx.get(f"{base}/{kind}?patient={of}&_count=500").json().get("entry", [])]
    return found


def test_every_story_says_the_same_fetched_and_prefetched(desk: Desk, server: tuple[str, Seen]) -> None:
    base, _ = server
    for of in charts(base).values():
        context = {"userId": "Practitioner/doc", "patientId": of}
        given = prefetch(everything(base, of), desk.templates, context)
        fetched, prefetched = desk.post(call(base, of)), desk.post(request(of=of) | {"prefetch": given})
        assert fetched.status_code == prefetched.status_code == 200
        said = [[(c["summary"], c["detail"]) for c in r.json()["cards"]] for r in (fetched, prefetched)]
        assert said[0] == said[1]


def test_each_search_carries_the_token(desk: Desk, server: tuple[str, Seen]) -> None:
    base, seen = server
    of = charts(base)["refer"]
    token = issued(seen, of)
    seen.requests.clear()
    assert desk.post(call(base, of, token)).json()["cards"]
    assert len(seen.requests) == len(desk.templates)
    assert {headers["authorization"] for _, headers in seen.requests} == {f"Bearer {token['access_token']}"}
    assert {headers["accept"] for _, headers in seen.requests} == {"application/fhir+json"}
    assert all(of in address for address, _ in seen.requests)


def test_a_token_for_another_patient_opens_no_chart(desk: Desk, server: tuple[str, Seen]) -> None:
    base, seen = server
    of = charts(base)
    refused = desk.post(call(base, of["refer"], issued(seen, of["high"]) | {"patient": of["refer"]}))
    assert refused.status_code == 412


def test_a_search_that_was_cut_is_completed_page_by_page(desk: Desk, server: tuple[str, Seen]) -> None:
    base, seen = server
    of = charts(base)["refer"]
    whole = desk.post(call(base, of)).json()["cards"][0]["detail"]
    first = httpx.get(f"{base}/Condition?patient={of}&_count=1").json()
    assert any(link["relation"] == "next" for link in first["link"])
    seen.requests.clear()
    answered = desk.post(call(base, of) | {"prefetch": {"conditions": first}})
    assert answered.json()["cards"][0]["detail"] == whole
    pages = [address for address, _ in seen.requests if "/Condition" in address]
    assert len(pages) == httpx.get(f"{base}/Condition?patient={of}&_count=500").json()["total"] - 1


def test_nobody_there_is_412(open_desk: Callable[..., Desk], server: tuple[str, Seen]) -> None:
    base, _ = server
    desk = open_desk(fhir_servers=(base,))
    response = desk.post(call(base, "no-such-patient"))
    assert (response.status_code, outcome(response)["expression"]) == (412, ["prefetch.patient"])


def test_a_server_that_hangs_costs_no_more_than_the_budget(open_desk: Callable[..., Desk], desk: Desk) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        base = f"http://127.0.0.1:{silent.getsockname()[1]}/fhir"
        server = open_desk(fhir_servers=(base,), fetch_seconds=0.5)
        started = time.perf_counter()
        response = server.post(call(base, "p1"))
        assert time.perf_counter() - started < 2
    assert response.status_code == 412
    assert "prefetch.patient" in outcome(response)["expression"]


def test_a_server_that_redirects_is_not_followed(open_desk: Callable[..., Desk], server: tuple[str, Seen]) -> None:
    base, seen = server
    seen.requests.clear()
    wrong = base.removesuffix("/demo/fhir")  # "/Patient/x" is not there, and nothing is fetched in its place
    desk = open_desk(fhir_servers=(wrong,))
    assert desk.post(call(wrong, "refer-64m")).status_code == 412
    assert not any("/demo/fhir" in address for address, _ in seen.requests)


@pytest.mark.proves("R52", "all keys but one prefetched: 1 request")
def test_only_what_is_missing_is_fetched(desk: Desk, server: tuple[str, Seen]) -> None:
    base, seen = server
    of = charts(base)["high"]
    context = {"userId": "Practitioner/doc", "patientId": of}
    given = prefetch(everything(base, of), desk.templates, context)
    seen.requests.clear()
    assert desk.post(without(call(base, of) | {"prefetch": given}, "uacr")).status_code == 200
    assert len(seen.requests) == 1
