"""Waiting for an export: what may pass is waited for, what will not is told, and pages come one after the other."""

from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cds.bulk import ExportFailed, ExportRequest, Told
from tests.bulk.roads import REQUEST, Sleeps, contents, events, fetched
from tests.bulk.server import BulkDouble, ndjson, outcome, patients

STATUS = "/fhir/status/1"


@pytest.mark.proves("B8", "202 with Retry-After in seconds, as a date, over the cap and absent: 4 waits")
def test_each_wait_is_as_long_as_the_server_asks(unsigned: BulkDouble, out: Path) -> None:
    sleeps = Sleeps()
    later = format_datetime(sleeps.clock() + timedelta(seconds=100), usegmt=True)
    unsigned.statuses = [{"Retry-After": "7"}, {"Retry-After": later}, {"Retry-After": "18000"}, {}]
    fetched(unsigned, out, sleeps=sleeps)
    assert [sleeps.slept[0], sleeps.slept[2], sleeps.slept[3]] == [7.0, 300.0, 6.0]
    assert 85 < sleeps.slept[1] < 95


@pytest.mark.proves(
    "B9", "429, a 5xx that is all transient and a gateway's 502 are waited for, and X-Progress is shown"
)
def test_what_may_pass_is_waited_for(unsigned: BulkDouble, out: Path) -> None:
    faults = [
        outcome(429, "throttled", Retry_After="30"), outcome(500, "transient"), Response(status_code=502),
        outcome(503, "timeout", Retry_After="5"), Response(status_code=202, headers={"X-Progress": "42% done"}),
    ]  # fmt: skip
    unsigned.on[STATUS] = lambda request, n: faults[n] if request.method == "GET" and n < len(faults) else None
    unsigned.add("output", "Patient.1", patients(2))
    sleeps, shown = Sleeps(), list[Told]()
    assert fetched(unsigned, out, sleeps=sleeps, tell=shown.append).resources == 2
    assert (sleeps.slept[0], sleeps.slept[3]) == (30.0, 5.0)
    assert "42% done" in [told.words for told in shown]
    assert (shown[-1].files, shown[-1].of, shown[-1].preparing) == (1, 1, False)
    assert [one["eventDetail"]["code"] for one in events(out) if one["eventId"] == "status_error"] == [
        429,
        500,
        502,
        503,
    ]


@pytest.mark.proves("B9", "an error that is not transient ends it, with its codes; nothing is deleted on the server")
@pytest.mark.parametrize(
    ("status", "code"), [(500, "exception"), (400, "invalid"), (404, "not-found"), (410, "deleted"), (403, "forbidden")]
)
def test_what_will_not_pass_is_told(unsigned: BulkDouble, out: Path, status: int, code: str) -> None:
    unsigned.on[STATUS] = lambda *_: outcome(status, code, text="for Jane Roe")
    with pytest.raises(ExportFailed, match=rf"answered {status} \(error/{code}\)") as caught:
        fetched(unsigned, out)
    assert caught.value.said == "for Jane Roe"
    assert "Roe" not in caught.value.message + (out / "log.ndjson").read_text()
    assert unsigned.asked(STATUS, "DELETE") == []
    unsigned.on.clear()
    assert fetched(unsigned, out).files == 0
    assert len(unsigned.asked("/fhir/Patient/$export")) == 1


def test_issues_of_which_one_is_not_transient_end_it(unsigned: BulkDouble, out: Path) -> None:
    issues = [{"severity": "error", "code": "transient"}, {"severity": "error", "code": "processing"}]
    body = {"resourceType": "OperationOutcome", "issue": issues}
    unsigned.on[STATUS] = lambda *_: JSONResponse(body, 503)
    with pytest.raises(ExportFailed, match="error/processing"):
        fetched(unsigned, out)


def test_a_server_that_only_fails_is_given_up_after_a_while(unsigned: BulkDouble, out: Path) -> None:
    unsigned.on[STATUS] = lambda *_: Response(status_code=502)
    sleeps = Sleeps()
    with pytest.raises(ExportFailed, match="20 times"):
        fetched(unsigned, out, sleeps=sleeps)
    assert sum(sleeps.slept) > 2000


@pytest.mark.proves("B9", "a wait without end is ended by the deadline, and goes on with a longer one")
def test_the_deadline_ends_the_wait(unsigned: BulkDouble, out: Path) -> None:
    unsigned.statuses = [{"Retry-After": "100"}] * 40
    sleeps = Sleeps()
    with pytest.raises(ExportFailed, match="deadline"):
        fetched(unsigned, out, sleeps=sleeps, deadline=timedelta(minutes=30))
    assert 1790 < sum(sleeps.slept) < 1801
    fetched(unsigned, out, sleeps=sleeps, deadline=timedelta(days=30))


@pytest.mark.proves("B10", "the job's status stands in X-Export-Status where Preference-Applied says so, else never")
@pytest.mark.parametrize("applied", [True, False])
def test_the_jobs_status_may_stand_apart(unsigned: BulkDouble, out: Path, applied: bool) -> None:
    started = {"Content-Location": unsigned.status_url}
    started |= {"Preference-Applied": "respond-async, separate-export-status"} if applied else {}
    unsigned.on["/fhir/Patient/$export"] = lambda *_: Response(status_code=202, headers=started)
    jobs = ["202 Accepted", "202", "200 OK"]
    unsigned.on[STATUS] = lambda request, n: (
        JSONResponse(unsigned.manifest, headers={"X-Export-Status": jobs[n], "Retry-After": "3"})
        if request.method == "GET" else None
    )  # fmt: skip
    unsigned.manifest["link"] = {"relation": "previous", "url": "x"}
    sleeps = Sleeps()
    fetched(unsigned, out, sleeps=sleeps, request=msgspec.structs.replace(REQUEST, separate_status=True))
    assert sleeps.slept == ([3.0, 3.0] if applied else [])


def test_a_job_that_failed_apart_is_told(unsigned: BulkDouble, out: Path) -> None:
    started = {"Content-Location": unsigned.status_url, "Preference-Applied": "separate-export-status"}
    unsigned.on["/fhir/Patient/$export"] = lambda *_: Response(status_code=202, headers=started)
    unsigned.on[STATUS] = lambda *_: outcome(200, "processing", X_Export_Status="500 Internal Server Error")
    with pytest.raises(ExportFailed, match=r"answered 500 \(error/processing\)"):
        fetched(unsigned, out)


def page(double: BulkDouble, number: int, last: int) -> dict[str, Any]:
    """Page `number` of `last`, with one file of two patients."""
    name = f"Patient.page{number}"
    double.files[name] = ndjson(patients(2, 2 * number))
    entry = {"type": "Patient", "url": f"{double.origin}/files/{name}", "count": 2}
    link = [{"relation": "next", "url": f"{double.base}/pages/{number + 1}"}] if number < last else []
    return {"transactionTime": "2026-11-22T10:00:00Z", "requiresAccessToken": True, "output": [entry], "link": link}


@pytest.mark.proves("B12", "4 pages by link next, each file once, in the manifest's order; the last page is waited for")
def test_a_manifest_in_pages_is_read_to_its_end(unsigned: BulkDouble, out: Path) -> None:
    unsigned.on[STATUS] = lambda request, n: JSONResponse(page(unsigned, 0, 3)) if request.method == "GET" else None
    for number in (1, 2):
        unsigned.on[f"/fhir/pages/{number}"] = lambda *_, number=number: JSONResponse(page(unsigned, number, 3))
    unsigned.on["/fhir/pages/3"] = lambda _, n: (
        Response(status_code=202, headers={"Retry-After": "4"}) if n == 0 else JSONResponse(page(unsigned, 3, 3))
    )
    sleeps = Sleeps()
    done = fetched(unsigned, out, sleeps=sleeps)
    assert (done.files, done.resources, sleeps.slept) == (4, 8, [4.0])
    assert b"".join(contents(out).values()) == ndjson(patients(8))
    [complete] = [one["eventDetail"] for one in events(out) if one["eventId"] == "manifest_complete"]
    assert (complete["totalManifests"], complete["totalOutputFileCount"]) == (4, 4)


@pytest.mark.proves("B12", "a page that leads back to an earlier one ends the export instead of never ending")
@pytest.mark.parametrize("back", ["/fhir/status/1", "/fhir/pages/1"])
def test_pages_in_a_circle_are_seen(unsigned: BulkDouble, out: Path, back: str) -> None:
    unsigned.on[STATUS] = lambda *_: JSONResponse(page(unsigned, 0, 3))
    circle = page(unsigned, 1, 3) | {"link": [{"relation": "next", "url": f"{unsigned.origin}{back}"}]}
    unsigned.on["/fhir/pages/1"] = lambda *_: JSONResponse(circle)
    with pytest.raises(ExportFailed, match="circle"):
        fetched(unsigned, out)


@pytest.mark.proves("B12", "files of a partial manifest are fetched while the export still runs, and once")
def test_files_are_fetched_while_the_export_runs(unsigned: BulkDouble, out: Path) -> None:
    def status(request: Request, number: int) -> Response | None:
        if request.method == "DELETE":
            return None
        files = {
            "output": page(unsigned, 0, 0)["output"] + (page(unsigned, 1, 1)["output"] if fetched_already() else [])
        }
        said = page(unsigned, 0, 0) | files
        return JSONResponse(said, 200 if fetched_already() else 202, headers={"Retry-After": "1"})

    def fetched_already() -> bool:
        return bool(unsigned.asked("/files/Patient.page0"))

    unsigned.on[STATUS] = status
    sleeps = Sleeps()
    done = fetched(unsigned, out, sleeps=sleeps, request=msgspec.structs.replace(REQUEST, partial=True))
    assert done.resources == 4
    assert len(unsigned.asked("/files/Patient.page0")) == 1
    assert len(sleeps.slept) >= 1


def test_the_request_names_what_is_wanted(unsigned: BulkDouble, out: Path) -> None:
    wanted = ExportRequest(types=("Patient",), post=True, lenient=True)
    fetched(unsigned, out, request=wanted)
    [start] = unsigned.asked("/fhir/Patient/$export", "POST")
    assert start.headers["prefer"] == "respond-async, handling=lenient"
    assert msgspec.json.decode(start.body)["parameter"] == [{"name": "_type", "valueString": "Patient"}]
