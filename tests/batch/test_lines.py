"""However an export is cut into ranges and blocks, each line is read once, and what is damaged is said to be."""

import gzip
import io
import itertools
import tracemalloc
import zlib
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.batch.lines import LONGEST_LINE, Block, blocks, packed_blocks
from cds.errors import ExportUnreadable

LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"x")), max_size=30)


def copied(found: Iterable[Block]) -> list[bytes | None]:
    """Each block's bytes, taken before the next one is asked for; None for a line that is too long."""
    return [None if block.overlong else bytes(block.data[: block.length]) for block in found]


def joined(found: Iterable[Block]) -> bytes:
    parts = copied(found)
    assert None not in parts
    return b"".join(part or b"" for part in parts)


def without_mark(data: bytes) -> bytes:
    """A byte order mark reads as white space."""
    return b"   " + data[3:] if data.startswith(b"\xef\xbb\xbf") else data


@given(lines=LINES, ended=st.booleans(), size=st.integers(1, 50), cuts=st.lists(st.integers(1, 1200), max_size=6))
def test_ranges_hold_each_line_once_and_in_order(lines: list[bytes], ended: bool, size: int, cuts: list[int]) -> None:
    data = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    found = [joined(blocks(io.BytesIO(data), start, end, size)) for start, end in itertools.pairwise(bounds)]
    assert b"".join(found) == without_mark(data)
    assert all(part.endswith(b"\n") for part in [part for part in found if part][:-1])


@given(lines=LINES, size=st.integers(1, 50))
def test_a_block_ends_where_a_line_ends(lines: list[bytes], size: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    assert all(part and part.endswith(b"\n") for part in copied(blocks(io.BytesIO(data), 0, len(data), size)))


def test_a_byte_order_mark_belongs_to_no_line() -> None:
    data = b"\xef\xbb\xbf{}\n{}\n"
    assert joined(blocks(io.BytesIO(data), 0, len(data), 64)) == b"   {}\n{}\n"
    assert joined(packed_blocks(io.BytesIO(gzip.compress(data)), 64)) == b"   {}\n{}\n"


@pytest.mark.proves("R17", "a line of 21 MiB: told of, its neighbours read, 0 bytes of it kept")
def test_a_line_that_is_too_long_is_told_of_and_passed_over() -> None:
    data = b'{"a":1}\n{"b":"' + b"x" * (2 * LONGEST_LINE) + b'"}\n{"c":1}\n'
    assert copied(blocks(io.BytesIO(data), 0, len(data), 1 << 20)) == [b'{"a":1}\n', None, b'{"c":1}\n']


@given(
    lengths=st.lists(st.integers(0, 90), max_size=30), size=st.integers(1, 60),
    cuts=st.lists(st.integers(1, 1500), max_size=6), ended=st.booleans(),
)  # fmt: skip
def test_ranges_read_each_line_once_among_overlong_ones(
    lengths: list[int], size: int, cuts: list[int], ended: bool
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("cds.batch.lines.LONGEST_LINE", 64)
        lines = [b"%03d" % number + b"x" * length for number, length in enumerate(lengths)]
        data = b"\n".join(lines) + (b"\n" if ended and lines else b"")
        bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
        found = [
            part
            for start, end in itertools.pairwise(bounds)
            for part in copied(blocks(io.BytesIO(data), start, end, size))
        ]
    whole = [one for part in found if part for one in part.split(b"\n") if one]
    assert whole == sorted(whole)
    short = [line for line in lines if len(line) <= 64]
    assert [line for line in whole if len(line) <= 64] == short
    assert len(whole) + found.count(None) == len(lines)


@given(lines=LINES, members=st.integers(1, 4), padding=st.integers(0, 3), size=st.integers(1, 64))
@pytest.mark.proves("R17", "gzip of one member and of many, zero-padded or not: the same lines")
def test_gzip_of_many_members_is_one_file(lines: list[bytes], members: int, padding: int, size: int) -> None:
    data = b"".join(line + b"\n" for line in lines)
    step = max(1, len(data) // members)
    packed = b"".join(gzip.compress(data[at : at + step]) for at in range(0, len(data) or 1, step)) + bytes(padding)
    assert joined(packed_blocks(io.BytesIO(packed), size)) == without_mark(data)


@pytest.mark.proves("R17", "gzip cut at every byte: an error, never an end")
def test_a_gzip_file_that_was_cut_off_is_no_shorter_file() -> None:
    packed = gzip.compress(b'{"resourceType":"Patient","id":"a"}\n' * 3)
    for length in range(1, len(packed)):
        with pytest.raises(ExportUnreadable, match="cut off"):
            list(packed_blocks(io.BytesIO(packed[:length]), 1 << 20))


@pytest.mark.parametrize("tail", [b"garbage", b"\x1f\x8bnot really", b"\0\0x"])
def test_what_stands_behind_a_gzip_file_is_not_passed_over(tail: bytes) -> None:
    with pytest.raises(ExportUnreadable, match="no gzip file, or damaged"):
        list(packed_blocks(io.BytesIO(gzip.compress(b"{}\n") + tail), 1 << 20))


@pytest.mark.proves("R17", "256 MiB of zeros in 261 KB: refused with less than 64 MiB of memory")
def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    pack = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join([*(pack.compress(bytes(1 << 20)) for _ in range(256)), pack.flush()])
    assert len(bomb) < 300_000
    tracemalloc.start()
    with pytest.raises(ExportUnreadable, match="100 times its size"):
        list(packed_blocks(io.BytesIO(bomb), 1 << 20))
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


def test_a_real_export_packs_far_less_than_a_bomb() -> None:
    data = b"".join(b'{"resourceType":"Observation","id":"%d","value":%d}\n' % (n, n * 7919) for n in range(50_000))
    assert joined(packed_blocks(io.BytesIO(gzip.compress(data)), 1 << 20)) == data
