"""Rows become Arrow batches as pyarrow itself would make them, without what pyarrow would load for it."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.batch.columns import INPUT, SCHEMA, packed, table
from cds.batch.rows import microseconds
from tests.cli.command import ROOT, environment

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(["", "µmol/L", "a"])
NUMBER = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1e-300])
MOMENT = st.integers(-2_500 * 10**12, 7_000 * 10**12).map(
    lambda count: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=count)
)
TEXTS, NUMBERS, MOMENTS = st.none() | TEXT, st.none() | NUMBER, st.none() | MOMENT
INPUTS = st.tuples(TEXTS, NUMBERS, TEXTS, TEXTS, MOMENTS, TEXTS, TEXTS)


def column(field: pa.Field) -> st.SearchStrategy[Any]:
    if field.name == "inputs":
        return st.none() | st.lists(INPUTS, max_size=4)
    if field.name == "cautions":
        return st.none() | st.lists(TEXTS, max_size=3)
    value: st.SearchStrategy[Any] = (
        MOMENT if pa.types.is_timestamp(field.type) else TEXT if pa.types.is_string(field.type) else NUMBER
    )
    return st.none() | value if field.nullable else value


ROWS = st.lists(st.fixed_dictionaries({field.name: column(field) for field in SCHEMA}), max_size=12)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS)
def test_a_batch_is_what_pyarrow_makes_of_the_same_rows(rows: list[dict[str, Any]]) -> None:
    plain = [{**row, "inputs": row["inputs"] and [_plain(one) for one in row["inputs"]]} for row in rows]
    expected = pa.Table.from_pylist(plain, schema=SCHEMA)
    found = table([packed([_ours(row) for row in rows])])
    found.validate(full=True)
    assert found.equals(expected)
    assert repr(found.to_pylist()) == repr(expected.to_pylist()), "-0.0 too"


def _plain(one: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip((field.name for field in INPUT), one, strict=True))


def _ours(row: dict[str, Any]) -> dict[str, Any]:
    inputs = row["inputs"] and [tuple(_told(value) for value in one) for one in row["inputs"]]
    kept = {name: _told(value) for name, value in row.items() if value is not None}  # an absent column is null too
    return {**kept, "inputs": inputs}


def _told(value: Any) -> Any:
    return microseconds(value) if isinstance(value, datetime) else value


@given(moment=MOMENT, hours=st.integers(-14, 14))
def test_an_instant_is_the_same_in_every_zone(moment: datetime, hours: int) -> None:
    elsewhere = moment.astimezone(timezone(timedelta(hours=hours)))
    assert microseconds(elsewhere) == microseconds(moment)
    assert datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds(elsewhere)) == elsewhere


@pytest.mark.parametrize(
    ("column", "value"), [("text", 0), ("inputs", 0), ("value", "1"), ("at", 2**63), ("at", 1.5), ("value", 10**400)]
)
def test_a_value_that_does_not_fit_is_not_written_as_another(column: str, value: Any) -> None:
    with pytest.raises((TypeError, OverflowError)):
        packed([{column: value}])


def test_a_run_does_not_load_pandas_though_it_is_installed(tmp_path: Path) -> None:
    assert find_spec("pandas") is not None, "the development dependencies bring it"
    how = ["--region", "north-america", "--at", "2026-11-22", "--out", str(tmp_path / "out"), "--json"]
    program = f"""
import sys
sys.argv = ["bedside", "score", "fhir_fixtures/export", *{how!r}]
from cds.cli import main
try:
    main()
finally:
    print("pyarrow" in sys.modules, "pandas" in sys.modules, file=sys.stderr)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert ran.stderr == "True False\n", "50 MB of memory and a fifth of a second, for nothing that is used"
