"""The access token reaches the FHIR server's own origin and nobody else, wherever the server sends us (R10)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response

from cds.bulk import ExportFailed, HostNotAllowed
from tests.bulk.roads import fetched
from tests.bulk.server import BulkDouble, bulk_double, outcome, patients

FILE = "/files/Patient.1"
STATUS = "/fhir/status/1"
Case = Callable[[BulkDouble, BulkDouble], None]


@pytest.fixture
def stranger() -> Iterator[BulkDouble]:
    """Another origin, which would take what it gets."""
    with bulk_double() as double:
        double.add("output", "Patient.1", patients(1))
        yield double


def files_there(ehr: BulkDouble, there: BulkDouble) -> None:
    ehr.manifest["output"] = there.manifest["output"]


def files_there_open(ehr: BulkDouble, there: BulkDouble) -> None:
    files_there(ehr, there)
    ehr.manifest["requiresAccessToken"] = False


def files_there_by_name(ehr: BulkDouble, there: BulkDouble) -> None:
    url = there.origin.replace("127.0.0.1", "localhost")
    ehr.manifest["output"] = [{"type": "Patient", "url": f"{url}{FILE}"}]


def files_there_401(ehr: BulkDouble, there: BulkDouble) -> None:
    files_there(ehr, there)
    there.on[FILE] = lambda *_: outcome(401, "login")


def redirect(status: int) -> Case:
    def moved(ehr: BulkDouble, there: BulkDouble) -> None:
        ehr.add("output", "Patient.1", patients(1))
        ehr.on[FILE] = lambda *_: RedirectResponse(f"{there.origin}{FILE}", status)

    moved.__name__ = f"file_moved_{status}"
    return moved


def redirect_twice(ehr: BulkDouble, there: BulkDouble) -> None:
    ehr.add("output", "Patient.1", patients(1))
    ehr.on[FILE] = lambda *_: RedirectResponse("/files/second", 307)
    ehr.on["/files/second"] = lambda *_: RedirectResponse(f"{there.origin}{FILE}", 307)


def redirect_after_401(ehr: BulkDouble, there: BulkDouble) -> None:
    ehr.add("output", "Patient.1", patients(1))
    ehr.on[FILE] = lambda _, n: outcome(401, "login") if n == 0 else RedirectResponse(f"{there.origin}{FILE}", 302)


def status_there(ehr: BulkDouble, there: BulkDouble) -> None:
    ehr.on["/fhir/Patient/$export"] = lambda *_: Response(
        status_code=202, headers={"Content-Location": there.status_url}
    )


def status_moved(ehr: BulkDouble, there: BulkDouble) -> None:
    ehr.on[STATUS] = lambda *_: RedirectResponse(there.status_url, 307)


def next_page_there(ehr: BulkDouble, there: BulkDouble) -> None:
    ehr.manifest["link"] = [{"relation": "next", "url": there.status_url}]


def errors_there(ehr: BulkDouble, there: BulkDouble) -> None:
    ehr.manifest["error"] = there.manifest["output"]


def deleted_there(ehr: BulkDouble, there: BulkDouble) -> None:
    ehr.manifest["deleted"] = there.manifest["output"]


CASES: tuple[Case, ...] = (
    files_there, files_there_open, files_there_by_name, files_there_401, *map(redirect, (301, 302, 303, 307, 308)),
    redirect_twice, redirect_after_401, status_there, status_moved, next_page_there, errors_there, deleted_there,
)  # fmt: skip


@pytest.mark.proves(
    "R10", "16 ways to another origin, allowed or not: no token there, and not allowed no request at all"
)
@pytest.mark.proves(
    "B11", "16 ways to another origin: redirects of 5 kinds, files, status, pages; no Authorization there"
)
@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_no_token_goes_to_another_origin(
    signed: BulkDouble, stranger: BulkDouble, out: Path, case: Case, allowed: bool
) -> None:
    case(signed, stranger)
    hosts = [stranger.origin, stranger.origin.replace("127.0.0.1", "localhost")]
    if allowed:
        with ExitStack() as stack:
            if case is files_there_401:
                stack.enter_context(pytest.raises(ExportFailed, match="401"))
            fetched(signed, out, hosts=hosts)
        assert stranger.seen
    else:
        with pytest.raises(
            HostNotAllowed, match=f"--file-host http://(127.0.0.1|localhost):{stranger.origin[-4:]}|allow"
        ):
            fetched(signed, out)
        assert stranger.seen == []
    assert [one.path for one in stranger.seen if one.token] == []
    assert signed.asked("/fhir/Patient/$export")[0].token


@pytest.mark.proves("B11", "requiresAccessToken false: no token for the files, on the FHIR server's own origin too")
@pytest.mark.parametrize("said", [True, False, None])
def test_a_token_goes_along_only_where_it_is_wanted(signed: BulkDouble, out: Path, said: bool | None) -> None:
    signed.add("output", "Patient.1", patients(1))
    signed.manifest["requiresAccessToken"] = said
    if said is None:
        signed.manifest["requiresAccessToken"] = True
        signed.on[STATUS] = lambda request, _: _without_member(signed) if request.method == "GET" else None
    fetched(signed, out)
    [asked] = signed.asked(FILE)
    assert bool(asked.token) is (said is not False)


def _without_member(double: BulkDouble) -> Response:
    return JSONResponse({name: value for name, value in double.manifest.items() if name != "requiresAccessToken"})


@pytest.mark.proves("R10", "4 URLs that are none, or lead into our machine's cloud: not asked")
@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "https://user@evil.example/x", "http://169.254.169.254/latest", "ftp://evil.example/x"],
)
def test_urls_that_nobody_asks(signed: BulkDouble, out: Path, url: str) -> None:
    signed.manifest["output"] = [{"type": "Patient", "url": url}]
    with pytest.raises(ExportFailed):
        fetched(signed, out)


def test_a_strange_host_is_refused_before_any_file_is_fetched(
    signed: BulkDouble, stranger: BulkDouble, out: Path
) -> None:
    signed.add("output", "Observation.1", [])
    signed.manifest["output"] += stranger.manifest["output"]
    with pytest.raises(HostNotAllowed):
        fetched(signed, out)
    assert signed.asked("/files/Observation.1") == []
    fetched(signed, out, hosts=[stranger.origin])
