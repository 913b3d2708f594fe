"""Reads one range of an export, and keeps what the models read, sorted by the shard of its patient."""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from msgspec import MsgspecError, Struct, field, json

from cds.batch.kept import Reject, framed, named, shard_of, unreadable_mark
from cds.batch.lines import LONGEST_LINE, Block
from cds.batch.ownership import Unowned, owner_of, replaced_by
from cds.batch.prefilter import Engine, Literals, Select, literals, selector
from cds.batch.scorers import Scorers
from cds.errors import UnreadableResource
from cds.fhir.resources import Reference, Resource, codings, condensed, read, read_leniently

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
    kinds: set[str] = field(default_factory=set)
    """Types of resources of which something was kept."""
    names: bytes = b""
    """Of an export of changes: every resource of the types that are read, as `named`, whether or not it was kept."""


_Owner = tuple[bytes, int]
"""A patient's key, and the shard that is scored with it."""


class Scanner:
    """Reads ranges for some models; made once in each process."""

    def __init__(
        self, scorers: Scorers, engine: Engine, shards: int, *, changes: bool = False, bases: Collection[str] = ()
    ) -> None:
        """`changes`: the export tells what has changed since an earlier one, of which much was kept."""
        self._changes, self._bases = changes, bases
        needs = scorers.needs
        self._vocabulary = scorers.vocabulary
        self._types = frozenset(need.resource_type for need in needs)
        self._literals: Literals = literals(needs, scorers.vocabulary)
        self._select: Select = selector(engine, self._literals)
        self._reads_all = engine == "none"
        self._shards = shards
        self._owners: dict[str, _Owner] = {}

    def scan(self, number: int, blocks: Iterable[Block], declared: str | None = None) -> Scanned:
        """Read the blocks of a range. `declared`: the type that the export's manifest gives the file."""
        found, parts, names = Scanned(), dict[int, list[bytes]](), set[int]()
        for block in blocks:
            self._scan_block(number, block, declared, found, parts)
            if self._changes:
                names.update(self._names(block))
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
        data, before = block.data, found.lines
        ends, broken = _line_ends(block)
        found.rejects += [Reject(number, before + line, broken[line]) for line in sorted(broken)]
        for start, end in self._select(block):
            line = bisect_left(ends, start) + 1
            if start < end and line not in broken:
                self._scan_line(number, before + line, bytes(data[start:end]), declared, found, parts)
        found.lines += len(ends)

    def _names(self, block: Block) -> Iterator[int]:
        """What a search for codes passes over may be the correction that took the code away."""
        for line in bytes(block.data[: block.length]).split(b"\n"):
            with suppress(MsgspecError, ValueError):
                one = _name.decode(line.strip(_SPACE))
                if one.resource_type in self._types and one.id:
                    yield named(one.resource_type, one.id)

    def _scan_line(
        self, number: int, line: int, text: bytes, declared: str | None, found: Scanned, parts: dict[int, list[bytes]]
    ) -> None:
        said = self._kept_or_why(text, declared)
        if isinstance(said, str):
            # What no search would have found is not told of either: every engine gives the same answer.
            if said and (not self._reads_all or self._literals.found_in(text)):
                found.rejects.append(Reject(number, line, said))
                self._mark_owner(text, line, parts)
            return
        resource, (owner, shard) = said
        if resource.resource_type == "Patient":
            found.replaced += [(replaced, str(resource.id)) for replaced in replaced_by(resource, self._bases)]
        found.kept += 1
        found.kinds.add(str(resource.resource_type))
        kept = framed(owner, line, condensed(resource))
        if shard in parts:
            parts[shard].append(kept)
        else:
            parts[shard] = [kept]

    def _mark_owner(self, text: bytes, line: int, parts: dict[int, list[bytes]]) -> None:
        """Let the patient of a rejected line know: what it said may have been newer than all else."""
        with suppress(MsgspecError, ValueError):
            one = _about.decode(text)
            if one.resource_type in self._types and one.resource_type != "Patient":
                owner = self._owner(Resource(resource_type=one.resource_type, subject=one.subject, patient=one.patient))
                if not isinstance(owner, str):
                    mark = unreadable_mark(one.resource_type, one.id)
                    parts.setdefault(owner[1], []).append(framed(owner[0], line, mark))

    def _kept_or_why(self, text: bytes, declared: str | None) -> tuple[Resource, _Owner] | str:
        """A resource that a model reads, with its owner; otherwise why it is rejected, or "" for what nobody reads."""
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
        owner = self._owner(resource)
        return owner if isinstance(owner, str) else (resource, owner)

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

    def _owner(self, resource: Resource) -> _Owner | str:
        """An owner's key and shard, or why there is none; the lines of a patient mostly stand together."""
        told = resource.subject if resource.resource_type != "Patient" else None  # whose own subject means nothing
        spelled = told.reference if told else None
        known = self._owners.get(spelled) if spelled else None
        if known is not None:
            return known
        owner = owner_of(resource)
        if isinstance(owner, Unowned):
            return owner.reason
        key = owner.encode()
        made = (key, shard_of(key, self._shards))
        if spelled:
            if len(self._owners) >= _REMEMBERED:
                self._owners.clear()
            self._owners[spelled] = made
        return made


class _Named(Struct, rename="camel", gc=False):
    resource_type: str | None = None
    id: str | None = None


class _About(_Named, rename="camel", gc=False):
    subject: Reference | None = None
    patient: Reference | None = None


_name = json.Decoder(_Named)
_about = json.Decoder(_About)
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


def _line_ends(block: Block) -> tuple[list[int], dict[int, str]]:
    """Where each line of a block ends, and why some (by number, from 1) cannot be resources."""
    data, length = block.data, block.length
    ends, broken, start = list[int](), dict[int, str](), 0
    find, ended = data.find, ends.append
    while start < length:
        end = find(b"\n", start, length)
        end = length if end < 0 else end
        ended(end)
        if (data[end - 1] != _END or data[start] != _BEGIN) and _is_broken(data[start:end]):
            broken[len(ends)] = _BROKEN
        elif end - start > LONGEST_LINE:
            broken[len(ends)] = _TOO_LONG
        start = end + 1
    return ends, broken


def _is_broken(line: bytes | bytearray) -> bool:
    text = line.strip(_SPACE)
    return bool(text) and not (text.startswith(b"{") and text.endswith(b"}"))
