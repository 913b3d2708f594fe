"""A FHIR server on loopback that keeps little, states what a test wants it to, and fails where a test wants it to.

sekmet-fhir shows that the road is right; this one shows what real servers do on bad days, which sekmet-fhir does not.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.ehr.running import free_port

Json = dict[str, Any]
Fault = Callable[[int, str, str], Response | None]
"""Given the request's number, method and path: what is answered instead of carrying it out."""


class Shelf:
    """`app` is the server. `asked`: method and path of each request; `writes`: how often each place was written."""

    def __init__(
        self,
        *,
        road: str = "put",
        provenance: str | None = "put",
        bundles: bool = True,
        by_id: bool = True,
        updates: bool = True,
    ) -> None:
        self.kept: dict[str, dict[str, Json]] = {"RiskAssessment": {}, "Provenance": {}, "Patient": {}}
        self.asked: list[tuple[str, str]] = []
        self.port = free_port()
        self.writes: Counter[str] = Counter()
        self.by_id, self.bundles = by_id, bundles
        self._statement = statement(road, provenance, bundles=bundles, by_id=by_id, updates=updates)
        self.fault: Fault = lambda _number, _method, _path: None
        self.cut: Callable[[int, str, str], bool] = lambda _number, _method, _path: False
        """Which requests are carried out and then not answered."""
        self.entry_fault: Callable[[Json], str | None] = lambda _resource: None
        """The status with which an entry of a Bundle, or a single write, is refused."""
        self.app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST", "PUT"])])

    def hold(self, patients: Iterable[str]) -> "Shelf":
        self.kept["Patient"] |= {id_: {"resourceType": "Patient", "id": id_} for id_ in patients}
        return self

    def shown(self, kind: str = "RiskAssessment") -> dict[str, Json]:
        """What is kept of a type, without what the server added."""
        return {id_: {n: v for n, v in one.items() if n != "meta"} for id_, one in self.kept[kind].items()}

    async def _answer(self, request: Request) -> Response:
        path, number = request.path_params["path"].strip("/"), len(self.asked)
        self.asked.append((request.method, path))
        if (fault := self.fault(number, request.method, path)) is not None:
            return fault
        body = json.loads(await request.body() or b"{}")
        status, answer, headers = self.carry_out(request.method, path, request.url.query, body, request.headers)
        if self.cut(number, request.method, path):
            return StreamingResponse(_broken_off(), headers={"content-length": "99999"})
        return JSONResponse(answer, status, headers)

    def carry_out(
        self, method: str, path: str, query: str, body: Json, headers: Mapping[str, str]
    ) -> tuple[int, Json, dict[str, str]]:
        kind, _, id_ = path.partition("/")
        if path == "metadata":
            return 200, self._statement, {}
        if method == "GET":
            return self._read(kind, id_, query)
        if not path:
            return self._bundle(body)
        return self._write(method, kind, id_, body, headers)

    def _read(self, kind: str, id_: str, query: str) -> tuple[int, Json, dict[str, str]]:
        if id_:
            found = self.kept[kind].get(id_)
            return (200, found, {}) if found else (404, {"resourceType": "OperationOutcome"}, {})
        asked = {name: values[0].split(",") for name, values in parse_qs(query).items()}
        found_all = [one for one in self.kept[kind].values() if matches(one, asked)]
        return 200, {"resourceType": "Bundle", "entry": [{"resource": one} for one in found_all]}, {}

    def _bundle(self, body: Json) -> tuple[int, Json, dict[str, str]]:
        if not self.bundles:
            return 400, {"resourceType": "OperationOutcome"}, {}
        entries = []
        for entry in body["entry"]:
            asked = entry["request"]
            kind, _, id_ = asked["url"].partition("/")
            conditions = {"if-match": asked.get("ifMatch"), "if-none-exist": asked.get("ifNoneExist")}
            told = {name: value for name, value in conditions.items() if value}
            status, _, headers = self._write(asked["method"], kind, id_, entry["resource"], told)
            entries.append({"response": {"status": f"{status} Said", **headers}})
        return 200, {"resourceType": "Bundle", "type": "batch-response", "entry": entries}, {}

    def _write(
        self, method: str, kind: str, id_: str, body: Json, headers: Mapping[str, str]
    ) -> tuple[int, Json, dict[str, str]]:
        if (refused := self.entry_fault(body)) is not None:
            return int(refused), {"resourceType": "OperationOutcome"}, {}
        if method == "POST":
            asked = {name: values[0].split(",") for name, values in parse_qs(headers["if-none-exist"]).items()}
            if found := [one for one in self.kept[kind].values() if matches(one, asked)]:
                return (200, {}, self._place(found[0])) if len(found) == 1 else (412, {}, {})
            id_ = str(uuid4())
        before = self.kept[kind].get(id_)
        version = before["meta"]["versionId"] if before else "0"
        if "if-match" in headers and headers["if-match"] != f'W/"{version}"':
            return 412, {}, {}
        self.writes[f"{kind}/{id_}"] += 1
        made = {**body, "id": id_, "meta": {"versionId": str(int(version) + 1)}}
        self.kept[kind][id_] = made
        return (200 if before else 201), {}, self._place(made)

    def _place(self, resource: Json) -> dict[str, str]:
        version = resource["meta"]["versionId"]
        place = f"{resource['resourceType']}/{resource['id']}/_history/{version}"
        return {"location": place, "etag": f'W/"{version}"'}


async def _broken_off() -> AsyncIterator[bytes]:
    yield b"{"
    raise ConnectionResetError


def matches(resource: Json, asked: Mapping[str, list[str]]) -> bool:
    """The searches that are stated: by _id, identifier, target and recorded."""
    identifiers = {f"{one['system']}|{one['value']}" for one in resource.get("identifier", ())}
    targets = {one["reference"] for one in resource.get("target", ())}
    held = {"_id": {resource["id"]}, "identifier": identifiers, "target": targets}
    held["recorded"] = {resource.get("recorded", "")}
    return all(held[name] & set(values) for name, values in asked.items() if name in held)


def statement(road: str, provenance: str | None, *, bundles: bool, by_id: bool, updates: bool) -> Json:
    """The CapabilityStatement of a server with these roads: "put", "conditional" or "none"."""
    kinds = [_kind("Patient", "none", by_id=by_id), _kind("RiskAssessment", road, by_id=by_id, updates=updates)]
    if provenance:
        kinds.append(_kind("Provenance", provenance, by_id=by_id))
    system = [{"code": "batch"}] if bundles else []
    rest = {"mode": "server", "resource": kinds, "interaction": system}
    return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}


def _kind(kind: str, road: str, *, by_id: bool, updates: bool = True) -> Json:
    able = ["read", "search-type", *(["create"] if road != "none" else ())]
    able += ["update"] if road != "none" and updates else []
    searched = ["identifier", "target", "recorded", *(["_id"] if by_id else ())]
    return {
        "type": kind,
        "interaction": [{"code": code} for code in able],
        "searchParam": [{"name": name} for name in searched],
        "updateCreate": road == "put",
        "conditionalCreate": road == "conditional",
        "versioning": "versioned",
    }
