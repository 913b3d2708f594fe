"""An export of any size made of published data: its files over and over, every copy with patients of its own."""

import os
import re
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from bench.peers import ROOT
from bench.population import Export, Writer

AT = date(2020, 1, 1)
"""The day as of which the published patients are scored: their laboratory results end in 2021."""

FOLDER = Path("data") / "synthea-2019-ndjson"
MARK = b"\0"
_ID = re.compile(rb'("id":"|"reference":"[A-Za-z]+/)(?=[A-Za-z0-9])')
"""Where a resource's id begins, in the resource and in what refers to it; \\0 can stand in no JSON."""


def published() -> Path | None:
    """The folder of published NDJSON, where BEDSIDE_TEST_DATA says or beside the repository; None when absent."""
    folder = Path(os.environ.get("BEDSIDE_TEST_DATA") or ROOT.parent / "shared").resolve() / FOLDER
    return folder if folder.is_dir() else None


def multiply(source: Path, folder: Path, size: int, codes: tuple[bytes, ...] = ()) -> Export:
    """Copies of every file of `source` until `size` bytes are written; every id of copy 7 begins with "copy-0007-".

    References stay whole, because an id is changed alike where it is given and where it is referred to. `codes` are
    what a model reads: an Observation without any of them is not wanted.
    """
    texts = {file.name.split(".")[0]: file.read_bytes() for file in sorted(source.glob("*.ndjson"))}
    marked = {kind: _ID.sub(rb"\g<1>" + MARK, ended(text)) for kind, text in texts.items()}
    copies = 0
    with ExitStack() as stack:
        writer = Writer(folder, stack)
        while writer.size < size:
            for kind, text in marked.items():
                writer.add(kind, text.replace(MARK, b"copy-%04d-" % copies))
            copies += 1
    lines = sum(text.count(b"\n") for text in marked.values())
    wanted = sum(count_wanted(kind, text, codes) for kind, text in marked.items())
    patients = marked["Patient"].count(b"\n")
    return Export(folder, writer.size, copies * patients, copies * lines, copies * wanted)


def ended(text: bytes) -> bytes:
    """With a line end after the last line too, so that the next copy begins a line."""
    return text if text.endswith(b"\n") else text + b"\n"


def count_wanted(kind: str, text: bytes, codes: tuple[bytes, ...]) -> int:
    """Lines that a kidney model reads: all of four types, and the Observations with one of its codes."""
    if kind in {"Patient", "Encounter", "Condition", "Procedure"}:
        return text.count(b"\n")
    if kind != "Observation":
        return 0
    return sum(any(code in line for code in codes) for line in text.splitlines())
