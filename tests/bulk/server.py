"""A Bulk Data server on loopback, whose manifest, files and faults each test sets, and which remembers who asked."""

import base64
import gzip
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from joserfc import jwt
from joserfc.jwk import KeySet
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from cds.trust.own_keys import OwnKeys
from tests.ehr.running import free_port, running

Json = dict[str, Any]
Answer = Callable[[Request, int], Response | None]
"""An answer to the nth request (from 0) for a path, or None for the usual one."""


class Asked(Struct, frozen=True):
    """One request."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str:
        return self.headers.get("authorization", "")


class BulkDouble:
    """`manifest`: output, deleted, error by file name; its URLs are on `files_at`. `on`: answers that a test sets."""

    def __init__(self, keys: OwnKeys | None = None) -> None:
        self.keys = keys
        self.origin = self.files_at = ""
        self.files: dict[str, bytes] = {}
        self.manifest: Json = {"transactionTime": "2026-11-22T10:00:00Z", "requiresAccessToken": True, "output": []}
        self.on: dict[str, Answer] = {}
        self.seen: list[Asked] = []
        self.tokens: dict[str, float] = {}
        self.assertions: list[Json] = []
        self.token_seconds = 300.0
        self.capabilities = ["permission-v2"]
        self.granted: str | None = None
        self.packed = self.ranges = False
        self.statuses: list[Json] = []
        """Headers of the answers before the export is complete, one each."""

    @property
    def base(self) -> str:
        return f"{self.origin}/fhir"

    @property
    def status_url(self) -> str:
        return f"{self.base}/status/1"

    def add(self, kind: str, name: str, lines: list[Json] | bytes, **members: Any) -> None:
        """A file of the manifest; its type is what stands before the first dot, its count what it holds."""
        content = lines if isinstance(lines, bytes) else ndjson(lines)
        self.files[name] = content
        entry = {"type": name.partition(".")[0], "url": f"{self.files_at}/files/{name}"}
        count = {} if isinstance(lines, bytes) else {"count": len(lines)}
        self.manifest.setdefault(kind, []).append(entry | count | members)

    def asked(self, path: str, method: str = "GET") -> list[Asked]:
        return [one for one in self.seen if one.path == path and one.method == method]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        path = request.url.path
        headers = {name.lower(): value for name, value in request.headers.items()}
        number = len(self.asked(path, request.method))
        self.seen.append(Asked(request.method, path, parse_qsl(request.url.query), headers, body))
        own = self.on.get(path)
        answer = own(request, number) if own else None
        answer = answer or self._usual(request, body, number)
        await answer(scope, receive, send)

    def _usual(self, request: Request, body: bytes, number: int) -> Response:
        path = request.url.path
        if path == "/fhir/.well-known/smart-configuration":
            token_url = f"{self.origin}/auth/token"
            return JSONResponse({"token_endpoint": token_url, "capabilities": self.capabilities})
        if path == "/auth/token":
            return self._token(dict(parse_qsl(body.decode())))
        open_file = path.startswith("/files/") and not self.manifest["requiresAccessToken"]
        if self.keys is not None and not open_file and not self._knows(request.headers.get("authorization", "")):
            return outcome(401, "login")
        if path.endswith("/$export"):
            return Response(status_code=202, headers={"Content-Location": self.status_url})
        if path == "/fhir/status/1":
            return self._status(request, number)
        return self._file(request, path.removeprefix("/files/"))

    def _status(self, request: Request, number: int) -> Response:
        if request.method == "DELETE":
            return Response(status_code=202)
        if number < len(self.statuses):
            return Response(status_code=202, headers=self.statuses[number])
        return JSONResponse(self.manifest)

    def _file(self, request: Request, name: str) -> Response:
        if name not in self.files:
            return outcome(404, "not-found")
        content, headers = self.files[name], {"Content-Type": "application/fhir+ndjson"}
        if self.ranges:
            headers |= {"Accept-Ranges": "bytes", "ETag": etag(content)}
            wanted = request.headers.get("range")
            if wanted and request.headers.get("if-range") == etag(content):
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                return Response(content[start:], 206, headers=headers)
        if self.packed and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(gzip.compress(content), headers=headers | {"Content-Encoding": "gzip"})
        return Response(content, headers=headers)

    def _token(self, form: dict[str, str]) -> Response:
        if self.keys is None:
            return JSONResponse({"error": "invalid_client"}, 401)
        known = KeySet.import_key_set(msgspec.json.decode(self.keys.public()))
        said = jwt.decode(form["client_assertion"], known, algorithms=["ES384", "RS384"])
        claims = dict(said.claims)
        if claims["aud"] != f"{self.origin}/auth/token" or claims["jti"] in [one["jti"] for one in self.assertions]:
            return JSONResponse({"error": "invalid_client"}, 401)
        self.assertions.append(claims | {"header": said.header, "scope": form["scope"]})
        token = f"canary-{secrets.token_hex(16)}"
        self.tokens[token] = time.monotonic() + self.token_seconds
        scope = self.granted if self.granted is not None else form["scope"]
        answer = {"access_token": token, "token_type": "bearer", "expires_in": int(self.token_seconds), "scope": scope}
        return JSONResponse(answer)

    def _knows(self, header: str) -> bool:
        return self.tokens.get(header.removeprefix("Bearer "), 0.0) > time.monotonic()


def ndjson(lines: list[Json]) -> bytes:
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def etag(content: bytes) -> str:
    return f'"{base64.b16encode(content[:8]).decode()}-{len(content)}"'


def outcome(status: int, code: str, severity: str = "error", text: str = "", **headers: str) -> Response:
    issue = {"severity": severity, "code": code} | ({"diagnostics": text} if text else {})
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"resourceType": "OperationOutcome", "issue": [issue]}
    return JSONResponse(body, status, media_type="application/fhir+json", headers=told)


def cut_off(content: bytes, after: int, **headers: str) -> Response:
    """An answer that breaks off in its middle."""

    async def pieces() -> AsyncIterator[bytes]:
        yield content[:after]
        raise ConnectionError("the plug is pulled")

    told = {"content-length": str(len(content)), "content-type": "application/fhir+ndjson"}
    return StreamingResponse(pieces(), headers=told | {name.replace("_", "-"): text for name, text in headers.items()})


@contextmanager
def bulk_double(keys: OwnKeys | None = None) -> Iterator[BulkDouble]:
    """The server until the block ends. Without keys it asks for no token."""
    double = BulkDouble(keys)
    port = free_port()
    double.origin = double.files_at = f"http://127.0.0.1:{port}"
    double.manifest["request"] = f"{double.base}/Patient/$export"
    with running(double, port):
        yield double


def patients(count: int, start: int = 0) -> list[Json]:
    return [{"resourceType": "Patient", "id": f"p{number}"} for number in range(start, start + count)]
