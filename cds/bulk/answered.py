"""Judges what came in place of a file: whether it may pass, has moved, or is no use asking for."""

from collections.abc import Mapping

from cds.bulk.failed import ExportFailed
from cds.bulk.outcomes import in_codes, read_issues
from cds.errors import DataUnavailable
from cds.fhir.stream import Streamed

OUTCOME_BYTES = 256 * 1024


class FileFailed(ExportFailed):
    """One file cannot be had, or is not what the manifest says. The others can."""


class MayPass(Exception):
    """Not this time. `headers` may say when; `status` None: the network's fault."""

    def __init__(self, why: str, status: int | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.why, self.status, self.headers = why, status, headers or {}


class Expired(Exception):
    """The link leads nowhere any more."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Differs(Exception):
    """What came is not what the manifest says."""


def strong_tag(found: Streamed) -> str:
    """The ETag, when it is a strong one and the server gives parts; a 206 need not say that again."""
    tag = found.headers.get("etag", "")
    gives = found.status == 206 or found.headers.get("accept-ranges", "").strip().lower() == "bytes"
    return tag if gives and tag.startswith('"') else ""


def refuse_page(found: Streamed) -> None:
    """A page for people, of a proxy or a sign-in, is no file of resources."""
    kind = found.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise MayPass("the server sent a page of HTML in place of the file")


async def fault_of(name: str, found: Streamed, *, signed: bool) -> Exception:
    """What an answer other than the file means for trying again."""
    if found.status in (404, 410) or (found.status == 403 and not signed):
        return Expired(found.status)
    if found.status == 416:
        return MayPass("the server has no such part of the file", 416)
    try:
        codes = in_codes(read_issues(await found.beginning(OUTCOME_BYTES)))
    except DataUnavailable:
        codes = ""
    if found.status == 429 or found.status >= 500:
        return MayPass(f"the server answered {found.status}{codes}", found.status, found.headers)
    why = "" if signed else "; it got no token, which goes to the FHIR server's origin alone and where it is wanted"
    return FileFailed(f"{name}: the server answered {found.status}{codes}{why}", status=found.status)
