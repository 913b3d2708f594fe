"""A bulk export of any size, made from a seed: NDJSON by type, with a given share of lines that a model wants."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from hashlib import file_digest
from pathlib import Path
from random import Random
from typing import BinaryIO

from bench import population_shapes as shapes
from bench.population_others import POOL, Pool

VERSION = 2
"""Of the lines: raise it when any of them changes, so that no export made before is taken for one of today."""

AT = date(2026, 11, 22)
"""The day as of which the patients are to be scored; nothing is dated later."""

PART = 256_000_000
"""Bytes after which an export goes on in another file of the same type, as servers do."""

MIXED = 500
"""Patients whose lines stand in no order within each file: a server exports by resource, not by patient."""

SPARE = 1_000_000_000
STAMP = ".stamp"
"""Hidden, so that nobody takes it for a part of the export."""
TYPES = ("Patient", "Encounter", "Condition", "Procedure", "Observation")

CKD = {
    "3": ("433144002", "Chronic kidney disease stage 3 (disorder)", "N18.30"),
    "4": ("431857002", "Chronic kidney disease stage 4 (disorder)", "N18.4"),
    "5": ("433146000", "Chronic kidney disease stage 5 (disorder)", "N18.5"),
}
DIALYSIS = ("105502003", "Dependence on renal dialysis (finding)", "Z99.2")
OTHER_DIAGNOSES = (
    ("59621000", "Essential hypertension (disorder)", "I10"),
    ("55822004", "Hyperlipidemia (disorder)", "E78.5"),
    ("44054006", "Diabetes mellitus type 2 (disorder)", "E11.9"),
    ("396275006", "Osteoarthritis (disorder)", "M19.90"),
)
TRANSPLANT = ("70536003", "Transplant of kidney (procedure)")
OTHER_PROCEDURES = (
    ("73761001", "Colonoscopy (procedure)"),
    ("430193006", "Medication reconciliation (procedure)"),
    ("29303009", "Electrocardiographic procedure (procedure)"),
)
Values = Mapping[bytes, object]
Line = tuple[str, bytes]


@dataclass(frozen=True)
class Order:
    """What to make: at least `size` bytes or exactly `patients`, a share of wanted lines from 0.01 to 1, a seed."""

    size: int | None = None
    patients: int | None = None
    wanted: float = 0.10
    seed: int = 20261122


@dataclass(frozen=True)
class Export:
    """What lies in a folder: the order that it answers, bytes, patients, lines, and how many lines a model wants."""

    folder: Path
    size: int
    patients: int
    lines: int
    wanted: int

    def files(self, kind: str = "*") -> list[Path]:
        """The NDJSON files of a type, or all of them."""
        return sorted(self.folder.glob(f"{kind}.*.ndjson"))


def kidney(random: Random) -> tuple[bytes, float, bool]:
    """Sex, eGFR and whether a CKD is diagnosed: a third are, and a quarter have an eGFR under 60 that nobody coded."""
    sex, kind = random.choice((b"female", b"male")), random.random()
    if kind < 0.33:
        return sex, random.uniform(8, 58), True
    return sex, random.uniform(25, 59) if kind < 0.58 else random.uniform(60, 115), False


def creatinine(egfr: float, age: int, sex: bytes) -> float:
    """mg/dL at which CKD-EPI 2021 gives about this eGFR (Inker et al., N Engl J Med 2021;385:1737, solved for it)."""
    kappa, factor = (0.7, 1.012) if sex == b"female" else (0.9, 1.0)
    return float(kappa * (142 * 0.9938**age * factor / egfr) ** (1 / 1.2))


def day(before: int) -> bytes:
    return (AT - timedelta(days=before)).isoformat().encode()


def wanted_lines(random: Random, owner: bytes, number: int) -> Iterator[Line]:
    """One patient's lines that a kidney model reads, by type."""
    sex, egfr, diagnosed = kidney(random)
    age, fate = random.randrange(20, 96), random.random()
    dialysis, transplanted, dead = fate < 0.03, 0.03 <= fate < 0.05, fate > 0.97
    base: Values = {b"id": owner, b"number": b"%08d" % number}
    born = {b"gender": sex, b"letter": sex[:1].upper(), b"birth": day(age * 365 + age // 4 + random.randrange(1, 300))}
    patient = shapes.PATIENT % {**base, **born, b"deceased": day(random.randrange(1, 60))}
    yield "Patient", patient if dead else shapes.living(patient)
    latest = random.randrange(5, 330)
    earlier = latest + random.randrange(100, 400)
    yield from encounters(random, base, latest, earlier)
    yield from diagnoses(random, base, egfr, diagnosed, dialysis)
    yield from procedures(random, base, transplanted)
    value = creatinine(egfr, age, sex)
    yield from results(random, base, (latest, earlier), value, egfr)


def encounters(random: Random, base: Values, latest: int, earlier: int) -> Iterator[Line]:
    visits = [(latest, b"AMB"), (earlier, b"AMB")]
    if random.random() < 0.1:
        visits.append((latest + 40, b"IMP"))
    for number, (before, kind) in enumerate(visits):
        yield "Encounter", shapes.ENCOUNTER % {**base, b"number": b"%d" % number, b"day": day(before), b"class": kind}


def diagnoses(random: Random, base: Values, egfr: float, diagnosed: bool, dialysis: bool) -> Iterator[Line]:
    found = [random.choice(OTHER_DIAGNOSES)]
    if diagnosed:
        found.append(CKD["5" if egfr < 15 else "4" if egfr < 30 else "3"])
    if dialysis:
        found.append(DIALYSIS)
    for number, one in enumerate(found):
        yield "Condition", filled(shapes.CONDITION, base, number, one, random.randrange(400, 3000))


def procedures(random: Random, base: Values, transplanted: bool) -> Iterator[Line]:
    found = [random.choice(OTHER_PROCEDURES)] if random.random() < 0.5 else []
    for number, one in enumerate([*found, TRANSPLANT] if transplanted else found):
        yield "Procedure", filled(shapes.PROCEDURE, base, number, one, random.randrange(30, 2000))


def filled(shape: bytes, base: Values, number: int, coding: tuple[str, ...], before: int) -> bytes:
    """A condition or a procedure of that coding."""
    named = dict(zip((b"snomed", b"display", b"icd"), (one.encode() for one in coding), strict=False))
    return shape % {**base, b"number": b"%d" % number, b"day": day(before), **named}


def results(random: Random, base: Values, days: tuple[int, int], value: float, egfr: float) -> Iterator[Line]:
    """Two creatinines in one of two units, a reported eGFR for some, a urine albumin for most."""
    molar = random.random() < 0.3
    shape = shapes.CREATININE_UMOL if molar else shapes.CREATININE_MG
    for number, before in enumerate(days):
        near = value * random.uniform(0.96, 1.04)
        shown = b"%.0f" % (near * 88.4) if molar else b"%.2f" % near
        yield "Observation", shape % result(base, number, number, before, shown)
    if random.random() < 0.6:
        yield "Observation", shapes.EGFR % result(base, 2, 0, days[0], b"%.0f" % egfr)
    if random.random() < 0.85:
        albumin = b"%.1f" % min(4000.0, random.lognormvariate(4.0 if egfr < 60 else 2.3, 1.3) + 2)
        yield "Observation", shapes.UACR % result(base, 3, 0, days[0], albumin)


def result(base: Values, number: int, encounter: int, before: int, value: bytes) -> Values:
    return {**base, b"number": b"%d" % number, b"encounter": b"%d" % encounter, b"day": day(before), b"value": value}


class Writer:
    """The files of an export, each type in parts, with a count of what went in."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._open: dict[str, tuple[BinaryIO, int]] = {}
        self._parts: dict[str, int] = {}
        self.size = 0

    def add(self, kind: str, text: bytes) -> None:
        """Whole lines of one type."""
        file, held = self._open.get(kind, (None, PART))
        if file is None or held >= PART:
            part = self._parts[kind] = self._parts.get(kind, -1) + 1
            path = self._folder / f"{kind}.{part:03d}.ndjson"
            file, held = self._stack.enter_context(path.open("wb", buffering=1 << 20)), 0
        file.write(text)
        self._open[kind] = file, held + len(text)
        self.size += len(text)

    def mix(self, lines: Mapping[str, list[bytes]], random: Random) -> None:
        """Lines of many patients, in an order of their own."""
        for kind, some in lines.items():
            random.shuffle(some)
            if some:
                self.add(kind, b"".join(some))


def generate(folder: Path, order: Order) -> Export:
    """Write what was ordered; the same order gives the same bytes."""
    if not 0.01 <= order.wanted <= 1:
        raise SystemExit(f"the share of wanted lines is from 0.01 to 1, not {order.wanted}")
    random = Random(order.seed)
    pool = Pool(random, AT)
    made = wanted = others = size = 0
    with ExitStack() as stack:
        writer = Writer(folder, stack)
        named = add_named(writer)
        held: dict[str, list[bytes]] = {kind: [] for kind in TYPES}
        while made < order.patients if order.patients is not None else size < (order.size or 0):
            owner = b"%08x-%04x-4%03x-a%03x-%012x" % tuple(random.getrandbits(bits) for bits in (32, 16, 12, 12, 48))
            for kind, line in wanted_lines(random, owner, made):
                held[kind].append(line)
                wanted += 1
                size += len(line)
            due = min(POOL, round(wanted * (1 - order.wanted) / order.wanted) - others - named)
            if due > 0:
                text = pool.some(random.randrange(POOL), due, owner)
                held["Observation"] += text.splitlines(keepends=True)
                others += due
                size += len(text)
            made += 1
            if made % MIXED == 0:
                writer.mix(held, random)
                held = {kind: [] for kind in TYPES}
        writer.mix(held, random)
    return Export(folder, writer.size, made, wanted + others + named, wanted)


def add_named(writer: Writer) -> int:
    """The clinicians and sites that other lines name; how many lines that took."""
    for kind, count in (("Practitioner", shapes.CLINICIANS), ("Organization", shapes.SITES)):
        for number in range(1, count + 1):
            writer.add(kind, shapes.small(kind, number) % {})
    return shapes.CLINICIANS + shapes.SITES


def kept(folder: Path, asked: Mapping[str, object], size: int, make: Callable[[Path], Export]) -> Export:
    """The export in a folder when its stamp says that it is what is asked for; else it is made anew."""
    stamp = folder / STAMP
    asked = {"version": VERSION, **asked}
    if stamp.is_file():
        found = json.loads(stamp.read_text(encoding="utf-8"))
        if found.pop("asked") == asked:
            record(folder)
            return Export(folder, **found)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    refuse_when_full(folder, size)
    folder.mkdir()
    export = make(folder)
    counts = asdict(replace(export, folder=Path()))
    del counts["folder"]
    record(folder)
    stamp.write_text(json.dumps({"asked": asked, **counts}), encoding="utf-8")
    return export


def record(folder: Path) -> None:
    """The files with their SHA-256, as `bedside export` leaves them beside an export that is complete."""
    if (folder / "export.json").exists():
        return
    files = [{"kind": "output", "name": path.name, "type": path.name.split(".")[0], "kept": on_disk(path)}
             for path in sorted(folder.glob("*.ndjson"))]  # fmt: skip
    (folder / "export.json").write_text(json.dumps({"state": "complete", "files": files}), encoding="utf-8")


def on_disk(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        return {"bytes": path.stat().st_size, "lines": 0, "sha256": file_digest(file, "sha256").hexdigest()}


def refuse_when_full(folder: Path, size: int) -> None:
    """End here rather than with a full disk."""
    free = shutil.disk_usage(folder.parent).free
    if free < size + SPARE:
        short = f"{folder} needs {(size + SPARE) / 1e9:.1f} GB and its disk has {free / 1e9:.1f} GB free"
        raise SystemExit(f"{short}: make room, or name another folder with --data")
