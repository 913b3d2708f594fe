"""Starts an export: what is asked for, as a GET or as a POST, and what the server answers."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct, structs

from cds.bulk.asking import Answer, BulkServer, joined
from cds.bulk.failed import AlreadyRunning, ExportFailed
from cds.bulk.outcomes import Issue, in_codes, in_words, may_pass, read_issues
from cds.bulk.pace import Pace
from cds.errors import DataUnavailable, RequestError

Level = Literal["patient", "system", "group"]
TRIES = 5
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_TYPE = re.compile(r"[A-Z][A-Za-z]{0,63}")
_VALUE = re.compile(r"=[^&]*")
_PATIENT = re.compile(r"Patient/[A-Za-z0-9\-.]{1,64}")


class ExportRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is exported. `commas`: several values in one parameter, for servers that refuse a repeated one."""

    types: tuple[str, ...]
    level: Level = "patient"
    group: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    type_filters: tuple[str, ...] = ()
    codes: dict[str, tuple[str, ...]] = {}
    """Search tokens by the type of which only these codes are asked for: each becomes a `_typeFilter` too."""
    elements: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    """References as Patient/ID; only a POST may name them."""
    associated: tuple[str, ...] = ()
    by_patient: bool = False
    partial: bool = False
    output_format: str | None = None
    post: bool = False
    commas: bool = False
    lenient: bool = False
    separate_status: bool = False

    def check(self) -> None:
        """Raises RequestError for what no server could take."""
        if (self.level == "group") != (self.group is not None):
            raise RequestError("a group's export, and no other, needs the id of its Group")
        if self.group is not None and not _ID.fullmatch(self.group):
            raise RequestError(f"--group {self.group}: this is no id of a Group")
        if not self.types or not all(map(_TYPE.fullmatch, self.types)):
            raise RequestError("the resource types are written as Patient, Observation")
        if not all(map(_PATIENT.fullmatch, self.patients)):
            raise RequestError("a patient is written as Patient/ID")

    def parameters(self) -> list[tuple[str, str]]:
        """The operation's parameters by name. A comma inside a filter stays one value: it is escaped once more."""
        filters = tuple(one.replace(",", "%2C") for one in (*self.type_filters, *self._code_filters()))
        found: list[tuple[str, str]] = []
        for name, values in (
            ("_type", self.types), ("_typeFilter", filters), ("_elements", self.elements),
            ("includeAssociatedData", self.associated),
        ):  # fmt: skip
            found += [(name, ",".join(values))] if self.commas and values else [(name, one) for one in values]
        single = {
            "_since": self.since and self.since.isoformat(), "_until": self.until and self.until.isoformat(),
            "_outputFormat": self.output_format, "organizeOutputBy": "Patient" if self.by_patient else None,
            "allowPartialManifests": "true" if self.partial else None,
        }  # fmt: skip
        return [*found, *((name, value) for name, value in single.items() if value)]

    def _code_filters(self) -> Iterator[str]:
        for kind, tokens in self.codes.items():
            yield f"{kind}?code={','.join(quote(token, safe=':/') for token in tokens)}"

    def digest(self) -> str:
        """The same for the same request, and nothing of it can be read there."""
        sent = structs.replace(self, type_filters=(*self.type_filters, *self._code_filters()), codes={})
        return hashlib.sha256(msgspec.json.encode(sent)).hexdigest()

    def told(self) -> dict[str, Any]:
        """What may be kept and logged: patients by their number, and of a filter no value, which may name one.

        Codes name nobody: from them a later command tells whether the export holds what it reads.
        """
        shown = [[name, _names(value) if name == "_typeFilter" else value] for name, value in self.parameters()]
        said = {"level": self.level, "group": self.group, "parameters": shown, "patients": len(self.patients)}
        return {**said, "codes": self.codes} if self.codes else said

    def path(self) -> str:
        return {"patient": "Patient/$export", "system": "$export", "group": f"Group/{self.group}/$export"}[self.level]

    def message(self, base: str) -> tuple[str, str, bytes | None]:
        """Method, URL and body."""
        url = f"{base}/{self.path()}"
        if self.post or self.patients:
            return "POST", url, msgspec.json.encode(self._body())
        query = urlencode(self.parameters(), quote_via=quote, safe="")
        return "GET", f"{url}?{query}", None

    def _body(self) -> dict[str, Any]:
        kinds = {"_since": "valueInstant", "_until": "valueInstant", "allowPartialManifests": "valueBoolean"}
        given: list[dict[str, Any]] = [
            {"name": name, kinds.get(name, "valueString"): True if name == "allowPartialManifests" else value}
            for name, value in self.parameters()
        ]
        given += [{"name": "patient", "valueReference": {"reference": one}} for one in self.patients]
        return {"resourceType": "Parameters", "parameter": given}

    def headers(self) -> dict[str, str]:
        wishes = ["respond-async"]
        wishes += ["separate-export-status"] if self.separate_status else []
        wishes += ["handling=lenient"] if self.lenient else []
        said = {"Accept": "application/fhir+json", "Prefer": ", ".join(wishes)}
        return {**said, "Content-Type": "application/fhir+json"} if self.post or self.patients else said


def _names(filters: str) -> str:
    """Observation?code=…&date=… of Observation?code=1234-5&date=gt2026."""
    return ",".join(_VALUE.sub("=…", one) for one in filters.split(","))


async def kick_off(server: BulkServer, request: ExportRequest, pace: Pace) -> tuple[str, Mapping[str, str]]:
    """The status URL of an export that has just begun, and the headers that came with it.

    Tried again only after an answer that says it may pass: after a lost one, or a gateway's, one may be running.

    Raises AlreadyRunning, ExportFailed with what the server says, HostNotAllowed.
    """
    method, url, body = request.message(server.base)
    for tries in range(TRIES):
        try:
            answer = await server.ask(method, url, what="the export's start", headers=request.headers(), content=body)
        except DataUnavailable as fault:
            raise ExportFailed(
                f"the export could not be started: {fault.message}. If the server had begun it, it says so next time"
            ) from None
        if answer.status == 202:
            return _status_url(server, url, answer.headers), answer.headers
        issues = read_issues(answer.body)
        if _may_pass(answer, issues) and tries + 1 < TRIES:
            await pace.sleep(pace.wait(answer.headers, tries))
            continue
        raise _refused(answer, url)
    raise AssertionError("the last try returns or raises")


def _may_pass(answer: Answer, issues: Sequence[Issue]) -> bool:
    """Whether the server itself says that it began nothing, and to ask again."""
    if answer.status == 429 or not may_pass(answer.status, issues):
        return False
    return bool(issues) or (answer.status == 503 and "retry-after" in answer.headers)


def _status_url(server: BulkServer, url: str, headers: Mapping[str, str]) -> str:
    said = headers.get("content-location", "")
    if not said:
        raise ExportFailed("the server began an export, and did not say where its status is (Content-Location)")
    return server.allow(joined(url, said, "the export's status"), "the export's status")


def _refused(answer: Answer, url: str) -> ExportFailed:
    issues = read_issues(answer.body)
    codes, words = in_codes(issues), in_words(issues)
    if answer.status == 429:
        known = answer.headers.get("content-location")
        return AlreadyRunning(
            f"the server answered 429{codes}: it runs an export for us already, and takes no second one",
            said=words, url=_join(url, known) if known else None,
        )  # fmt: skip
    if answer.status >= 500 and not issues:
        return ExportFailed(
            f"the server answered {answer.status} without saying why: that may be a gateway's answer, and the export "
            "may have begun all the same. Look there before the same command asks again; --adopt takes one over that "
            "runs",
            status=answer.status,
        )
    why = _WHY.get(answer.status, "it did not begin the export")
    return ExportFailed(f"the server answered {answer.status}{codes}: {why}", said=words, status=answer.status)


def _join(url: str, known: str) -> str | None:
    try:
        return joined(url, known, "the export's status")
    except ExportFailed:
        return None  # that one runs is worth telling, also without its URL


_WHY = {
    400: "it does not take a parameter of the export",
    401: "it does not accept our token",
    403: "our token has no right to export this",
    404: "there is no such operation, or no such Group",
    405: "it does not take the export as GET: try --post, or without it",
}
