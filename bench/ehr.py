"""The EHR of the page benchmark: 300 resources of one patient behind FHIR searches, and the least sign-in there is."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from bench.echo import Message, Receive, Send, answer
from bench.payloads import Length
from bench.record import PATIENT, Json, Record
from fhir_fixtures.search import read, search

CHART = Length("300 resources", labs=80, urine=8, conditions=40, procedures=32, encounters=55, days_between=14)
FHIR = "/r4"
SCOPE = " ".join(f"patient/{kind}.rs" for kind in ("Patient", "Observation", "Condition", "Procedure", "Encounter"))
TOKEN = {
    "access_token": "bench-token",
    "token_type": "Bearer",
    "expires_in": 3600,
    "scope": f"{SCOPE} patient/RiskAssessment.c",
    "patient": PATIENT,
}


def chart(at: datetime) -> list[Json]:
    """Every resource of the patient."""
    record = Record(at, timedelta(days=CHART.days_between))
    kinds: tuple[tuple[Callable[[int], Json], int], ...] = (
        (record.creatinine, CHART.labs),
        (record.egfr, CHART.labs),
        (record.uacr, CHART.urine),
        (record.upcr, CHART.urine // 2),
        (record.condition, CHART.conditions),
        (record.procedure, CHART.procedures),
        (record.encounter, CHART.encounters),
    )
    return [record.patient(), *(make(number) for make, count in kinds for number in range(count))]


class Ehr:
    """Answers GET and POST by path; each search is made ready once, so that its making is not what is measured."""

    def __init__(self) -> None:
        self._resources = chart(datetime.now(UTC).replace(microsecond=0))
        self._ready: dict[str, bytes] = {}

    def get(self, base: str, path: str, query: str) -> bytes:
        """The body for a path below the host; KeyError for one that this EHR has not. `base` ends with FHIR."""
        key = f"{path}?{query}"
        if key not in self._ready:
            self._ready[key] = json.dumps(self._made(base, path, query), separators=(",", ":")).encode()
        return self._ready[key]

    def delivered(self) -> int:
        """How many resources were read so far, each counted once."""
        found = set()
        for body in self._ready.values():
            said = json.loads(body)
            for one in [entry["resource"] for entry in said.get("entry", ())] or [said]:
                found.add((one.get("resourceType"), one.get("id")))
        return len([kind for kind, _ in found if kind not in (None, "Bundle")])

    def _made(self, base: str, path: str, query: str) -> Json:
        if path == f"{FHIR}/.well-known/smart-configuration":
            endpoints = {"authorization_endpoint": f"{base}/authorize", "token_endpoint": f"{base}/token"}
            return endpoints | {"capabilities": ["launch-ehr", "client-public", "permission-v2"]}
        if path == f"{FHIR}/token":
            return TOKEN
        kind, _, identity = path.removeprefix(f"{FHIR}/").partition("/")
        if not identity:
            return search(self._resources, kind, parse_qsl(query, keep_blank_values=True), base)
        found = read(self._resources, kind, identity)
        if found is None:
            raise KeyError(path)
        return found


_ehr = Ehr()


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """The same over a socket, in a process of its own."""
    if scope["type"] == "http":
        while (await receive()).get("more_body", False):
            pass
        host = dict(scope["headers"])[b"host"].decode()
        await answer(_ehr.get(f"http://{host}{FHIR}", scope["path"], scope["query_string"].decode()), send)
