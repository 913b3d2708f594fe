"""After any end the same call goes on where it was: only what is not finished is fetched, and nothing is believed."""

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from starlette.requests import Request
from starlette.responses import Response

from cds.bulk import BulkServer, ExportFailed, NotThisExport, OpenAccess, cancel
from tests.bulk.roads import REQUEST, Sleeps, contents, digests, events, fetched, record, server_of
from tests.bulk.server import BulkDouble, outcome, patients
from tests.cli.command import environment

FILES = [f"Patient.{number}" for number in range(1, 7)]


@pytest.fixture
def halfway(unsigned: BulkDouble, out: Path) -> BulkDouble:
    """Six files, of which the last two could not be had the first time."""
    for number, name in enumerate(FILES):
        unsigned.add("output", name, patients(2, 2 * number))
    for name in FILES[4:]:
        unsigned.on[f"/files/{name}"] = lambda *_: outcome(400, "processing")
    with pytest.raises(ExportFailed, match=r"Patient\.0005\.ndjson: the server answered 400"):
        fetched(unsigned, out)
    unsigned.on.clear()
    unsigned.seen.clear()
    return unsigned


def files_asked(double: BulkDouble) -> list[str]:
    return sorted(one.path.removeprefix("/files/") for one in double.seen if one.path.startswith("/files/"))


@pytest.mark.proves("B21", "4 of 6 files finished: the second run asks for the other two, and starts no second export")
def test_only_what_is_not_finished_is_fetched(halfway: BulkDouble, out: Path) -> None:
    done = fetched(halfway, out)
    assert (done.files, done.resources) == (6, 12)
    assert files_asked(halfway) == FILES[4:]
    assert halfway.asked("/fhir/Patient/$export") == []
    assert [one["eventId"] for one in events(out)].count("kickoff") == 1
    assert {one["name"]: one["kept"]["sha256"] for one in record(out)["files"]} == digests(out)


@pytest.mark.proves("B21", "a torn journal, a file taken away and one cut short: those are fetched again, and no other")
def test_what_is_not_there_any_more_is_fetched_again(halfway: BulkDouble, out: Path) -> None:
    (out / "Patient.0001.ndjson").unlink()
    os.truncate(out / "Patient.0002.ndjson", 5)
    journal = out / "finished.ndjson"
    lines = [line for line in journal.read_bytes().splitlines() if line and b"Patient.0003" not in line]
    journal.write_bytes(b"\n".join(lines) + b'\n{"name":"Patient.0003.ndjson","kept":{"bytes":7')
    (out / "Patient.0004.ndjson.part").write_bytes(b"half of an earlier run")
    assert fetched(halfway, out).resources == 12
    assert files_asked(halfway) == ["Patient.1", "Patient.2", "Patient.3", "Patient.5", "Patient.6"]


def test_a_manifest_with_fewer_files_than_before_is_told(halfway: BulkDouble, out: Path) -> None:
    halfway.manifest["output"].pop()
    with pytest.raises(ExportFailed, match="fewer files"):
        fetched(halfway, out)


def test_a_record_that_cannot_be_read_is_told(halfway: BulkDouble, out: Path) -> None:
    whole = (out / "export.json").read_bytes()
    (out / "export.json").write_bytes(whole[:50])
    with pytest.raises(NotThisExport, match="no record of an export"):
        fetched(halfway, out)
    (out / "export.json").write_bytes(msgspec.json.encode(record_of(whole) | {"format": 99}))
    with pytest.raises(NotThisExport, match="another version"):
        fetched(halfway, out)
    (out / "export.json").write_bytes(whole)
    assert fetched(halfway, out).files == 6


def record_of(whole: bytes) -> dict[str, object]:
    found: dict[str, object] = msgspec.json.decode(whole)
    return found


def test_one_export_at_a_time_in_a_folder(halfway: BulkDouble, out: Path) -> None:
    descriptor = os.open(out, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(ExportFailed, match="at work in this folder"):
        fetched(halfway, out)
    os.close(descriptor)
    assert halfway.seen == []
    assert fetched(halfway, out).files == 6


def test_a_cancel_that_was_cut_off_is_ended_by_the_next(halfway: BulkDouble, out: Path) -> None:
    text = (out / "export.json").read_text().replace('"running"', '"cancelled"')
    (out / "export.json").write_text(text)
    asyncio.run(cancel(server_of(halfway), Sleeps().pace(), out=out))
    assert (record(out)["state"], record(out)["status_url"]) == ("cancelled", None)


def test_an_export_that_began_and_cannot_be_recorded_is_told_with_its_address(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(1))

    def in_the_way(*_: object) -> None:
        (out / ".export.json.part").mkdir()

    unsigned.on["/fhir/Patient/$export"] = in_the_way
    with pytest.raises(ExportFailed, match=r"The server has begun the export: make room, and --adopt http.*/status/1"):
        fetched(unsigned, out)
    (out / ".export.json.part").rmdir()
    assert fetched(unsigned, out, adopt=unsigned.status_url).resources == 1


def begun_and_unanswered(double: BulkDouble, out: Path) -> None:
    """The folder as a kill leaves it between the export's start and the server's answer."""
    double.add("output", "Patient.1", patients(1))
    fetched(double, out)
    begun = record(out) | {"state": "running", "status_url": None, "files": [], "transaction_time": None, "ended": None}
    for path in out.iterdir():
        path.unlink()
    (out / "export.json").write_bytes(msgspec.json.encode(begun))


def test_the_word_of_a_start_without_an_answer_stays_until_the_end(unsigned: BulkDouble, out: Path) -> None:
    begun_and_unanswered(unsigned, out)
    start = "/fhir/Patient/$export"
    unsigned.on[start] = lambda *_: outcome(405, "not-supported")
    with pytest.raises(ExportFailed, match="answered 405"):
        fetched(unsigned, out)
    unsigned.on = {"/files/Patient.1": lambda *_: outcome(400, "processing")}
    with pytest.raises(ExportFailed, match="answered 400"):
        fetched(unsigned, out)
    unsigned.on.clear()
    for _ in range(2):
        [word] = fetched(unsigned, out).warnings
        assert "may have begun that export too" in word


def test_an_adopted_start_is_the_one_without_an_answer(unsigned: BulkDouble, out: Path) -> None:
    begun_and_unanswered(unsigned, out)
    assert fetched(unsigned, out, adopt=unsigned.status_url).warnings == ()


def test_a_start_that_is_refused_leaves_the_folder_for_other_options(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(1))
    unsigned.on["/fhir/Patient/$export"] = lambda *_: outcome(405, "not-supported")
    with pytest.raises(ExportFailed, match="answered 405"):
        fetched(unsigned, out)
    assert [path.name for path in out.iterdir()] == ["log.ndjson"]
    unsigned.on.clear()
    other = msgspec.structs.replace(REQUEST, post=True)
    done = fetched(unsigned, out, request=other)
    assert (done.resources, done.warnings) == (1, ())


@pytest.mark.proves("B25", "cancelled: DELETE to the recorded status URL, and the folder takes no further part in it")
def test_an_export_can_be_cancelled(halfway: BulkDouble, out: Path) -> None:
    assert "ended" in asyncio.run(cancel(server_of(halfway), Sleeps().pace(), out=out))
    assert len(halfway.asked("/fhir/status/1", "DELETE")) == 1
    assert (record(out)["state"], record(out)["status_url"]) == ("cancelled", None)
    with pytest.raises(NotThisExport, match="was cancelled"):
        fetched(halfway, out)
    with pytest.raises(NotThisExport, match="no running export"):
        asyncio.run(cancel(server_of(halfway), Sleeps().pace(), out=out))
    assert len(contents(out)) == 4


def test_only_its_own_server_is_told_to_end_an_export(halfway: BulkDouble, out: Path) -> None:
    other = BulkServer(f"{halfway.origin}/other-tenant", OpenAccess())
    with pytest.raises(NotThisExport, match="it holds an export of http"):
        asyncio.run(cancel(other, Sleeps().pace(), out=out))
    assert halfway.seen == []
    assert fetched(halfway, out).files == 6


@pytest.mark.proves("B21", "--adopt with another export's URL in a folder that holds one: refused, not passed over")
def test_another_export_is_not_adopted_into_a_folder_that_holds_one(halfway: BulkDouble, out: Path) -> None:
    other = f"{halfway.base}/status/2"
    with pytest.raises(NotThisExport, match="another export than the one to adopt"):
        fetched(halfway, out, adopt=other)
    assert halfway.seen == []
    assert fetched(halfway, out, adopt=halfway.status_url).files == 6
    assert fetched(halfway, out, adopt=halfway.status_url).files == 6
    with pytest.raises(NotThisExport, match="another export than the one to adopt"):
        fetched(halfway, out, adopt=other)


def test_a_cancel_that_fails_leaves_everything(halfway: BulkDouble, out: Path) -> None:
    halfway.on["/fhir/status/1"] = lambda *_: Response(status_code=500)
    with pytest.raises(ExportFailed, match="answered 500"):
        asyncio.run(cancel(server_of(halfway), Sleeps().pace(), out=out))
    halfway.on.clear()
    assert fetched(halfway, out).files == 6


def test_an_export_without_a_folder_can_be_cancelled(unsigned: BulkDouble) -> None:
    told = asyncio.run(cancel(server_of(unsigned), Sleeps().pace(), url=unsigned.status_url))
    assert "ended" in told
    assert [one.method for one in unsigned.seen] == ["DELETE"]


def test_a_disk_that_is_full_is_told(unsigned: BulkDouble, tmp_path: Path) -> None:
    """Under a file size limit, as under a quota, every write beyond it fails."""
    unsigned.add("output", "Patient.1", patients(5000))
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536));"
        "from cds.cli.main import main; sys.argv[0] = 'bedside'; main()"
    )
    arguments = ["export", unsigned.base, "--no-auth", "--out", str(tmp_path / "out"), "--json"]
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd="/", env=environment(), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 1, run.stderr
    assert run.stderr.strip().endswith("out: File too large")


def test_bytes_that_came_before_the_end_are_not_lost_by_a_status_that_waits(halfway: BulkDouble, out: Path) -> None:
    def waits(request: Request, number: int) -> Response | None:
        return (
            Response(status_code=202, headers={"Retry-After": "3"}) if number == 0 and request.method == "GET" else None
        )

    halfway.on["/fhir/status/1"] = waits
    sleeps = Sleeps()
    assert fetched(halfway, out, sleeps=sleeps).files == 6
    assert sleeps.slept == [3.0]


def test_a_complete_export_that_lost_a_file_is_told(halfway: BulkDouble, out: Path) -> None:
    fetched(halfway, out)
    (out / "Patient.0003.ndjson").unlink()
    with pytest.raises(ExportFailed, match=r"Patient\.0003\.ndjson of this complete export is gone"):
        fetched(halfway, out)


@pytest.mark.proves("B26", "ended just after the record said complete: the next run says the end in the log, once")
def test_the_log_tells_the_end_once_wherever_a_run_ended(halfway: BulkDouble, out: Path) -> None:
    fetched(halfway, out)
    log = out / "log.ndjson"
    lines = [line for line in log.read_bytes().splitlines(keepends=True) if b"export_complete" not in line]
    log.write_bytes(b"".join(lines) + b'{"exportId":"torn","eventId":"export_complete"')
    (out / "finished.ndjson").write_bytes(b"")
    for _ in range(3):
        fetched(halfway, out)
        told = [line for line in log.read_bytes().splitlines() if b"export_complete" in line]
        assert len(told) == 2
        assert msgspec.json.decode(told[1])["eventDetail"]["files"] == 6
        assert not (out / "finished.ndjson").exists()
