"""What the batch is compared with, each as a process of its own: `python -m bench.batch_peers NAME FOLDER AT OUT`."""

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SAMPLE = 3000
"""Lines for the loop over fhir.resources, taken evenly from the whole export: all of them would take hours."""

PATIENTS = 200_000
"""Rows of the ready table for the kfre package."""


def codes() -> tuple[str, ...]:
    """The literal codes of the Observations that the 4-variable kidney model reads."""
    from models.kfre.model import Kfre4

    needs = [need for need in Kfre4.predictors.needs() if need.resource_type == "Observation"]
    sets = [codes for need in needs for codes in need.codes]
    return tuple(sorted({entry.code for one in sets for entry in one.entries if entry.match == "exact"}))


def decoded(folder: Path, _at: str, _out: Path) -> dict[str, Any]:
    """Every line into the struct that Bedside decodes, and nothing done with it."""
    import msgspec

    from cds.fhir.resources import Resource

    decode, lines = msgspec.json.Decoder(Resource).decode, 0
    for file in sorted(folder.glob("*.ndjson")):
        with file.open("rb", buffering=1 << 20) as text:
            for line in text:
                decode(line)
                lines += 1
    return {"lines": lines}


def reduced(folder: Path, at: str, out: Path) -> dict[str, Any]:
    """DuckDB's JSON reader and SQL."""
    from bench.batch_duckdb import reduce

    return {"patients": reduce(folder, at, out / "duckdb.parquet")}


def validated(folder: Path, _at: str, _out: Path) -> dict[str, Any]:
    """A loop over fhir.resources, on a sample; the seconds of the loop alone count."""
    sampled = [(json.loads(line)["resourceType"], line) for line in sample(folder)]
    kinds = {kind: getattr(importlib.import_module(f"fhir.resources.R4B.{kind.lower()}"), kind) for kind, _ in sampled}
    start, spent = time.perf_counter(), time.process_time()
    for kind, line in sampled:
        kinds[kind].model_validate_json(line)
    took = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - spent}
    return {"lines": len(sampled), "bytes": sum(len(line) for _, line in sampled), **took}


def sample(folder: Path) -> Iterator[bytes]:
    """Lines at even distances of bytes through all files."""
    files = sorted(folder.glob("*.ndjson"))
    step = max(1, sum(file.stat().st_size for file in files) // SAMPLE)
    passed = 0
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as text:
            for place in range(-passed % step, size, step):
                text.seek(place)
                text.readline()  # the rest of some line
                if line := text.readline():
                    yield line
        passed += size


def tabled(_folder: Path, _at: str, _out: Path) -> dict[str, Any]:
    """The kfre package on a ready table of inputs: it reads no FHIR, so that only its own part is timed."""
    import numpy as np
    import pandas as pd
    from kfre import RiskPredictor  # type: ignore[import-untyped]

    random = np.random.default_rng(1)
    table = pd.DataFrame({
        "age": random.uniform(20, 95, PATIENTS),
        "sex": random.choice(["female", "male"], PATIENTS),
        "egfr": random.uniform(8, 59, PATIENTS),
        "uacr": random.lognormal(4, 1.3, PATIENTS),
    })  # fmt: skip
    columns = {"age": "age", "sex": "sex", "eGFR": "egfr", "uACR": "uacr"}
    start = time.perf_counter()
    for years in (2, 5):
        RiskPredictor(table, columns).predict_kfre(years, is_north_american=True)
    return {"patients": PATIENTS, "seconds": time.perf_counter() - start}


PEERS: dict[str, Callable[[Path, str, Path], dict[str, Any]]] = {
    "msgspec": decoded,
    "duckdb": reduced,
    "fhir.resources": validated,
    "kfre": tabled,
    "codes": lambda _folder, _at, _out: {"codes": codes()},
}


def main() -> None:
    name, folder, at, out = sys.argv[1:]
    print(json.dumps(PEERS[name](Path(folder), at, Path(out))))


if __name__ == "__main__":
    main()
