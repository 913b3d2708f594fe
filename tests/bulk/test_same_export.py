"""Whatever the server lists when it is asked again, files of two exports never stand in one folder."""

from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cds.bulk import ExportFailed
from tests.bulk.roads import Sleeps, contents, fetched
from tests.bulk.server import BulkDouble, outcome, patients

STATUS = "/fhir/status/1"


def half(double: BulkDouble, out: Path, refused: str) -> None:
    """A first run, in which one file could not be had; the manifest is empty after it."""
    double.on[f"/files/{refused}"] = lambda *_: outcome(400, "processing")
    with pytest.raises(ExportFailed, match="answered 400"):
        fetched(double, out)
    double.on.clear()
    double.seen.clear()
    double.manifest["output"] = []


@pytest.mark.proves("B21", "another transactionTime when the manifest is read again: refused, and nothing is mixed")
def test_another_transaction_time_is_another_export(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(1))
    unsigned.add("output", "Observation.1", [])
    half(unsigned, out, "Observation.1")
    before = contents(out)
    unsigned.manifest["transactionTime"] = "2026-12-25T10:00:00Z"
    unsigned.add("output", "Patient.2", patients(1, 100))
    unsigned.add("output", "Observation.2", [])
    with pytest.raises(ExportFailed, match=r"another transactionTime than before.*in another folder"):
        fetched(unsigned, out)
    assert contents(out) == before
    assert unsigned.asked(STATUS, "DELETE") == []
    unsigned.manifest["transactionTime"] = "2026-11-22T11:00:00+01:00"  # the first one, at another offset
    assert fetched(unsigned, out).files == 2


@pytest.mark.proves("B12", "pages with two transactionTimes are two exports: refused")
def test_pages_of_two_times_are_refused(unsigned: BulkDouble, out: Path) -> None:
    unsigned.manifest["link"] = [{"relation": "next", "url": f"{unsigned.base}/pages/1"}]
    other = {"transactionTime": "2026-12-25T10:00:00Z", "output": []}
    unsigned.on["/fhir/pages/1"] = lambda *_: JSONResponse(other)
    with pytest.raises(ExportFailed, match="another transactionTime"):
        fetched(unsigned, out)


@pytest.mark.proves("B21", "the same files under new URLs in another order: each once, whatever their place was")
def test_files_under_new_urls_are_not_taken_for_each_other(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.x1", patients(1, 0))
    unsigned.add("output", "Patient.x2", patients(1, 1))
    half(unsigned, out, "Patient.x2")
    unsigned.add("output", "Patient.y2", patients(1, 1))
    unsigned.add("output", "Patient.y1", patients(1, 0))
    unsigned.on["/files/Patient.y1"] = lambda *_: outcome(400, "processing")
    with pytest.raises(ExportFailed, match="answered 400"):
        fetched(unsigned, out)
    unsigned.on.clear()
    unsigned.manifest["output"].reverse()
    assert fetched(unsigned, out).files == 2
    assert sorted(contents(out).values()) == [unsigned.files["Patient.x1"], unsigned.files["Patient.x2"]]


def test_a_place_is_believed_where_both_numbers_bear_it_out(unsigned: BulkDouble, out: Path) -> None:
    sizes = {}
    for number in (1, 2):
        sizes[number] = {"fileSize": len(b"".join(b'{"resourceType":"Patient","id":"p0"}\n' for _ in range(number)))}
        unsigned.add("output", f"Patient.x{number}", patients(number), **sizes[number])
    half(unsigned, out, "Patient.x2")
    for number in (1, 2):
        unsigned.add("output", f"Patient.y{number}", patients(number), **sizes[number])
    assert fetched(unsigned, out).files == 2
    assert [one.path for one in unsigned.seen if one.path.startswith("/files/")] == ["/files/Patient.y2"]


@pytest.mark.proves("B17", "links that end while files come, and new ones that do not say which is which: told")
def test_new_urls_in_one_run_that_do_not_say_which_is_which_stop_it(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(1))
    unsigned.add("output", "Patient.2", patients(1, 1))
    unsigned.files |= {"new1": unsigned.files["Patient.1"], "new2": unsigned.files["Patient.2"]}
    sleeps = Sleeps()

    def status(request: Request, number: int) -> Response | None:
        if request.method == "DELETE":
            return None
        urls = [
            f"{unsigned.origin}/files/{name}" for name in (("new2", "new1") if number else ("Patient.1", "Patient.2"))
        ]
        listed = [one | {"url": url} for one, url in zip(unsigned.manifest["output"], urls, strict=True)]
        headers = {"Expires": format_datetime(sleeps.clock() + timedelta(seconds=600), usegmt=True)}
        return JSONResponse(unsigned.manifest | {"output": listed}, headers=headers)

    unsigned.on[STATUS] = status
    unsigned.on["/files/Patient.2"] = lambda *_: outcome(410, "expired")
    with pytest.raises(ExportFailed, match="does not say which of its Patient files is which"):
        fetched(unsigned, out, sleeps=sleeps, at_once=1)
    assert fetched(unsigned, out, sleeps=sleeps).files == 2
    assert sorted(contents(out).values()) == [unsigned.files["Patient.1"], unsigned.files["Patient.2"]]
