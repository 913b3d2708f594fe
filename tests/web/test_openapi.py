"""The OpenAPI document names every route and no other, and nothing made from it breaks the server (R20)."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import respx
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis import checks as conformance
from starlette.routing import BaseRoute, Route

from tests.cdshooks.desk import SERVICE, Desk
from tests.web.reach import BAD_TOKENS, SAME_ORIGIN, Reached

DOCUMENT = yaml.safe_load((Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
METHODS = ("get", "post", "put", "patch", "delete", "options")
OPERATIONS = sorted(
    (method, path) for path, members in DOCUMENT["paths"].items() for method in members if method in METHODS
)
SETTINGS: dict[str, Any] = {
    "suppress_health_check": list(HealthCheck),
    "deadline": None,
    "database": None,
    "phases": [Phase.generate],
}
HEADERS = st.dictionaries(
    st.sampled_from(["Accept", "Authorization", "Cookie", "If-None-Match", "Origin", "Range", "X-Forwarded-For"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40).map(str.strip),
    max_size=4,
)
CHECKS = [
    conformance.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
]
"""Without those that take a schema for all of FHIR: whether a fitting body is accepted, and any other refused."""


def routes(found: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Method and path of every route; a path is the same with and without its last slash."""
    for route in found:
        if isinstance(route, Route):
            path = route.path.rstrip("/") or "/"
            yield from ((method.lower(), path) for method in route.methods or () if method != "HEAD")
        else:
            inner = getattr(route, "original_router", route)  # FastAPI keeps an included router as it is
            yield from routes(list(getattr(inner, "routes", ())))


def test_r20_every_route_is_in_the_document_and_the_other_way_round(desk: Desk) -> None:
    assert sorted(set(routes(desk.app.routes))) == OPERATIONS
    assert len(OPERATIONS) == 27


def test_r20_the_document_is_no_route(desk: Desk) -> None:
    assert desk.http.get("/openapi.yaml").status_code == desk.http.get("/openapi.json").status_code == 404


def cases(method: str, path: str) -> st.SearchStrategy[Any]:
    """Requests as the document has them and, where it can be broken, as it has them not."""
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method.upper()]
    fitting = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if "{" not in path and "requestBody" not in DOCUMENT["paths"][path][method]:
        return fitting
    return fitting | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


PARTS = ("path", "sender", "first", "second", "body")
REAL = st.just(frozenset(PARTS)) | st.frozensets(st.sampled_from(PARTS))
"""What is taken from the server's own earlier answers; the rest of a request is made from the document."""


def settle(case: Any, server: Reached, real: frozenset[str]) -> dict[str, str]:
    """Make parts of a request those of a launch, a session or a card that there is; the headers that go with it."""
    query, form, cookie = server.truth(case.method.lower(), case.operation.path)
    if "path" in real:
        usual = {"id": SERVICE, "service": SERVICE, "session": server.session, "name": "page.css", "model": "kfre-4"}
        case.path_parameters = {name: usual[name] for name in case.path_parameters or {}}
    parts = zip(("first", "second"), query.items(), strict=False)
    given = dict(pair for part, pair in parts if part in real)
    if given:
        case.query = (case.query or {}) | given
    if form and "body" in real:
        case.body = (case.body if isinstance(case.body, dict) else {}) | form
    elif isinstance(case.body, dict) and "body" in real:
        case.body = true_body(case.body, case.operation.path, server)
    return SAME_ORIGIN | ({"cookie": cookie} if cookie else {}) if "sender" in real else {}


def true_body(body: dict[str, Any], path: str, server: Reached) -> dict[str, Any]:
    """A call that gets a card, but for the resources that were made up; feedback on a card that was shown."""
    if path == "/cds-services/{id}":
        call = server.call()
        made = body["prefetch"].values() if isinstance(body.get("prefetch"), dict) else ()
        return call | {"prefetch": call["prefetch"] | dict(zip(call["prefetch"], made, strict=False))}
    told = body.get("feedback")
    entries = [one | {"card": server.card} for one in told if isinstance(one, dict)] if isinstance(told, list) else told
    return body | {"feedback": entries}


def leads_elsewhere(case: Any, path: str) -> bool:
    """Whether a parameter with a slash, or an empty one, makes the path that of another route."""
    wanted, found = case.operation.path.split("/"), path.split("/")
    return len(wanted) != len(found) or any(part in ("", ".", "..") for part in found[1:])


@pytest.fixture
def servers(open_desk: Callable[..., Desk], router: respx.MockRouter) -> list[Reached]:
    """One that is open on loopback, and one for clients only."""
    return Reached.both(open_desk, router)


class Campaign:
    """Sends one route's requests to both servers, and counts the answers by whom they were from."""

    def __init__(self, servers: list[Reached], path: str) -> None:
        self.servers = servers
        self.hooks = path.startswith("/cds-services")
        self.seen: dict[str, Counter[int]] = {"open": Counter(), "clients": Counter(), "bad token": Counter()}
        for server in servers:
            if "{session}" in path or path == "/smart/logout":
                server.open()
            elif path.endswith("/feedback"):
                server.card = server.shown_card()

    def send(self, case: Any, real: frozenset[str], more: dict[str, str], bad: str) -> None:
        for server in self.servers:
            server.desk.now += timedelta(seconds=1)
        for server in self.servers:
            name = "clients" if server.clients else "open"
            self._send(case, server, name, real, more, None)
            if self.hooks and server.clients:
                self._send(case, server, "bad token", real, more, bad)

    def _send(
        self, case: Any, server: Reached, name: str, real: frozenset[str], more: dict[str, str], bad: str | None
    ) -> None:
        headers = more | settle(case, server, real) | {"Host": server.host}
        path = unquote(urlsplit(case.as_transport_kwargs(base_url="http://localhost")["url"]).path)
        if self.hooks and server.clients:
            headers.pop("Authorization", None)
            headers |= server.authorization(path, bad)
        response = case.call(app=server.desk.app, headers=headers)
        self.seen[name][response.status_code] += 1
        server.saw(response, whole=real == frozenset(PARTS))
        case.validate_response(response, checks=CHECKS[:1] if leads_elsewhere(case, path) else CHECKS)


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.proves(
    "R20", "schemathesis, 27 routes on 2 sites, 1,000 examples each in make proof (50 in make test): 0 five-hundreds"
)
@pytest.mark.proves(
    "C97", "discovery, call and feedback, 1,000 examples each (50 in make test): 401 for 8 kinds of bad token"
)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_r20_no_request_made_from_the_document_breaks_the_server(
    servers: list[Reached], campaign: Callable[[int], int], method: str, path: str
) -> None:
    examples = campaign(1000)
    asked = Campaign(servers, path)

    @settings(max_examples=examples, **SETTINGS)
    @given(case=cases(method, path), real=REAL, more=HEADERS, bad=st.sampled_from(sorted(BAD_TOKENS)))
    def holds(case: Any, real: frozenset[str], more: dict[str, str], bad: str) -> None:
        asked.send(case, real, more, bad)

    holds()
    print(method, path, {name: dict(sorted(counted.items())) for name, counted in asked.seen.items()})
    opened, known, bad = asked.seen.values()
    for counted in (opened, known):
        assert counted.total() >= examples
        assert max(counted) < 500
        assert {200, 204, 303} & set(counted), "nothing was reached"
    if asked.hooks and method != "options":
        assert set(bad) == {401}
        assert bad.total() >= examples
