"""What a FHIR server says it has deleted since an earlier export: Bundles of DELETE requests, one a line."""

import re
from collections.abc import Iterable, Iterator

from msgspec import MsgspecError, Struct, field, json

from cds.batch.lines import LONGEST_LINE
from cds.batch.prefilter import BLOCK
from cds.batch.sources import Range, Source, lines_of
from cds.errors import ExportUnreadable
from cds.fhir.identity import split

_TYPE = re.compile("[A-Z][A-Za-z]{0,63}")


class _Request(Struct):
    method: str = ""
    url: str = ""


class _Entry(Struct):
    request: _Request | None = None


class _Bundle(Struct):
    resource_type: str | None = field(default=None, name="resourceType")
    entry: list[_Entry] = field(default_factory=list)


def deleted_references(sources: Iterable[Source]) -> frozenset[str]:
    """References ("Patient/1") of what was deleted. Raises ExportUnreadable for a line that is no such Bundle."""
    return frozenset(reference for source in sources for reference in _of(source))


def _of(source: Source) -> Iterator[str]:
    for block in lines_of(source, Range(0, 0, 0, source.length), BLOCK):
        if block.overlong:
            raise _unusable(source, f"a line is longer than {LONGEST_LINE} bytes")
        for line in block.data[: block.length].split(b"\n"):
            if text := bytes(line).strip():
                yield from _deletions(source, text)


def _deletions(source: Source, text: bytes) -> Iterator[str]:
    try:
        bundle = json.decode(text, type=_Bundle)
    except MsgspecError:
        raise _unusable(source, "a line is no Bundle of deletions") from None
    if bundle.resource_type == "Parameters":  # the head of a block, where an export is organized by patient
        return
    if bundle.resource_type != "Bundle":
        raise _unusable(source, "a line is no Bundle of deletions")
    for entry in bundle.entry:
        if entry.request is not None and entry.request.method == "DELETE":
            kind, _, name = split(entry.request.url.partition("?")[0].rstrip("/"))[1].partition("/")
            if not (_TYPE.fullmatch(kind) and name):
                raise _unusable(source, "a deletion names no resource")
            yield f"{kind}/{name}"


def _unusable(source: Source, why: str) -> ExportUnreadable:
    return ExportUnreadable(f"deleted/{source.name}: {why}: export again")
