"""A small FHIR server for the demo page: the synthetic charts, and in memory what the page creates."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from urllib.parse import parse_qsl
from uuid import uuid4

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from cds.web.demo.capability import capability_statement
from cds.web.demo.gate import visible
from cds.web.demo.kept import Memory
from cds.web.demo.records import Records, Refused, Visible, known
from cds.web.demo.stories import Resource

MEDIA_TYPE = "application/fhir+json"
LARGEST_BODY = 256 * 1024
_JSON_TYPES = frozenset({MEDIA_TYPE, "application/json"})
_FORM_TYPE = "application/x-www-form-urlencoded"


def demo_fhir(records: Records, memory: Memory, today: Callable[[], date]) -> APIRouter:
    """The FHIR endpoint, to be mounted at a prefix. `today` says which day the charts are moved to."""
    router = APIRouter(include_in_schema=False)

    def seen_by(request: Request, resource_type: str, letter: str) -> Visible:
        known(resource_type)
        return visible(memory, request.headers.get("authorization"), resource_type, letter)

    @router.get("/metadata", name="demo_fhir_metadata")
    def metadata(request: Request) -> Response:
        return _answer(200, capability_statement(_base(request), today()))

    @router.get("/{resource_type}/{resource_id}")
    def read(resource_type: str, resource_id: str, request: Request) -> Response:
        return _or_outcome(
            lambda: _answer(200, records.read(resource_type, resource_id, seen_by(request, resource_type, "r")))
        )

    @router.get("/{resource_type}")
    def search_by_get(resource_type: str, request: Request) -> Response:
        return _or_outcome(
            lambda: _searched(request, records, resource_type, request.url.query, seen_by(request, resource_type, "s"))
        )

    @router.post("/{resource_type}/_search")
    async def search_by_post(resource_type: str, request: Request) -> Response:
        if _media_type(request) != _FORM_TYPE:
            return _outcome(415, "not-supported", f"_search takes {_FORM_TYPE}")
        body = (await _body(request)).decode("utf-8", "replace")
        query = "&".join(filter(None, [request.url.query, body]))
        return await run_in_threadpool(
            _or_outcome,
            lambda: _searched(request, records, resource_type, query, seen_by(request, resource_type, "s")),
        )

    @router.post("/{resource_type}")
    async def create(resource_type: str, request: Request) -> Response:
        # Asking for a JSON type also keeps foreign pages out: their forms cannot send one without a preflight.
        if _media_type(request) not in _JSON_TYPES:
            return _outcome(415, "not-supported", f"create takes {MEDIA_TYPE}")
        body = await _body(request)
        return await run_in_threadpool(
            _or_outcome,
            lambda: _created(request, records, resource_type, body, seen_by(request, resource_type, "c")),
        )

    return router


async def _body(request: Request) -> bytes:
    """The body, or its beginning when it is too large: enough to see that it is."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            break
    return bytes(body)


def _searched(request: Request, records: Records, resource_type: str, query: str, seen: Visible) -> Response:
    parameters = parse_qsl(query, keep_blank_values=True)
    return _answer(200, records.search(resource_type, parameters, _base(request), seen))


def _created(request: Request, records: Records, resource_type: str, body: bytes, seen: Visible) -> Response:
    if len(body) > LARGEST_BODY:
        raise Refused(413, "too-long", f"a resource may have {LARGEST_BODY} bytes")
    try:
        sent = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Refused(400, "structure", "the body is not JSON") from None
    resource = records.create(resource_type, sent, str(uuid4()), datetime.now(UTC), seen)
    answer = _answer(201, resource)
    answer.headers["Location"] = f"{_base(request)}/{resource_type}/{resource['id']}"
    return answer


def _base(request: Request) -> str:
    return str(request.url_for("demo_fhir_metadata")).removesuffix("/metadata")


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _or_outcome(work: Callable[[], Response]) -> Response:
    try:
        return work()
    except Refused as refused:
        answer = _outcome(refused.status, refused.code, refused.text)
        if refused.status == 401:
            answer.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
        return answer


def _outcome(status: int, code: str, text: str) -> Response:
    issue = {"severity": "error", "code": code, "details": {"text": text}}
    return _answer(status, {"resourceType": "OperationOutcome", "issue": [issue]})


def _answer(status: int, resource: Resource) -> Response:
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
    return Response(msgspec.json.encode(resource), status, headers, MEDIA_TYPE)
