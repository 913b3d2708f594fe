"""Exports of a few lines, and the runs that score them, for the tests of the batch."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cds.batch.finding import find_export
from cds.batch.local import score_export
from cds.batch.plan import Plan, planned
from cds.batch.prefilter import Engine
from cds.site import SiteRecipe, recipe

Json = dict[str, Any]
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
KFRE: SiteRecipe = recipe(["kfre-4"], region="north-america")
FILES = ("RiskAssessment.ndjson", "retracted.ndjson", "scores.parquet", "rejects.ndjson")
MG_DL = {"value": 2.0, "unit": "mg/dL", "code": "mg/dL", "system": "http://unitsofmeasure.org"}
MG_G = {"value": 300, "unit": "mg/g", "code": "mg/g", "system": "http://unitsofmeasure.org"}


def patient(name: str, **more: Any) -> Json:
    return {"resourceType": "Patient", "id": name, "birthDate": "1960-01-01", "gender": "male", **more}


def result(name: str, of: str, code: str, quantity: Json, when: str, **more: Any) -> Json:
    """A final laboratory result. `of`: a reference to the patient."""
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": of},
        "effectiveDateTime": when,
        "valueQuantity": quantity,
        **more,
    }


def creatinine(name: str, of: str, value: float, when: str = "2026-11-02T08:00:00Z", **more: Any) -> Json:
    return result(name, of, "2160-0", {**MG_DL, "value": value}, when, **more)


def uacr(name: str, of: str, value: float = 300, when: str = "2026-10-01T08:00:00Z", **more: Any) -> Json:
    return result(name, of, "9318-7", {**MG_G, "value": value}, when, **more)


def whole(name: str, value: float = 2.0) -> list[Json]:
    """A patient with all that a score needs, CKD as old as 100 days."""
    of = f"Patient/{name}"
    earlier = creatinine(f"{name}-c0", of, value, "2026-07-01T08:00:00Z")
    return [patient(name), earlier, creatinine(f"{name}-c1", of, value), uacr(f"{name}-u1", of)]


def write(path: Path, lines: Iterable[Json | bytes | str]) -> Path:
    """An NDJSON file of resources; bytes and text are taken as they stand."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(_line(line) for line in lines))
    return path


def _line(line: Json | bytes | str) -> bytes:
    if isinstance(line, bytes):
        return line
    return (line if isinstance(line, str) else json.dumps(line, separators=(",", ":"))).encode() + b"\n"


def plan(
    *places: Path, engine: Engine = "aho", at: datetime = AT, of: SiteRecipe = KFRE, prior: Path | None = None
) -> Plan:
    before = json.loads((prior / "run.json").read_bytes()) if prior else {}
    return planned(
        of(), find_export([str(place) for place in places], changes=prior is not None), at, engine=engine,
        shards=before.get("shards"), prior=str(prior) if prior else None,
    )  # fmt: skip


def run(*places: Path, out: Path, workers: int = 1, of: SiteRecipe = KFRE, **how: Any) -> Json:
    """Score into `out` and give what run.json says."""
    return score_export(plan(*places, of=of, **how), of, out, workers=workers)


def scores(out: Path) -> list[Json]:
    """The rows of scores.parquet."""
    rows: list[Json] = pq.read_table(out / "scores.parquet").to_pylist()
    return rows


def by_patient(out: Path) -> dict[str, Json]:
    """Each patient's first row."""
    found: dict[str, Json] = {}
    for row in scores(out):
        found.setdefault(row["patient"], row)
    return found


def lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def contents(out: Path) -> Mapping[str, bytes]:
    """Every output but run.json."""
    return {name: (out / name).read_bytes() for name in FILES}
