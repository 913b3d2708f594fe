"""An export from its start to its end: what is on the disk, what is logged, and what the server is asked."""

from pathlib import Path

import pytest

from cds.bulk import ExportFailed, ExportRequest, NotThisExport
from tests.bulk.roads import REQUEST, contents, digests, events, fetched, record
from tests.bulk.server import BulkDouble, ndjson, outcome, patients


@pytest.fixture
def hospital(signed: BulkDouble) -> BulkDouble:
    signed.statuses = [{"X-Progress": "10% for Jane Roe", "Retry-After": "7"}, {"X-Progress": "90%"}]
    signed.add("output", "Patient.1", patients(3))
    signed.add("output", "Observation.1", patients(2))
    signed.add("output", "Patient.2", patients(4, 3))
    gone = {"request": {"method": "DELETE", "url": "Patient/p99"}}
    signed.add("deleted", "Bundle.1", [{"resourceType": "Bundle", "type": "transaction", "entry": [gone]}])
    issue = {"severity": "warning", "code": "not-supported", "diagnostics": "Jane Roe"}
    signed.add("error", "OperationOutcome.1", [{"resourceType": "OperationOutcome", "issue": [issue]}])
    return signed


@pytest.mark.proves("R60", "202, Retry-After, output, deleted and error files, counts and SHA-256 of each file")
@pytest.mark.proves("B7", "the status URL is on the disk before it is first asked")
@pytest.mark.proves(
    "B13", "severities of the export's own OperationOutcomes are counted; warnings are no partial success"
)
def test_everything_of_an_export_comes_to_the_disk(hospital: BulkDouble, out: Path) -> None:
    found_at_first_poll: list[str] = []
    hospital.on["/fhir/status/1"] = lambda *_: found_at_first_poll.append(record(out)["status_url"])
    done = fetched(hospital, out)
    assert found_at_first_poll[0] == hospital.status_url
    assert list(contents(out)) == [
        "Observation.0001.ndjson", "Patient.0001.ndjson", "Patient.0002.ndjson", "deleted/Bundle.0001.ndjson",
        "error/OperationOutcome.0001.ndjson",
    ]  # fmt: skip
    assert contents(out)["Patient.0002.ndjson"] == hospital.files["Patient.2"]
    assert (done.files, done.resources, done.deleted, done.errors, done.partial) == (3, 9, 1, {"warning": 1}, False)
    kept = record(out)
    assert (kept["state"], kept["status_url"], kept["transaction_time"]) == ("complete", None, "2026-11-22T10:00:00Z")
    assert {one["name"]: one["kept"]["sha256"] for one in kept["files"]} == digests(out)
    assert not list(out.rglob("*.part"))
    assert not (out / "finished.ndjson").exists()


@pytest.mark.proves("B26", "11 kinds of event; no query, token, progress text or diagnostics in any of them")
def test_the_event_log_tells_it_without_a_patient(hospital: BulkDouble, out: Path) -> None:
    fetched(hospital, out)
    told = events(out)
    assert [one["eventId"] for one in told[:6]] == [
        "kickoff", "status_progress", "status_progress", "status_page_complete", "status_complete", "manifest_complete",
    ]  # fmt: skip
    assert [one["eventId"] for one in told].count("download_complete") == 5
    assert told[-1]["eventId"] == "export_complete"
    assert (told[-1]["eventDetail"]["files"], told[-1]["eventDetail"]["resources"]) == (5, 11)
    assert told[1]["eventDetail"] == {"xProgress": "10%", "retryAfter": 7.0}
    assert len({one["exportId"] for one in told}) == 1
    everything = (out / "log.ndjson").read_text() + (out / "export.json").read_text()
    assert "Roe" not in everything
    assert not any(token in everything for token in hospital.tokens)


@pytest.mark.proves("B25", "DELETE after the record of completion is on the disk; 404 is fine; none after a failure")
def test_the_server_may_delete_only_what_is_here(hospital: BulkDouble, out: Path) -> None:
    states: list[str] = []

    def status(request: object, _: int) -> None:
        if getattr(request, "method", "") == "DELETE":
            states.append(record(out)["state"])

    hospital.on["/fhir/status/1"] = status
    hospital.manifest["output"][0]["count"] = 99
    with pytest.raises(ExportFailed, match=r"Patient\.0001\.ndjson: the manifest says 99 resources, the file has 3"):
        fetched(hospital, out)
    assert states == []
    assert record(out)["state"] == "running"
    hospital.manifest["output"][0]["count"] = 3
    with pytest.raises(ExportFailed, match="another file there than it did before"):
        fetched(hospital, out)


@pytest.mark.parametrize("status", [200, 202, 204, 404, 410])
def test_an_export_that_the_server_has_forgotten_is_deleted(unsigned: BulkDouble, out: Path, status: int) -> None:
    unsigned.add("output", "Patient.1", patients(1))
    states: list[str] = []

    def gone(request: object, _: int) -> object:
        if getattr(request, "method", "") != "DELETE":
            return None
        states.append(record(out)["state"])
        return outcome(status, "not-found") if status >= 400 else None

    unsigned.on["/fhir/status/1"] = gone  # type: ignore[assignment]
    assert fetched(unsigned, out).warnings == ()
    assert (states, record(out)["status_url"]) == (["complete"], None)


def test_a_delete_that_fails_is_made_up_for_by_the_same_command(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(1))
    unsigned.on["/fhir/status/1"] = lambda request, n: outcome(500, "exception") if request.method == "DELETE" else None
    assert "still keeps the export" in fetched(unsigned, out).warnings[0]
    unsigned.on.clear()
    assert fetched(unsigned, out).warnings == ()
    assert len(unsigned.asked("/fhir/status/1", "DELETE")) == 2
    assert len(unsigned.asked("/files/Patient.1")) == 1
    fetched(unsigned, out)
    assert len(unsigned.asked("/fhir/status/1", "DELETE")) == 2


def test_with_keep_the_server_keeps_its_files(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(1))
    fetched(unsigned, out, keep=True)
    assert unsigned.asked("/fhir/status/1", "DELETE") == []


@pytest.mark.proves("B13", "an issue of severity error or fatal makes the success partial")
@pytest.mark.parametrize(("severity", "partial"), [("fatal", True), ("error", True), ("information", False)])
@pytest.mark.parametrize("member", ["error", "outcome"])
def test_what_the_server_could_not_export_is_counted(
    unsigned: BulkDouble, out: Path, member: str, severity: str, partial: bool
) -> None:
    issue = {"severity": severity, "code": "processing"}
    unsigned.add(member, "OperationOutcome.1", [{"resourceType": "OperationOutcome", "issue": [issue, issue]}])
    done = fetched(unsigned, out)
    assert (done.errors, done.partial) == ({severity: 2}, partial)


def test_an_error_file_that_is_no_outcome_is_an_error(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("error", "OperationOutcome.1", b'{"resourceType": "Patient"}\n')
    assert fetched(unsigned, out).partial


@pytest.mark.parametrize(
    "other", [ExportRequest(types=("Patient",)), ExportRequest(types=REQUEST.types, level="system")]
)
def test_a_folder_holds_one_export(unsigned: BulkDouble, out: Path, other: ExportRequest) -> None:
    fetched(unsigned, out)
    with pytest.raises(NotThisExport, match="another export"):
        fetched(unsigned, out, request=other)


def test_a_folder_with_something_else_in_it_is_left_alone(unsigned: BulkDouble, out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(NotThisExport, match=r"no export\.json"):
        fetched(unsigned, out)
    assert unsigned.seen == []


def test_the_files_are_for_their_owner_alone(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", ndjson(patients(1)))
    fetched(unsigned, out)
    assert {path.stat().st_mode & 0o077 for path in [out, *out.rglob("*")]} == {0}
