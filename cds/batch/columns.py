"""The columns of scores.parquet, and rows as batches of them; whoever imports this pays a quarter of a second."""

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
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
    """Rows as one Arrow batch. Raises TypeError or OverflowError for a value that does not fit its column."""
    columns = [_array(field.type, [row.get(field.name) for row in found]) for field in SCHEMA]
    batch = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
    return bytes(batch.serialize())


def _array(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    """An Arrow array, from its buffers.

    `pa.array` looks for pandas first, and imports it where it is installed: 50 MB and a fifth of a second.
    """
    given: list[pa.Buffer | None] = [_validity(values)]
    children = None
    if pa.types.is_struct(kind):
        members = list(zip(*values, strict=True)) or [()] * len(kind.fields)
        children = [_array(field.type, member) for field, member in zip(kind, members, strict=True)]
    elif pa.types.is_list(kind):
        lists = [() if value is None else value for value in values]
        given.append(_offsets(map(len, lists)))
        children = [_array(kind.value_type, list(chain.from_iterable(lists)))]
    elif pa.types.is_string(kind):
        texts = ["" if value is None else value for value in values]
        whole = "".join(texts)
        lengths = map(len, texts) if whole.isascii() else (len(text.encode()) for text in texts)
        given += [_offsets(lengths), pa.py_buffer(whole.encode())]
    else:
        numbers = array("d" if pa.types.is_floating(kind) else "q", [0 if value is None else value for value in values])
        given.append(pa.py_buffer(numbers))
    return pa.Array.from_buffers(kind, len(values), given, children=children)


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    """A bit for each value that is there, the lowest first; None when all are."""
    if all(values):
        return None
    there = bytes([value is not None for value in reversed(values)])
    return pa.py_buffer(int(there.translate(_DIGITS), 2).to_bytes(-(-len(values) // 8), "little"))


_DIGITS = b"01" + bytes(254)


def _offsets(lengths: Iterable[int]) -> pa.Buffer:
    return pa.py_buffer(array("i", accumulate(lengths, initial=0)))


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
