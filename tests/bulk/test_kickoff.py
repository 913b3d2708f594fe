"""How an export is asked for, and what the client makes of the server's answer."""

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from starlette.responses import Response

from cds.bulk import AlreadyRunning, ExportFailed, ExportRequest, HostNotAllowed
from cds.errors import RequestError
from tests.bulk.roads import REQUEST, Sleeps, contents, events, fetched, record
from tests.bulk.server import BulkDouble, outcome, patients

BASE = "https://ehr.example/fhir"
WHEN = datetime(2026, 11, 1, tzinfo=UTC)
ALL = ExportRequest(
    types=("Patient", "Observation"), level="group", group="g1", since=WHEN, until=WHEN, partial=True, by_patient=True,
    type_filters=("Observation?code=http://loinc.org%7C2160-0,http://loinc.org%7C38483-4",), elements=("id",),
    associated=("LatestProvenanceResources",), output_format="application/fhir+ndjson",
)  # fmt: skip


def query(request: ExportRequest) -> list[tuple[str, str]]:
    _, url, body = request.message(BASE)
    assert body is None
    return parse_qsl(urlsplit(url).query)


@pytest.mark.proves(
    "B3", "patient, group and system level; GET with repeated or joined parameters, POST with Parameters"
)
@pytest.mark.parametrize(
    ("request_", "url"),
    [
        (ExportRequest(types=("Patient",)), f"{BASE}/Patient/$export?_type=Patient"),
        (ExportRequest(types=("Patient",), level="system"), f"{BASE}/$export?_type=Patient"),
        (ExportRequest(types=("Patient",), level="group", group="g.1"), f"{BASE}/Group/g.1/$export?_type=Patient"),
    ],
)
def test_each_level_has_its_url(request_: ExportRequest, url: str) -> None:
    assert request_.message(BASE) == ("GET", url, None)


@pytest.mark.proves("B4", "_type, _since, _until, _typeFilter, _elements, _outputFormat, patient and five more")
@pytest.mark.proves("B5", "a comma inside a _typeFilter is escaped once more than the parameter itself")
def test_every_parameter_is_sent_as_the_guide_writes_it() -> None:
    told = query(ALL)
    assert [value for name, value in told if name == "_type"] == ["Patient", "Observation"]
    assert ("_typeFilter", "Observation?code=http://loinc.org%7C2160-0%2Chttp://loinc.org%7C38483-4") in told
    assert "%252C" in ALL.message(BASE)[1]
    assert dict(told) | {"_type": "", "_typeFilter": ""} == {
        "_type": "", "_typeFilter": "", "_elements": "id", "includeAssociatedData": "LatestProvenanceResources",
        "_since": "2026-11-01T00:00:00+00:00", "_until": "2026-11-01T00:00:00+00:00", "organizeOutputBy": "Patient",
        "_outputFormat": "application/fhir+ndjson", "allowPartialManifests": "true",
    }  # fmt: skip


def test_lists_may_be_joined_for_servers_that_refuse_a_repeated_parameter() -> None:
    joined = msgspec.structs.replace(ALL, commas=True)
    assert ("_type", "Patient,Observation") in query(joined)
    assert [name for name, _ in query(joined)].count("_type") == 1


@pytest.mark.proves("B6", "Prefer: respond-async with each wish, Accept: application/fhir+json")
def test_a_post_holds_parameters_and_patients() -> None:
    wishes = msgspec.structs.replace(ALL, patients=("Patient/1",), lenient=True, separate_status=True)
    method, url, body = wishes.message(BASE)
    assert (method, url) == ("POST", f"{BASE}/Group/g1/$export")
    given = msgspec.json.decode(body or b"")
    assert given["resourceType"] == "Parameters"
    assert {"name": "patient", "valueReference": {"reference": "Patient/1"}} in given["parameter"]
    assert {"name": "_since", "valueInstant": "2026-11-01T00:00:00+00:00"} in given["parameter"]
    assert {"name": "allowPartialManifests", "valueBoolean": True} in given["parameter"]
    assert wishes.headers() == {
        "Accept": "application/fhir+json", "Content-Type": "application/fhir+json",
        "Prefer": "respond-async, separate-export-status, handling=lenient",
    }  # fmt: skip
    assert "Patient/1" not in str(wishes.told())
    narrow = ExportRequest(types=("Observation",), type_filters=("Observation?patient=p1&code=x,y",))
    assert ["_typeFilter", "Observation?patient=…&code=…"] in narrow.told()["parameters"]


@pytest.mark.parametrize(
    "wrong",
    [
        ExportRequest(types=()), ExportRequest(types=("../x",)), ExportRequest(types=("Patient",), level="group"),
        ExportRequest(types=("Patient",), level="group", group="a/b"), ExportRequest(types=("Patient",), group="g"),
        ExportRequest(types=("Patient",), patients=("1/2",)),
    ],
)  # fmt: skip
def test_what_no_server_could_take_is_refused_before_it_is_sent(wrong: ExportRequest) -> None:
    with pytest.raises(RequestError):
        wrong.check()


@pytest.mark.proves("B7", "429 at the start: said to be a running export, asked once, and adopted by its URL")
def test_an_export_that_runs_already_is_not_asked_for_again(unsigned: BulkDouble, out: Path) -> None:
    start = "/fhir/Patient/$export"
    unsigned.add("output", "Patient.1", patients(1))
    unsigned.on[start] = lambda *_: outcome(429, "throttled", text="for Jane Roe", Content_Location="/fhir/status/1")
    with pytest.raises(AlreadyRunning) as caught:
        fetched(unsigned, out)
    assert len(unsigned.asked(start)) == 1
    assert (caught.value.said, caught.value.url) == ("for Jane Roe", unsigned.status_url)
    assert "Roe" not in caught.value.message + (out / "log.ndjson").read_text()
    assert fetched(unsigned, out, adopt=unsigned.status_url).resources == 1
    assert len(unsigned.asked(start)) == 1


def test_a_start_that_may_pass_is_tried_again_as_the_server_asks(unsigned: BulkDouble, out: Path) -> None:
    unsigned.on["/fhir/Patient/$export"] = lambda _, n: outcome(503, "transient", Retry_After="9") if n < 2 else None
    sleeps = Sleeps()
    fetched(unsigned, out, sleeps=sleeps)
    assert sleeps.slept == [9.0, 9.0]


@pytest.mark.proves("B7", "a gateway's bare 502, 503 or 504 at the start may have begun an export: none is begun again")
@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_answer_that_may_be_a_gateways_starts_nothing_twice(unsigned: BulkDouble, out: Path, status: int) -> None:
    start = "/fhir/Patient/$export"
    unsigned.on[start] = lambda *_: Response("<h1>Gateway</h1>", status, media_type="text/html")
    with pytest.raises(ExportFailed, match=rf"answered {status} without saying why.*may have begun"):
        fetched(unsigned, out)
    assert len(unsigned.asked(start)) == 1


def test_a_start_that_is_told_when_to_come_again_comes_again(unsigned: BulkDouble, out: Path) -> None:
    busy = Response(status_code=503, headers={"Retry-After": "4"})
    unsigned.on["/fhir/Patient/$export"] = lambda _, n: busy if n == 0 else None
    sleeps = Sleeps()
    fetched(unsigned, out, sleeps=sleeps)
    assert sleeps.slept == [4.0]


@pytest.mark.proves("B7", "an OperationOutcome's codes are told, its free text is for the terminal alone")
@pytest.mark.parametrize(
    ("status", "code"), [(400, "not-supported"), (403, "forbidden"), (404, "not-found"), (500, "exception")]
)
def test_a_start_that_is_refused_says_why(unsigned: BulkDouble, out: Path, status: int, code: str) -> None:
    unsigned.on["/fhir/Patient/$export"] = lambda *_: outcome(status, code, text="for Jane Roe")
    with pytest.raises(ExportFailed, match=rf"answered {status} \(error/{code}\)") as caught:
        fetched(unsigned, out)
    assert caught.value.said == "for Jane Roe"
    assert "Roe" not in caught.value.message + (out / "log.ndjson").read_text()
    assert len(unsigned.asked("/fhir/Patient/$export")) == 1
    assert events(out)[-1]["eventDetail"]["errorCode"] == str(status)
    unsigned.on.clear()
    assert fetched(unsigned, out).files == 0


@pytest.mark.parametrize(
    ("answer", "why"),
    [(Response(status_code=202), "Content-Location"), (Response(status_code=200), "did not begin")],
)
def test_a_start_without_a_status_url_is_no_start(unsigned: BulkDouble, out: Path, answer: Response, why: str) -> None:
    unsigned.on["/fhir/Patient/$export"] = lambda *_: answer
    with pytest.raises(ExportFailed, match=why):
        fetched(unsigned, out)


@pytest.mark.parametrize("status", [202, 429])
def test_a_status_url_that_is_none_is_told(unsigned: BulkDouble, out: Path, status: int) -> None:
    unsigned.on["/fhir/Patient/$export"] = lambda *_: Response(
        status_code=status, headers={"Content-Location": "http://[::1"}
    )
    with pytest.raises(ExportFailed, match="no usable URL" if status == 202 else "runs an export for us already"):
        fetched(unsigned, out)


def test_a_status_on_a_strange_host_is_not_asked(unsigned: BulkDouble, out: Path) -> None:
    unsigned.on["/fhir/Patient/$export"] = lambda *_: Response(
        status_code=202, headers={"Content-Location": "https://evil.example/status"}
    )
    with pytest.raises(HostNotAllowed, match=r"--file-host https://evil\.example"):
        fetched(unsigned, out)


def test_a_relative_status_url_is_below_the_server(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(1))
    unsigned.on["/fhir/Patient/$export"] = lambda *_: Response(
        status_code=202, headers={"Content-Location": "/fhir/status/1"}
    )
    assert fetched(unsigned, out).resources == 1
    assert list(contents(out)) == ["Patient.0001.ndjson"]
    assert record(out)["request_digest"] == REQUEST.digest()
