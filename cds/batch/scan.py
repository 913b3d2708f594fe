"""Reads one range of an export, and keeps what the models read, sorted by the shard of its patient."""

from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress

from msgspec import MsgspecError, Struct, field, json

from cds.batch.kept import Reject, framed, named, shard_of
from cds.batch.lines import LONGEST_LINE, Block
from cds.batch.ownership import Unowned, owner_of, replaced_by
from cds.batch.prefilter import Engine, Literals, Select, literals, selector
from cds.batch.scorers import Scorers
from cds.errors import UnreadableResource
from cds.fhir.resources import Resource, codings, condensed, read, read_leniently

_SPACE = b" \t\r"
_BEGIN, _END = ord("{"), ord("}")


class Scanned(Struct):
    """What a range held: how many lines, and of them what was kept and what was rejected."""

    lines: int = 0
    kept: int = 0
    shards: dict[int, bytes] = field(default_factory=dict)
    """Kept resources as `framed`, by shard."""
    rejects: list[Reject] = field(default_factory=list)
    replaced: list[tuple[str, str]] = field(default_factory=list)
    """Ids of patients whose record was replaced, each with the id of the record that stands for it."""
    names: bytes = b""
    """Of an export of changes: every resource of the types that are read, as `named`, whether or not it was kept."""


class Scanner:
    """Reads ranges for some models; made once in each process."""

    def __init__(self, scorers: Scorers, engine: Engine, shards: int, *, changes: bool = False) -> None:
        """`changes`: the export tells what has changed since an earlier one, of which much was kept."""
        self._changes = changes
        needs = scorers.needs
        self._vocabulary = scorers.vocabulary
        self._types = frozenset(need.resource_type for need in needs)
        self._literals: Literals = literals(needs, scorers.vocabulary)
        self._select: Select = selector(engine, self._literals)
        self._reads_all = engine == "none"
        self._shards = shards
        self._owners: dict[str, tuple[bytes, int]] = {}

    def scan(self, number: int, blocks: Iterable[Block], declared: str | None = None) -> Scanned:
        """Read the blocks of a range. `declared`: the type that the export's manifest gives the file."""
        found, parts, names = Scanned(), dict[int, list[bytes]](), set[int]()
        for block in blocks:
            self._scan_block(number, block, declared, found, parts)
            if self._changes:
                names.update(self._names(block.data))
        found.names = array("Q", sorted(names)).tobytes()
        found.shards = {shard: b"".join(parts[shard]) for shard in sorted(parts)}
        return found

    def _scan_block(
        self, number: int, block: Block, declared: str | None, found: Scanned, parts: dict[int, list[bytes]]
    ) -> None:
        if block.overlong:
            found.lines += 1
            found.rejects.append(Reject(number, found.lines, _TOO_LONG))
            return
        data = block.data
        lines, broken = _broken_lines(data)
        found.rejects += [Reject(number, found.lines + line, _BROKEN) for line in broken]
        line, at, skip = found.lines, 0, set(broken)
        for start, end in self._select(data):
            line += data.count(b"\n", at, start)
            at = start
            if start == end or (skip and line + 1 - found.lines in skip):
                continue
            self._scan_line(Reject(number, line + 1, ""), data[start:end], declared, found, parts)
        found.lines += lines

    def _names(self, data: bytes) -> Iterator[int]:
        """What a search for codes passes over may be the correction that took the code away."""
        for line in data.split(b"\n"):
            with suppress(MsgspecError, ValueError):
                one = _name.decode(line.strip(_SPACE))
                if one.resource_type in self._types and one.id:
                    yield named(one.resource_type, one.id)

    def _scan_line(
        self, place: Reject, text: bytes, declared: str | None, found: Scanned, parts: dict[int, list[bytes]]
    ) -> None:
        said = self._kept_or_why(text, declared)
        if isinstance(said, str):
            # What no search would have found is not told of either: every engine gives the same answer.
            if said and (not self._reads_all or self._literals.found_in(text)):
                found.rejects.append(Reject(place.range, place.line, said))
            return
        resource, owner = said
        key, shard = self._owner(owner)
        if resource.resource_type == "Patient":
            found.replaced += [(replaced, owner) for replaced in replaced_by(resource)]
        found.kept += 1
        parts.setdefault(shard, []).append(framed(key, place.line, condensed(resource)))

    def _kept_or_why(self, text: bytes, declared: str | None) -> tuple[Resource, str] | str:
        """A resource that a model reads, with its owner; otherwise why it is rejected, or "" for what nobody reads."""
        if len(text) > LONGEST_LINE:
            return _TOO_LONG
        try:
            resource = _read(text)
        except UnreadableResource as error:
            return f"{error.message} at {error.path}" if error.path else error.message
        kind = resource.resource_type
        if kind in _NOT_HERE:
            return _NOT_HERE[kind]
        if not kind:
            return "no FHIR resource: it has no resourceType"
        if kind not in self._types or not self._is_read(resource):
            return ""
        if declared is not None and kind != declared:
            return f"a {kind} in a file of {declared}"
        owner = owner_of(resource)
        return owner.reason if isinstance(owner, Unowned) else (resource, owner)

    def _is_read(self, resource: Resource) -> bool:
        """Whether some code set holds the resource; Patients and Encounters are read whatever their codes."""
        if resource.resource_type in ("Patient", "Encounter"):
            return True
        hits = self._vocabulary.hits
        concept = resource.code or resource.medication_codeable_concept
        if codings(concept) and hits(concept):
            return True
        if resource.medication_reference is not None:
            return True
        return any(hits(part.code) for part in resource.component or ())

    def _owner(self, owner: str) -> tuple[bytes, int]:
        """An owner's key and shard; the lines of a patient mostly stand together."""
        known = self._owners.get(owner)
        if known is None:
            if len(self._owners) >= _REMEMBERED:
                self._owners.clear()
            key = owner.encode()
            known = self._owners[owner] = (key, shard_of(key, self._shards))
        return known


class _Named(Struct, rename="camel", gc=False):
    resource_type: str | None = None
    id: str | None = None


_name = json.Decoder(_Named)
_REMEMBERED = 10_000
_TOO_LONG = f"a line of more than {LONGEST_LINE} bytes"
_BROKEN = "not a whole JSON object"
_NOT_HERE = {
    "OperationOutcome": "an OperationOutcome of the server among its data",
    "Bundle": "a Bundle: NDJSON holds one resource a line",
}


def _read(text: bytes) -> Resource:
    try:
        return read(text)
    except UnreadableResource:
        return read_leniently(text)


def _broken_lines(data: bytes) -> tuple[int, list[int]]:
    """How many lines a block has, and the numbers (from 1) of those that are neither blank nor from { to }."""
    lines, start, broken = 0, 0, list[int]()
    find = data.find
    while (end := find(b"\n", start)) >= 0:
        lines += 1
        if (data[end - 1] != _END or data[start] != _BEGIN) and _is_broken(data[start:end]):
            broken.append(lines)
        start = end + 1
    if start < len(data):
        lines += 1
        if _is_broken(data[start:]):
            broken.append(lines)
    return lines, broken


def _is_broken(line: bytes) -> bool:
    text = line.strip(_SPACE)
    return bool(text) and not (text.startswith(b"{") and text.endswith(b"}"))
