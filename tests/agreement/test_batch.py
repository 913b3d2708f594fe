"""On data that nobody here wrote, a run over the whole export says of each patient what her chart alone says."""

import json
from collections import Counter
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from cds import Estimate, NotScored
from cds.batch.prefilter import Engine
from cds.risk.scoring import score
from cds.risk.snapshot import inputs
from tests.agreement.datasets import records
from tests.agreement.test_real_data import EXPECTED, FIXED
from tests.batch.runs import Json, contents, run, scores, write
from tests.charts import model, site

SETS = sorted(EXPECTED)
AT = datetime.fromisoformat(FIXED)
ENGINES: tuple[Engine, ...] = ("aho", "rg", "none")


@cache
def alone(folder: Path) -> dict[str, Json]:
    """What each patient's own chart says: the road of the hook, the page and the command line."""
    found = {}
    for one in records(folder):
        outcome = next(score(model(), [one.chart(site().vocabulary)], AT))
        answers = outcome.row.answers()
        found[one.patient_id] = {
            "reason": outcome.reason if isinstance(outcome, NotScored) else None,
            "cautions": list(outcome.cautions),
            "estimates": {}
            if isinstance(outcome, NotScored)
            else {e.horizon_years: (e.probability, e.bound) for e in outcome.estimates if isinstance(e, Estimate)},
            "inputs": [{**line, "source": getattr(answers[line["name"]], "source", "")} for line in inputs(outcome)],
        }
    return found


def together(out: Path) -> dict[str, Json]:
    """The same of scores.parquet."""
    found: dict[str, Json] = {}
    for row in scores(out):
        one = {"reason": row["reason"], "cautions": row["cautions"], "estimates": {}, "inputs": row["inputs"]}
        told = found.setdefault(row["patient"], one)
        if row["probability"] is not None:
            told["estimates"][row["horizon_years"]] = (row["probability"], row["bound"])
    return found


def same_inputs(row: list[Json], chart: list[Json]) -> bool:
    return [_plain(one) for one in row] == [_of_chart(one) for one in chart]


def _plain(one: Json) -> tuple[Any, ...]:
    value = one["number"] if one["number"] is not None else one["text"]
    return one["name"], value, one["unit"] or "", one["when"], one["source"] or "", one["missing"]


def _of_chart(one: Json) -> tuple[Any, ...]:
    value = one.get("value")
    if isinstance(value, tuple):
        value = json.dumps(value, separators=(",", ":"))
    value = float(value) if isinstance(value, (bool, int)) else value
    return one["name"], value, one.get("unit", ""), one["when"], one["source"], one.get("missing")


def as_export(folder: Path, target: Path) -> Path:
    """The folder itself, or its Bundles' resources as NDJSON."""
    if any(path.suffix == ".ndjson" for path in folder.iterdir()):
        return folder
    for path in sorted(folder.glob("*.json")):
        entries = json.loads(path.read_bytes())["entry"]
        write(target / f"{path.stem}.ndjson", [entry["resource"] for entry in entries])
    return target


@pytest.mark.proves(
    "B27", "7 published data sets, 3 engines: 0 differences in estimate, input, caution and reason, to the bit"
)
@pytest.mark.parametrize("name", SETS)
def test_a_run_says_of_each_patient_what_the_chart_says(name: str, shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "data" / name
    export = as_export(folder, tmp_path / "export")
    reports = {engine: run(export, out=tmp_path / engine, engine=engine, at=AT) for engine in ENGINES}
    assert contents(tmp_path / "aho") == contents(tmp_path / "rg") == contents(tmp_path / "none")
    found, expected = together(tmp_path / "aho"), alone(folder)
    assert list(found) == sorted(found, key=list(found).index)
    assert set(found) == set(expected)
    for patient, one in expected.items():
        told = found[patient]
        assert (told["reason"], told["cautions"]) == (one["reason"], one["cautions"])
        assert told["estimates"] == one["estimates"]
        assert same_inputs(told["inputs"], one["inputs"])
    outcome = reports["aho"]["outcomes"]["kfre-4"]
    counts = Counter(outcome["not_scored"]) + Counter({"risk": outcome["scored"]})
    assert counts == Counter(EXPECTED[name][FIXED])
    assert outcome["rejected"] == {}
    assert reports["aho"]["lines"]["rejected"] == 0
