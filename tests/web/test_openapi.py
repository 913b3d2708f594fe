"""The OpenAPI document names every route and no other, and nothing made from it breaks the server (R20)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis import checks as conformance
from starlette.routing import BaseRoute, Route

from tests.cdshooks.desk import SERVICE, Desk

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


def test_r20_the_document_is_no_route(desk: Desk) -> None:
    assert desk.http.get("/openapi.yaml").status_code == desk.http.get("/openapi.json").status_code == 404


def cases(method: str, path: str) -> st.SearchStrategy[Any]:
    """Requests as the document has them and, where it can be broken, as it has them not."""
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method.upper()]
    fitting = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if "{id}" not in path:
        return fitting
    return fitting | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.proves("R20", "schemathesis, 1,000 examples a route in make proof (50 in make test): 0 five-hundreds")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_r20_no_request_made_from_the_document_breaks_the_server(
    desk: Desk, campaign: Callable[[int], int], method: str, path: str
) -> None:
    seen: dict[int, int] = {}
    examples = campaign(1000)

    @settings(max_examples=examples, **SETTINGS)
    @given(case=cases(method, path), ours=st.booleans(), more=HEADERS)
    def holds(case: Any, ours: bool, more: dict[str, str]) -> None:
        if ours and "id" in case.path_parameters:
            case.path_parameters["id"] = SERVICE
        response = case.call(app=desk.app, headers=more | {"Host": "localhost"})
        seen[response.status_code] = seen.get(response.status_code, 0) + 1
        case.validate_response(response, checks=CHECKS)

    holds()
    assert all(status < 500 for status in seen)
    assert sum(seen.values()) >= examples
