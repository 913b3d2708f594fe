"""Reads files, folders and standard input as FHIR resources, each with the place where it stood."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from cds.batch.recorded import NOT_DATA, RECORD, recorded
from cds.errors import UnreadableResource
from cds.fhir.chart import Located
from cds.fhir.resources import Resource, read, read_leniently

STANDARD_INPUT = Path("-")
DEEPEST = 8
"""Bundles within Bundles; the standard's own uses need two or three."""

_BOM = b"\xef\xbb\xbf"


class Reject(Struct, frozen=True):
    """What could not take part: where it stands and why, never what it says."""

    file: str
    line: int
    reason: str


def resources(paths: Iterable[Path], rejects: list[Reject]) -> Iterator[tuple[Path, int, Located]]:
    """Every resource of some files (a resource, a Bundle, or NDJSON); what cannot be read is added to `rejects`."""
    for path in _files(paths):
        for line, text in _documents(path):
            for found in _found(text):
                if isinstance(found, str):
                    rejects.append(Reject(path.name, line, found))
                else:
                    yield path, line, found


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            beside = {RECORD, *NOT_DATA} if recorded(str(path)) else ()
            files = sorted(p for p in path.iterdir() if p.suffix in (".json", ".ndjson") and p.is_file())
            yield from (file for file in files if file.name not in beside)
        else:
            yield path


def _documents(path: Path) -> Iterator[tuple[int, bytes]]:
    if path.suffix == ".ndjson":
        with path.open("rb") as lines:
            yield from _lines(lines)
        return
    text = (sys.stdin.buffer.read() if path == STANDARD_INPUT else path.read_bytes()).removeprefix(_BOM)
    first, _, more = text.strip().partition(b"\n")
    if more and _is_json(first):
        yield from _lines(text.splitlines())
    else:
        yield 1, text


def _lines(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(lines, start=1):
        if text := line.strip().removeprefix(_BOM):
            yield number, text


def _is_json(text: bytes) -> bool:
    """Whether a line stands for itself, as it does in NDJSON and never in JSON over many lines."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return False
    return True


def _found(text: bytes) -> Iterator[Located | str]:
    try:
        resource = _read(text)
    except UnreadableResource as error:
        yield f"{error.message} at {error.path}" if error.path else error.message
    else:
        yield from _unpacked(resource)


def _read(text: bytes) -> Resource:
    try:
        return read(text)
    except UnreadableResource as error:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise error from None
        return read_leniently(value)


def _unpacked(resource: Resource, full_url: str | None = None, depth: int = 0) -> Iterator[Located | str]:
    """The resource itself, or everything in a Bundle and the Bundles within it; a reason for what is not there."""
    if resource.resource_type != "Bundle":
        yield resource, full_url
        return
    if depth == DEEPEST:
        yield f"Bundles nest deeper than {DEEPEST}"
        return
    silent = _found_nothing(resource)
    for entry in resource.entry or ():
        if entry.resource is not None:
            yield from _unpacked(entry.resource, entry.full_url, depth + 1)
        elif not silent:
            yield "an entry has no resource"


def _found_nothing(bundle: Resource) -> bool:
    """A search's answer that holds only what the server had to say about it."""
    held = [entry.resource.resource_type for entry in bundle.entry or () if entry.resource is not None]
    return bytes(bundle.type) == b'"searchset"' and held != [] and set(held) == {"OperationOutcome"}
