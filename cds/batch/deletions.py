"""What a FHIR server says it has deleted since an earlier export: Bundles of DELETE requests, one a line."""

from collections.abc import Iterable, Iterator

from msgspec import MsgspecError, Struct, field, json

from cds.batch.prefilter import BLOCK
from cds.batch.sources import Range, Source, lines_of
from cds.errors import ExportUnreadable


class _Request(Struct):
    method: str = ""
    url: str = ""


class _Entry(Struct):
    request: _Request | None = None


class _Bundle(Struct):
    entry: list[_Entry] = field(default_factory=list)


def deleted_references(sources: Iterable[Source]) -> frozenset[str]:
    """References ("Patient/1") of what was deleted. Raises ExportUnreadable for a line that is no such Bundle."""
    return frozenset(reference for source in sources for reference in _of(source))


def _of(source: Source) -> Iterator[str]:
    for block in lines_of(source, Range(0, 0, 0, source.length), BLOCK):
        for line in block.data[: block.length].split(b"\n"):
            if text := bytes(line).strip():
                yield from _deletions(source, text)


def _deletions(source: Source, text: bytes) -> Iterator[str]:
    try:
        bundle = json.decode(text, type=_Bundle)
    except MsgspecError:
        raise ExportUnreadable(f"deleted/{source.name}: a line is no Bundle of deletions: export again") from None
    for entry in bundle.entry:
        if entry.request is not None and entry.request.method == "DELETE":
            yield "/".join(entry.request.url.partition("?")[0].rstrip("/").split("/")[-2:])
