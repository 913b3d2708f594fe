"""Finds, in the bytes of an export, the lines that may hold what a model reads: too many perhaps, never too few."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from ahocorasick_rs import BytesAhoCorasick, MatchKind

from cds.batch.lines import Block
from cds.errors import SiteError
from cds.features.feature import Need
from cds.fhir.codes import URIS, CodeSet, Entry, Vocabulary

Engine = Literal["aho", "rg", "none"]
Span = tuple[int, int]
"""Where a line begins and ends in its block, without the line end."""
Select = Callable[[Block], Iterator[Span]]
"""The lines of a block that are to be decoded."""

BLOCK = 1 << 20
"""Bytes looked at together: what stays in a core's cache."""

ALWAYS = ("\\u00", '"Patient"', '"Bundle"', '"OperationOutcome"')
"""A letter may be written as an escape; and lines that are told of whatever they hold."""
_PIECE = re.compile(r"[\w.:+-]+", re.ASCII)  # what JSON never escapes


class Literals:
    """Strings of which each wanted line holds one; none of the first search holds another.

    A code system's name alone does not make a line wanted where its few codes are known: a second look, at those lines
    only, wants one of them too.
    """

    def __init__(self, texts: Iterable[str], codes_of: Mapping[str, Iterable[str]]) -> None:
        """`codes_of`: the codes meant of each system whose name is searched for."""
        shortest = _shortest({*texts, *codes_of})
        self.texts = tuple(text.encode() for text in sorted(shortest))
        self.coarse = frozenset(n for n, text in enumerate(sorted(shortest)) if text in codes_of)
        codes = {code for text in shortest & set(codes_of) for code in codes_of[text]}
        self._second = _automaton([*(shortest - set(codes_of)), *codes])

    def found_in(self, line: bytes | bytearray) -> bool:
        return bool(self._second.find_matches_as_indexes(line))


def literals(needs: Iterable[Need], vocabulary: Vocabulary) -> Literals:
    """What to search for: the type where every resource of it is read, otherwise the codes that a result carries.

    Of code systems with many codes, and of those whose codes have many spellings, the system's own name is searched.
    """
    needs = tuple(needs)
    whole = {need.resource_type for need in needs if need.resource_type != "Observation" or not need.codes}
    found = {*ALWAYS, *(f'"{kind}"' for kind in whole)}
    codes_of: dict[str, set[str]] = {}
    if any(need.resource_type == "Observation" for need in needs) and "Observation" not in whole:
        for codes in vocabulary.sets.values():
            found |= set(_of_set(codes))
            for entry in codes.entries:
                if entry.system == _MANY:
                    for uri in URIS[_MANY]:
                        codes_of.setdefault(_piece(uri), set()).add(entry.code)
        local = {_piece(code, system) or '"Observation"' for system, code in vocabulary.local}
        codes_of = {name: codes for name, codes in codes_of.items() if not any(name in one for one in local)}
        found |= local
    return Literals(found - set(codes_of), codes_of)


_MANY = "snomed"
"""Its codes are digits, spelled in one way, and too many for the first search; its name stands in many answers."""


def _of_set(codes: CodeSet) -> Iterator[str]:
    for entry in codes.entries:
        if entry.match not in ("never", "except"):  # these take away from what another coding brings
            yield from _of_entry(entry)
    yield _piece(URIS["bedside"][0])


def _of_entry(entry: Entry) -> Iterator[str]:
    if entry.system == "loinc" and entry.match == "exact":
        yield from (entry.code, entry.code.upper(), entry.code.lower())
    else:
        yield from (_piece(uri) for uri in URIS[entry.system])


def _piece(*texts: str) -> str:
    """A piece that stands in every JSON spelling of the first text that has one long enough to tell; "" for none."""
    for text in texts:
        pieces = _PIECE.findall(text)
        if pieces and len(pieces[-1]) > 5:
            return str(pieces[-1])
        if longest := max((p for p in pieces if len(p) > 2), key=len, default=""):
            return str(longest)
    return ""


def _shortest(texts: set[str]) -> set[str]:
    return {text for text in texts if not any(other in text for other in texts if other != text)}


def _automaton(texts: Iterable[str]) -> BytesAhoCorasick:
    return BytesAhoCorasick([text.encode() for text in sorted(texts)], matchkind=MatchKind.LeftmostFirst)


def selector(engine: Engine, wanted: Literals) -> Select:
    """The search that an engine makes. Raises SiteError when it is not installed."""
    if engine == "none":
        return _every_line
    return _ripgrep(wanted) if engine == "rg" else _aho_corasick(wanted)


def _every_line(block: Block) -> Iterator[Span]:
    start = 0
    while start < block.length:
        end = _line_end(block, start)
        yield start, end
        start = end + 1


def _line_end(block: Block, at: int) -> int:
    end = block.data.find(b"\n", at, block.length)
    return block.length if end < 0 else end


def _aho_corasick(wanted: Literals) -> Select:
    search = BytesAhoCorasick(wanted.texts, matchkind=MatchKind.LeftmostFirst).find_matches_as_indexes
    coarse, found_in = wanted.coarse, wanted.found_in

    def select(block: Block) -> Iterator[Span]:
        data, end = block.data, -1
        for which, at, _ in search(memoryview(data)[: block.length]):
            if at <= end:
                continue
            start = data.rfind(b"\n", 0, at) + 1
            end = _line_end(block, at)
            if which not in coarse or found_in(data[start:end]):
                yield start, end

    return select


def _ripgrep(wanted: Literals) -> Select:
    command = _ripgrep_command(wanted.texts)

    def select(block: Block) -> Iterator[Span]:
        lines = memoryview(block.data)[: block.length]
        found = subprocess.run(command, input=lines, stdout=subprocess.PIPE, check=False)  # noqa: S603 - our own words
        if found.returncode > 1:
            raise SiteError("rg failed; --prefilter aho needs no other program")
        told, at = found.stdout, 0
        while at < len(told):
            colon = told.index(b":", at)
            start = int(told[at:colon])
            end = _line_end(block, start)
            if wanted.found_in(block.data[start:end]):
                yield start, end
            at = colon + 1 + (end - start) + 1

    return select


def _ripgrep_command(texts: Sequence[bytes]) -> list[str]:
    beside = Path(sys.executable).with_name("rg")
    program = str(beside) if beside.exists() else shutil.which("rg")
    if program is None:
        raise SiteError("--prefilter rg: ripgrep (rg) is not installed; --prefilter aho needs no other program")
    patterns = [word for text in texts for word in ("-e", text.decode())]
    return [
        program,
        "--no-config",
        "--text",
        "--encoding",
        "none",
        "--fixed-strings",
        "--byte-offset",
        "--no-line-number",
        *patterns,
        "-",
    ]
