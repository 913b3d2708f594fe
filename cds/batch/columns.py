"""The columns of scores.parquet, and rows as batches of them; whoever imports this pays a quarter of a second."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cds.batch.durable import Hashed
from cds.batch.rows import Row

_WHEN = pa.timestamp("us", tz="UTC")
INPUT = pa.struct([
    ("name", pa.string()),
    ("number", pa.float64()),
    ("text", pa.string()),
    ("unit", pa.string()),
    ("when", _WHEN),
    ("source", pa.string()),
    ("missing", pa.string()),
])  # fmt: skip
"""One input: a number or a text with unit, date and the resource it came from, or why there is none."""

SCHEMA = pa.schema([
    pa.field("patient", pa.string(), nullable=False),
    pa.field("model", pa.string(), nullable=False),
    pa.field("version", pa.string(), nullable=False),
    pa.field("at", _WHEN, nullable=False),
    pa.field("outcome", pa.string(), nullable=False),
    pa.field("of", pa.string(), nullable=False),
    pa.field("horizon_years", pa.float64()),
    pa.field("probability", pa.float64()),
    pa.field("value", pa.float64()),
    pa.field("unit", pa.string()),
    pa.field("bound", pa.string()),
    pa.field("band", pa.string()),
    pa.field("reason", pa.string()),
    pa.field("text", pa.string()),
    pa.field("cautions", pa.list_(pa.string())),
    pa.field("inputs", pa.list_(INPUT)),
    pa.field("assessment", pa.string()),
])  # fmt: skip
"""`outcome`: "risk", "not-scored" or "rejected"; `probability` from 0 to 1, unrounded,
or `value` in `unit` of a score; `of`: what the number is about, by the model's card; `assessment`: the id of the
RiskAssessment that holds this number."""


def packed(found: list[Row]) -> bytes:
    """Rows as one Arrow batch."""
    return bytes(pa.RecordBatch.from_pylist(found, schema=SCHEMA).serialize())


def table(batches: list[bytes]) -> pa.Table:
    """The rows of batches that were `packed`."""
    found = [pa.ipc.read_record_batch(pa.py_buffer(data), SCHEMA) for data in batches]
    return pa.Table.from_batches(found, SCHEMA)


class _Sink:
    """What pyarrow needs of a file to write to it."""

    closed = False

    def __init__(self, file: Hashed) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        self._file.write(bytes(data))
        return len(data)

    def tell(self) -> int:
        return self._file.length

    def flush(self) -> None:
        return None

    def close(self) -> None:
        return None


def parquet(file: Hashed) -> pq.ParquetWriter:
    """A Parquet file to be written, to be closed as a context."""
    return pq.ParquetWriter(pa.PythonFile(_Sink(file), mode="w"), SCHEMA, compression="zstd")
