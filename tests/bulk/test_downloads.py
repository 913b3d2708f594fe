"""One file after the other comes whole to the disk, whatever happens on the way."""

import asyncio
import gzip
import tempfile
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from cds.bulk import ExportFailed
from cds.bulk.answered import MayPass
from cds.bulk.lanes import Lanes
from cds.bulk.part import Part
from cds.bulk.trials import ATTEMPTS, Trials
from cds.bulk.unpacking import BadlyPacked, Gunzip
from tests.bulk.roads import Sleeps, contents, events, fetched
from tests.bulk.server import BulkDouble, bulk_double, cut_off, etag, ndjson, outcome, patients

FILE = "/files/Patient.1"
STATUS = "/fhir/status/1"


def file_asked(double: BulkDouble) -> int:
    return len(double.asked(FILE))


@pytest.mark.proves(
    "B18", "gzip is asked for, unpacked as it comes, and kept unpacked; a packed file served as it lies too"
)
def test_packed_files_are_kept_unpacked(unsigned: BulkDouble, out: Path) -> None:
    unsigned.packed = True
    unsigned.add("output", "Patient.1", patients(500))
    unsigned.add("output", "Observation.1", [{"resourceType": "Observation"}])
    lying = unsigned.files["Observation.1"]
    unsigned.on["/files/Observation.1"] = lambda *_: Response(gzip.compress(lying), media_type="application/gzip")
    fetched(unsigned, out)
    assert contents(out) == {"Patient.0001.ndjson": unsigned.files["Patient.1"], "Observation.0001.ndjson": lying}
    [asked] = unsigned.asked(FILE)
    assert (asked.headers["accept"], asked.headers["accept-encoding"]) == ("application/fhir+ndjson", "gzip")


@pytest.mark.proves("B20", "cut in mid-stream, 500, 502, 503 with Retry-After and HTML: fetched whole, byte for byte")
def test_a_file_is_fetched_until_it_is_whole(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(300))
    content = unsigned.files["Patient.1"]
    faults = [
        cut_off(content, 1000), outcome(500, "exception"), Response(status_code=502),
        outcome(503, "transient", Retry_After="7"), Response("<html>Sign in</html>", media_type="text/html"),
        cut_off(content, len(content) - 1), cut_off(content, 0),
    ]  # fmt: skip
    unsigned.on[FILE] = lambda _, n: faults[n] if n < len(faults) else None
    sleeps = Sleeps()
    fetched(unsigned, out, sleeps=sleeps)
    assert contents(out) == {"Patient.0001.ndjson": content}
    assert 7.0 in sleeps.slept
    assert [one["eventId"] for one in events(out)].count("download_error") == 7


@pytest.mark.proves(
    "B20", "with a strong ETag and Accept-Ranges a cut file goes on where it was: 5 cuts, no byte twice"
)
def test_a_cut_file_goes_on_where_it_was(unsigned: BulkDouble, out: Path) -> None:
    unsigned.ranges = True
    unsigned.add("output", "Patient.1", patients(600))
    content = unsigned.files["Patient.1"]
    step = len(content) // 6 + 1

    def cut(request: Request, number: int) -> Response | None:
        if number >= 5:
            return None
        start = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        answer = cut_off(content[start:], step, etag=etag(content), accept_ranges="bytes")
        if start:
            answer.status_code = 206
            answer.headers["content-range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return answer

    unsigned.on[FILE] = cut
    fetched(unsigned, out)
    assert contents(out) == {"Patient.0001.ndjson": content}
    starts = [one.headers.get("range") for one in unsigned.asked(FILE)]
    assert starts == [None, *(f"bytes={step * number}-" for number in range(1, 6))]
    assert {one.headers.get("if-range") for one in unsigned.asked(FILE)[1:]} == {etag(content)}


@pytest.mark.parametrize("tag", ['W/"weak"', ""])
def test_without_a_strong_tag_a_cut_file_is_begun_anew(unsigned: BulkDouble, out: Path, tag: str) -> None:
    unsigned.add("output", "Patient.1", patients(100))
    content = unsigned.files["Patient.1"]
    unsigned.on[FILE] = lambda _, n: cut_off(content, 50, etag=tag, accept_ranges="bytes") if n == 0 else None
    fetched(unsigned, out)
    assert [one.headers.get("range") for one in unsigned.asked(FILE)] == [None, None]
    assert contents(out) == {"Patient.0001.ndjson": content}


@pytest.mark.proves("B20", "a file that changed under its name, or another part than was asked for, is begun anew")
@pytest.mark.parametrize("answer", ["200", "206-elsewhere", "206-another-file", "416"])
def test_another_part_than_was_asked_for_is_not_pasted(unsigned: BulkDouble, out: Path, answer: str) -> None:
    unsigned.add("output", "Patient.1", patients(100))
    content = unsigned.files["Patient.1"]
    other = ndjson(patients(100, 500))

    def faults(_: Request, number: int) -> Response | None:
        if number == 0:
            return cut_off(other, 50, etag='"old"', accept_ranges="bytes")
        if number == 1 and answer != "200":
            start = 10 if answer == "206-elsewhere" else 50
            said = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}", "ETag": '"new"'}
            return Response(content[start:], 206, headers=said) if answer != "416" else Response(status_code=416)
        return None

    unsigned.on[FILE] = faults
    fetched(unsigned, out)
    assert contents(out) == {"Patient.0001.ndjson": content}


@pytest.mark.proves(
    "B20", "lines against count and bytes against fileSize: a difference is looked at twice, then told by file"
)
@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"count": 4}, "4 resources, the file has 3"),
        ({"fileSize": 7}, "7 bytes"),
        ({"count": 2}, "2 resources"),
        ({}, ""),
    ],
)
def test_a_file_that_is_not_what_the_manifest_says(
    unsigned: BulkDouble, out: Path, members: dict[str, int], why: str
) -> None:
    content = ndjson(patients(3))
    unsigned.add("output", "Patient.1", content, **members)
    unsigned.add("output", "Patient.2", patients(1))
    if not members:
        unsigned.files["Patient.1"] = content[:-5]
        why = "middle of a resource"
    with pytest.raises(ExportFailed, match=rf"^Patient\.0001\.ndjson: .*{why}"):
        fetched(unsigned, out)
    assert file_asked(unsigned) == 2
    assert list(contents(out)) == ["Patient.0002.ndjson"]


@pytest.mark.proves(
    "B22", "no newline at the end, CRLF, blank lines and a BOM are counted as they mean, and kept as they are"
)
@pytest.mark.parametrize(
    "content", [b'{"a":1}\n{"a":2}', b'\xef\xbb\xbf{"a":1}\r\n\r\n{"a":2}\r\n', b'\n{"a":1}\n  \n{"a":2}\n\n']
)
def test_lines_are_counted_as_they_mean(unsigned: BulkDouble, out: Path, content: bytes) -> None:
    unsigned.add("output", "Patient.1", content, count=2, fileSize=len(content))
    assert fetched(unsigned, out).resources == 2
    assert contents(out) == {"Patient.0001.ndjson": content}


@given(st.lists(st.binary(max_size=12), max_size=12))
def test_lines_do_not_depend_on_where_pieces_end(lines: list[bytes]) -> None:
    content = b"\n".join(lines)
    with tempfile.TemporaryDirectory() as folder:
        part = Part(Path(folder) / "lines")
        for start in range(0, len(content), 3):
            part.write(content[start : start + 3])
        found = part.found()
        part.drop()
    blank = b" \t\r\n\xef\xbb\xbf"
    assert found.lines == sum(bool(line.strip(blank)) for line in content.split(b"\n"))


NAMED = b'{"resourceType":"Patient","id":"p3","name":[{"family":"x"},{"family":"y"}],"birthDate":"1950-01-01"}\n'


@pytest.mark.proves("B20", "a file cut after an inner brace, with the lines that the manifest says, is not whole")
def test_a_brace_is_not_the_end_of_a_resource(unsigned: BulkDouble, out: Path) -> None:
    whole = ndjson(patients(2)) + NAMED
    unsigned.add("output", "Patient.1", whole[: whole.index(b',{"family":"y"')], count=3)
    with pytest.raises(ExportFailed, match="middle of a resource"):
        fetched(unsigned, out)
    unsigned.files["Patient.1"] = whole
    assert fetched(unsigned, out).resources == 3


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_the_last_line_is_read_wherever_pieces_end(tmp_path: Path, step: int) -> None:
    content = b'\xef\xbb\xbf{"resourceType":"Parameters"}\r\n\n' + NAMED
    ends = {}
    for end in (len(content), len(content) - 3, content.index(b',{"family":"y"')):
        part = Part(tmp_path / "lines")
        for start in range(0, end, step):
            part.write(content[start : min(start + step, end)])
        ends[end] = (part.ends_whole, part.headers, part.found().lines)
        part.drop()
    assert list(ends.values()) == [(True, 1, 2), (False, 1, 2), (False, 1, 2)]


def test_an_empty_file_is_a_file(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", b"", count=0)
    assert fetched(unsigned, out).resources == 0
    assert contents(out) == {"Patient.0001.ndjson": b""}


@pytest.mark.proves("B16", "files by patient: the header of each patient's block may be counted or not")
@pytest.mark.parametrize("count", [2, 3, None])
def test_files_by_patient_have_headers(unsigned: BulkDouble, out: Path, count: int | None) -> None:
    header = {"resourceType": "Parameters", "parameter": [{"name": "header"}]}
    content = ndjson([header, *patients(2)])
    unsigned.files["x"] = content
    counted = {"count": count} if count else {}
    unsigned.manifest["output"] = [{"url": f"{unsigned.origin}/files/x", "continuesInFile": "y"} | counted]
    fetched(unsigned, out)
    assert contents(out) == {"ByPatient.0001.ndjson": content}


@pytest.mark.proves("B16", "by patient: a lost resource is not made good by the headers")
def test_headers_do_not_stand_in_for_a_lost_resource(unsigned: BulkDouble, out: Path) -> None:
    headers = [{"resourceType": "Parameters", "parameter": [{"name": name}]} for name in ("a", "b")]
    unsigned.files["x"] = ndjson([headers[0], *patients(2), headers[1], *patients(1, 2)])
    unsigned.manifest["output"] = [{"url": f"{unsigned.origin}/files/x", "count": 4}]
    with pytest.raises(ExportFailed, match="4 resources, the file has 5"):
        fetched(unsigned, out)
    unsigned.files["x"] += ndjson(patients(1, 3))
    assert fetched(unsigned, out).files == 1


@pytest.mark.proves(
    "B23", "404 or 410 on a file: the manifest is read again once and its new link used, then it is told"
)
@pytest.mark.parametrize("status", [404, 410])
def test_a_link_that_ended_is_read_again_once(unsigned: BulkDouble, out: Path, status: int) -> None:
    unsigned.add("output", "Patient.1", patients(2))
    unsigned.add("output", "Observation.1", [])
    unsigned.on[FILE] = lambda *_: outcome(status, "not-found")
    unsigned.files["anew"] = unsigned.files["Patient.1"]

    def status_page(request: Request, number: int) -> Response | None:
        if number == 0 or request.method == "DELETE":
            return None
        first, *others = unsigned.manifest["output"]
        anew = first | {"url": f"{unsigned.origin}/files/{'anew' if renewed else 'Patient.1?again'}"}
        return JSONResponse(unsigned.manifest | {"output": [anew, *others]})

    renewed = False
    unsigned.on[STATUS] = status_page
    with pytest.raises(ExportFailed, match=rf"Patient\.0001\.ndjson: the server answered {status}, also after"):
        fetched(unsigned, out)
    assert (file_asked(unsigned), len(unsigned.asked(STATUS))) == (2, 2)
    renewed = True
    fetched(unsigned, out)
    assert contents(out)["Patient.0001.ndjson"] == unsigned.files["Patient.1"]


@pytest.mark.proves("B17", "links past their Expires are read again before they are asked; what ends first comes first")
def test_links_that_have_ended_are_read_again_first(unsigned: BulkDouble, out: Path) -> None:
    for number in range(1, 4):
        unsigned.add("output", f"Patient.{number}", patients(1, number))
    sleeps = Sleeps()

    def status_page(request: Request, number: int) -> Response | None:
        if request.method == "DELETE":
            return None
        ends = sleeps.clock() + timedelta(seconds=600)
        signed = [one | {"url": f"{one['url']}?sig={number}"} for one in unsigned.manifest["output"]]
        headers = {"Expires": format_datetime(ends, usegmt=True)}
        return JSONResponse(unsigned.manifest | {"output": signed}, headers=headers)

    unsigned.on[STATUS] = status_page
    unsigned.on[FILE] = lambda _, n: outcome(503, "transient", Retry_After="300") if n < 3 else None
    fetched(unsigned, out, sleeps=sleeps, at_once=1)
    assert len(unsigned.asked(STATUS)) == 2
    asked = [(one.path, one.query[0][1]) for one in unsigned.seen if one.path.startswith("/files/")]
    others = [("/files/Patient.2", "1"), ("/files/Patient.3", "1")]
    assert asked == [(FILE, "0"), (FILE, "0"), (FILE, "1"), (FILE, "1"), *others]


def test_a_manifest_that_has_always_ended_is_read_once(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(1))
    headers = {"Expires": "Sun, 22 Nov 1998 10:00:00 GMT"}
    unsigned.on[STATUS] = lambda request, _: (
        JSONResponse(unsigned.manifest, headers=headers) if request.method == "GET" else None
    )
    assert fetched(unsigned, out).files == 1
    assert len(unsigned.asked(STATUS)) == 1


def test_a_signed_link_that_answers_403_is_read_again(signed: BulkDouble, out: Path) -> None:
    with bulk_double() as files:
        signed.files_at = files.origin
        signed.manifest["requiresAccessToken"] = False
        signed.add("output", "Patient.1", patients(1))
        files.files = signed.files
        files.on[FILE] = lambda _, n: outcome(403, "expired") if n == 0 else None
        assert fetched(signed, out, hosts=[files.origin]).resources == 1
        assert len(signed.asked(STATUS)) == 2


@pytest.mark.proves("B19", "20 files at 8 at once, with 429s: never more than 8, halved by the 429s, all 20 fetched")
def test_fewer_at_once_after_a_429(unsigned: BulkDouble, out: Path) -> None:
    for number in range(20):
        unsigned.add("output", f"Patient.{number}", patients(1, number))
        unsigned.on[f"/files/Patient.{number}"] = lambda _, n: (
            outcome(429, "throttled", Retry_After="2") if n < 3 else None
        )
    sleeps = Sleeps()
    assert fetched(unsigned, out, sleeps=sleeps, at_once=8).files == 20
    assert len([one for one in unsigned.seen if one.path.startswith("/files/")]) == 80
    assert sleeps.slept.count(2.0) == 60


@pytest.mark.proves("B19", "halved once for the requests of one round, down to 1; one more after as many successes")
async def test_lanes_are_halved_and_climb_slowly() -> None:
    lanes = Lanes(8)
    async with lanes.lane() as first, lanes.lane() as second:
        lanes.too_many(first)
        lanes.too_many(second)
    assert lanes.limit == 4
    for expected in (2, 1, 1):
        async with lanes.lane() as now:
            lanes.too_many(now)
        assert lanes.limit == expected
    limits = []
    for _ in range(40):
        lanes.went_well()
        limits.append(lanes.limit)
    assert (limits[0], limits[2], limits[5], limits[-1]) == (2, 3, 4, 8)


@pytest.mark.proves(
    "B18", "a gzip bomb of 1028 to 1 stops at 64 MiB and in pieces of 256 KiB; members and their end are seen"
)
def test_gzip_is_unpacked_within_measure() -> None:
    assert b"".join(Gunzip().feed(gzip.compress(b"one") + gzip.compress(b"two"))) == b"onetwo"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush()
    sizes: list[int] = []
    with pytest.raises(BadlyPacked, match="100 times"):
        sizes.extend(len(piece) for piece in Gunzip().feed(bomb))
    assert 0 < max(sizes) <= 256 * 1024
    assert sum(sizes) <= 65 * 2**20
    unpack = Gunzip()
    list(unpack.feed(gzip.compress(b"x" * 100)[:-9]))
    with pytest.raises(BadlyPacked, match="cut off"):
        unpack.end()
    with pytest.raises(BadlyPacked, match="not gzip"):
        list(Gunzip().feed(b"no gzip at all"))


def test_a_packed_file_that_is_cut_off_is_fetched_again(unsigned: BulkDouble, out: Path) -> None:
    unsigned.packed = True
    unsigned.add("output", "Patient.1", patients(50))
    packed = gzip.compress(unsigned.files["Patient.1"])
    short = Response(packed[:-20], headers={"Content-Encoding": "gzip"})
    unsigned.on[FILE] = lambda _, n: short if n == 0 else None
    assert fetched(unsigned, out).resources == 50


def test_redirects_are_followed_but_not_for_ever(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(1))
    unsigned.on[FILE] = lambda request, n: RedirectResponse("/files/there") if n == 0 else None
    unsigned.files["there"] = unsigned.files["Patient.1"]
    assert fetched(unsigned, out).resources == 1
    unsigned.on[FILE] = lambda *_: RedirectResponse(FILE)
    with pytest.raises(ExportFailed, match="redirected without end"):
        fetched(unsigned, out.with_name("other"))


@pytest.mark.proves("B19", "429 without Retry-After: ever longer waits, and hours of them fail no file")
def test_throttling_without_a_time_is_met_with_longer_waits(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(1))
    unsigned.on[FILE] = lambda _, n: Response(status_code=429) if n < 150 else None
    unsigned.on[STATUS] = lambda request, n: Response(status_code=429) if n < 20 and request.method == "GET" else None
    sleeps = Sleeps()
    assert fetched(unsigned, out, sleeps=sleeps).files == 1
    assert sleeps.slept[:4] == sleeps.slept[20:24] == [1.5, 3.0, 6.0, 12.0]
    assert sum(sleeps.slept[20:]) > 8 * 3600


def test_throttling_without_end_is_ended_by_the_deadline(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(1))
    unsigned.on[FILE] = lambda *_: Response(status_code=429)
    sleeps = Sleeps()
    with pytest.raises(ExportFailed, match=r"Patient\.0001\.ndjson: it was not here by the deadline"):
        fetched(unsigned, out, sleeps=sleeps, deadline=timedelta(hours=2))
    assert 7190 < sum(sleeps.slept) < 7201
    unsigned.on.clear()
    assert fetched(unsigned, out, sleeps=sleeps, deadline=timedelta(days=30)).files == 1


@pytest.mark.proves("B20", "a server that cuts each time and never sends more than before: given up after 8 times")
def test_what_comes_no_further_is_given_up(unsigned: BulkDouble, out: Path) -> None:
    unsigned.add("output", "Patient.1", patients(600))
    content = unsigned.files["Patient.1"]
    unsigned.on[FILE] = lambda _, n: cut_off(content, 900 if n % 2 else 1900, accept_ranges="bytes", etag='"x"')
    with pytest.raises(ExportFailed, match="8 times"):
        fetched(unsigned, out)
    assert file_asked(unsigned) == 9


def test_a_file_that_comes_byte_by_byte_is_given_up() -> None:
    trials = Trials()
    turns = [trials.after(MayPass("it was cut off"), held) for held in range(1, ATTEMPTS + 1)]
    assert (set(turns[:-1]), turns[-1], trials.times) == ({0}, None, ATTEMPTS)


@pytest.mark.parametrize(("hours", "why"), [(25, "within 24 hours, 8 times"), (24 * 40, "not here by the deadline")])
def test_a_slow_drip_is_no_file(unsigned: BulkDouble, out: Path, hours: int, why: str) -> None:
    """The clock goes on by as many hours with each piece that comes."""
    unsigned.add("output", "Patient.1", patients(1))
    sleeps = Sleeps()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(2):
            await asyncio.sleep(0.02)
            sleeps.ahead += timedelta(hours=hours)
            yield b" "

    unsigned.on[FILE] = lambda *_: StreamingResponse(pieces(), media_type="application/fhir+ndjson")
    with pytest.raises(ExportFailed, match=why):
        fetched(unsigned, out, sleeps=sleeps)
