"""An EHR's FHIR server at the other end of HTTP, with charts, pages and every fault that we have met."""

from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl

import httpx
import pytest
import respx

from fhir_fixtures.search import read, search
from tests.cdshooks.charts import ID, Json

BASE = "https://ehr.example/fhir"
TOKEN: Json = {
    "access_token": "canary-token-7Q",
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "patient/*.read",
    "subject": "bedside",
    "patient": ID,
}

Fault = Callable[[httpx.Request], httpx.Response]


class Ehr:
    """`resources` are what it holds; `faults` answer in place of a search: by its type, or "Observation 2160-0"."""

    def __init__(self, router: respx.MockRouter) -> None:
        self.resources: list[Json] = []
        self.faults: dict[str, Fault] = {}
        self.page: int | None = None
        self.seen: list[httpx.Request] = []
        router.route(url__startswith=f"{BASE}/").mock(side_effect=self._answer)
        self.router = router

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        path = request.url.path.removeprefix("/fhir/")
        kind, slash, identity = path.partition("/")
        params = parse_qsl(request.url.query.decode())
        code = dict(params).get("code", "").split(",")[0].rpartition("|")[2]
        fault = self.faults.get(f"{kind} {code}") or self.faults.get(kind)
        if fault is not None:
            return fault(request)
        if slash:
            found = read(self.resources, kind, identity)
            return httpx.Response(200 if found else 404, json=found or {"resourceType": "OperationOutcome"})
        if self.page:
            params = [(name, value) for name, value in params if name != "_count"] + [("_count", str(self.page))]
        return httpx.Response(200, json=search(self.resources, kind, params, BASE))

    def asked(self) -> set[str]:
        """The types and first codes that were asked for."""
        return {f"{r.url.path.rpartition('/fhir/')[2]} {r.url.query.decode()}".strip() for r in self.seen}


@pytest.fixture
def ehr() -> Iterator[Ehr]:
    with respx.mock(assert_all_called=False) as router:
        yield Ehr(router)


def status(code: int, **headers: str) -> Fault:
    return lambda _: httpx.Response(code, json={"resourceType": "OperationOutcome"}, headers=headers)


def says(body: Json | bytes) -> Fault:
    return lambda _: httpx.Response(200, **({"content": body} if isinstance(body, bytes) else {"json": body}))


def breaks(error: type[Exception]) -> Fault:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error("canary-in-an-error")

    return fail


def once(first: Fault, then: Callable[[httpx.Request], httpx.Response]) -> Fault:
    """A fault at the first call only."""
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return first(request) if len(calls) == 1 else then(request)

    return answer
