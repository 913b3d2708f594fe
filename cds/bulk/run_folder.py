"""Reads a finished batch run's folder: its results line by line, after it is certain that they are as it left them."""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from cds.bulk.content import Json, digest
from cds.errors import RunUnusable
from cds.risk.assessment import IDENTIFIER_SYSTEM, instant

RESULTS, RETRACTED, RUN = "RiskAssessment.ndjson", "retracted.ndjson", "run.json"
STANDING = ("final", "amended", "corrected")
"""The states of a result that holds."""
RETRACTION = "entered-in-error"

OWN_ID_SYSTEM = "urn:bedside:risk-assessment-id"
"""Our id as an identifier, for a server that gives ids of its own: the other identifier is one for equal numbers, which
a patient may have again as of another instant."""

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_VALUE = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # nothing that a search would read as its own
_SUBJECT = re.compile(r"Patient/([A-Za-z0-9.-]{1,64})")


class Entry:
    """One line: a RiskAssessment to be written, or the retraction of one that was."""

    def __init__(self, file: str, line: int, resource: Json) -> None:
        self.file, self.line, self.resource = file, line, resource
        self.id: str = resource["id"]
        self.value: str = identifiers(resource)[0]

    @property
    def retracts(self) -> bool:
        return bool(self.resource["status"] == RETRACTION)

    @cached_property
    def digest(self) -> str:
        return digest(self.resource)


class _Output(Struct):
    sha256: str


class _Run(Struct):
    at: str
    bedside: str
    outputs: dict[str, _Output]
    finished: str | None = None
    prior: str | None = None


class Record(Struct, frozen=True):
    """Which run it is: its folder, the SHA-256 of its run.json, when it ended, and the folder of the run before."""

    folder: Path
    digest: str
    ended: datetime
    prior: Path | None


class _Counted(Struct, frozen=True):
    """One file, and how many results it holds."""

    name: str
    lines: int


class RunFolder:
    """A run whose files are as run.json says. `recorded`: when it ended, or else the instant it scored as of."""

    def __init__(self, folder: Path, run: _Run, record: Record, files: tuple[_Counted, ...]) -> None:
        self.folder, self.version, self.record, self._files = folder, run.bedside, record, files
        self.recorded = _instant(run.finished or run.at)
        self.lines = sum(file.lines for file in files)

    def entries(self) -> Iterator[Entry]:
        """All results in the order of their files, then the retractions."""
        for file in self._files:
            with (self.folder / file.name).open("rb") as content:
                for line, raw in enumerate(content, 1):
                    if raw.strip():
                        yield _entry(file.name, line, raw)

    def patients(self, spread: int = 20) -> list[str]:
        """The ids of the first and the last patient that have a result, and of so many between them.

        Of retractions none: a patient that was removed is one reason for them, and they write where the result is.
        """
        last = sum(file.lines for file in self._files if file.name == RESULTS) - 1
        wanted = {0, last, *(round(last * step / (spread + 1)) for step in range(1, spread + 1))}
        results = islice(self.entries(), last + 1)
        found = (entry for number, entry in enumerate(results) if number in wanted)
        return list(dict.fromkeys(patient_of(entry.resource) for entry in found))


def open_run(folder: Path) -> RunFolder:
    """A finished run. Raises RunUnusable, with what to do, when it is not, or when a file is not as it was left."""
    run, record = _read_run(folder)
    if RESULTS not in run.outputs:
        raise RunUnusable(f"{folder / RUN} names no {RESULTS}: score with an output of RiskAssessments")
    if (folder / RETRACTED).exists() and RETRACTED not in run.outputs:
        raise RunUnusable(f"{folder / RETRACTED} is not named in {RUN}: it is not of this run, so move it away")
    seen: set[bytes] = set()
    names = [name for name in (RESULTS, RETRACTED) if name in run.outputs]
    checked = tuple(_checked(folder / name, run.outputs[name].sha256, seen) for name in names)
    return RunFolder(folder, run, record, checked)


def read_record(folder: Path) -> Record:
    """Of a finished run, without a look at its files. Raises RunUnusable."""
    return _read_run(folder)[1]


def batches(entries: Iterator[Entry], size: int) -> Iterator[list[Entry]]:
    while batch := list(islice(entries, size)):
        yield batch


def bearing_its_id(entry: Entry) -> Entry:
    """The same line, with its id among its identifiers."""
    own = {"system": OWN_ID_SYSTEM, "value": entry.id}
    return Entry(entry.file, entry.line, {**entry.resource, "identifier": [*entry.resource["identifier"], own]})


def identifiers(resource: Json, system: str = IDENTIFIER_SYSTEM) -> list[str]:
    """The values of our identifiers of a RiskAssessment; a server's resource may hold anything there."""
    held = resource.get("identifier")
    found = [one for one in held if isinstance(one, dict)] if isinstance(held, list) else []
    return [str(one.get("value")) for one in found if one.get("system") == system]


def patient_of(resource: Json) -> str:
    return str(resource["subject"]["reference"]).removeprefix("Patient/")


def _read_run(folder: Path) -> tuple[_Run, Record]:
    try:
        content = (folder / RUN).read_bytes()
        run = msgspec.json.decode(content, type=_Run)
        ended = datetime.fromisoformat(_instant(run.finished or run.at))
    except FileNotFoundError:
        raise RunUnusable(f"{folder} holds no {RUN}: the run has not finished; let it finish, then write it") from None
    except OSError as error:
        raise RunUnusable(f"{folder / RUN}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        raise RunUnusable(f"{folder / RUN} is not what a run leaves (at, bedside, outputs): run it again") from None
    prior = Path(run.prior) if run.prior is not None else None
    return run, Record(folder.resolve(), sha256(content).hexdigest(), ended, prior)


def _checked(path: Path, expected: str, seen: set[bytes]) -> _Counted:
    """Read a file once, to its end, before anything of it is written anywhere."""
    found, lines, fault = sha256(), 0, None
    try:
        with path.open("rb") as content:
            for line, raw in enumerate(content, 1):
                found.update(raw)
                lines += bool(raw.strip())
                if raw.strip() and fault is None:
                    fault = _complaint(path.name, line, raw, seen)
    except OSError as error:
        raise RunUnusable(f"{path}: {error.strerror}; {RUN} names it, so run again") from None
    if found.hexdigest() != expected.lower():
        raise RunUnusable(f"{path} is not as the run left it (its SHA-256 differs from {RUN}): run again")
    if fault is not None:
        raise fault
    return _Counted(path.name, lines)


def _complaint(file: str, line: int, raw: bytes, seen: set[bytes]) -> RunUnusable | None:
    try:
        _take(_entry(file, line, raw), seen)
    except RunUnusable as fault:
        return fault
    return None


def _take(entry: Entry, seen: set[bytes]) -> None:
    key = sha256(entry.id.encode()).digest()[:16]
    if key in seen:
        raise RunUnusable(f"{entry.file}:{entry.line}: a second result of the same id: which of them holds? Run again")
    seen.add(key)


def _entry(file: str, line: int, raw: bytes) -> Entry:
    try:
        resource: Any = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        resource = None
    fault = _fault(resource, (RETRACTION,) if file == RETRACTED else STANDING)
    if fault:
        raise RunUnusable(f"{file}:{line}: {fault}: this is not what a run leaves, so run again")
    return Entry(file, line, resource)


def _fault(resource: Any, states: tuple[str, ...]) -> str | None:
    """Why this cannot be written; never what stands there."""
    if not isinstance(resource, dict) or resource.get("resourceType") != "RiskAssessment":
        return "no RiskAssessment"
    if not isinstance(resource.get("id"), str) or not _ID.fullmatch(resource["id"]):
        return "no id that FHIR allows"
    if not (values := identifiers(resource)) or not _VALUE.fullmatch(values[0]):
        return f"no identifier of {IDENTIFIER_SYSTEM}"
    if resource.get("status") not in states:
        return f"the status is not {' or '.join(states)}"
    subject = resource.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    return None if isinstance(reference, str) and _SUBJECT.fullmatch(reference) else "the subject is not Patient/ID"


def _instant(text: str) -> str:
    """Raises ValueError for what is no instant with an offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("without an offset")
    return instant(moment)
