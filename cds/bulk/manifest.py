"""Reads an export's manifest, whichever version of the Bulk Data guide (STU1 to STU4) its server follows."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urljoin

import msgspec
from msgspec import Struct

from cds.batch.sources import MIXED
from cds.bulk.failed import ExportFailed

Kind = Literal["output", "deleted", "error"]
KINDS: tuple[Kind, ...] = ("output", "deleted", "error")
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_NUMBER = re.compile(r"[0-9]{1,15}")
_USUAL_TYPE = {"output": MIXED, "deleted": "Bundle", "error": "OperationOutcome"}
"""Of an entry that names no type: output organized by patient, transaction Bundles, what went wrong."""


class Listed(Struct, frozen=True):
    """A file of the manifest; `count` resources and `size` bytes (unpacked) where the manifest says them."""

    kind: Kind
    type: str
    url: str
    count: int | None = None
    size: int | None = None


class Manifest(Struct, frozen=True):
    """One page. `next` is the absolute URL of the page after it. `with_token`: its files want the access token."""

    transaction_time: str | None
    with_token: bool
    files: tuple[Listed, ...]
    next: str | None = None

    def count(self, kind: Kind) -> int:
        return sum(one.kind == kind for one in self.files)


def read_manifest(body: bytes, url: str) -> Manifest:
    """The manifest that stood at `url`, to which its links are relative.

    `error` (until STU3) and `outcome` (STU4) are one; `link` may be an array or one object; numbers may be texts;
    members that nobody needs (extension, whatever its shape) are passed over. Raises ExportFailed when it is none.
    """
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ExportFailed("the export's manifest is not JSON") from None
    if not isinstance(said, dict) or not isinstance(said.get("output"), list):
        raise ExportFailed("the export's manifest has no output")
    time = said.get("transactionTime")
    return Manifest(
        time if isinstance(time, str) and len(time) <= 64 and time.isprintable() else None,
        said.get("requiresAccessToken") not in (False, "false"),
        (
            *_files("output", said["output"], url),
            *_files("deleted", said.get("deleted"), url),
            *_files("error", said.get("error"), url),
            *_files("error", said.get("outcome"), url),
        ),
        _next(said.get("link"), url),
    )


def same_instant(one: str, other: str) -> bool:
    """Whether two texts name one instant; a server may write it at another offset when it is asked again."""
    try:
        return one == other or datetime.fromisoformat(one) == datetime.fromisoformat(other)
    except (ValueError, TypeError):
        return False


def holds_manifest(body: bytes) -> bool:
    """Whether the body of an answer that is not the last one is a manifest already."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(said, dict) and isinstance(said.get("output"), list)


def _files(kind: Kind, listed: object, url: str) -> Sequence[Listed]:
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise ExportFailed(f"the export's manifest cannot be read: {kind} is no list")
    return [_file(kind, number, one, url) for number, one in enumerate(listed, 1)]


def _file(kind: Kind, number: int, said: object, url: str) -> Listed:
    where = f"the export's manifest cannot be read: {kind} number {number}"
    if not isinstance(said, dict) or not isinstance(said.get("url"), str) or not said["url"].strip():
        raise ExportFailed(f"{where} has no url")
    found = said.get("type")
    if found is not None and (not isinstance(found, str) or not _TYPE.fullmatch(found)):
        raise ExportFailed(f"{where} has a type that is no resource type")
    return Listed(
        kind, found or _USUAL_TYPE[kind], _join(url, said["url"].strip(), where), _number(said.get("count")),
        _number(said.get("fileSize")),
    )  # fmt: skip


def _join(url: str, link: str, where: str) -> str:
    try:
        return urljoin(url, link)
    except ValueError:
        raise ExportFailed(f"{where} has a url that is none") from None


def _number(value: object) -> int | None:
    """What is no count is as if it was not said."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return value if 0 <= value < 10**15 else None
    return int(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else None


def _next(link: object, url: str) -> str | None:
    links: list[Any] = link if isinstance(link, list) else [link]
    for one in links:
        if isinstance(one, dict) and one.get("relation", one.get("rel")) == "next":
            target = one.get("url", one.get("href"))
            if not isinstance(target, str) or not target.strip():
                raise ExportFailed("the export's manifest cannot be read: its next page has no url")
            return _join(url, target.strip(), "the next page of the export's manifest")
    return None
