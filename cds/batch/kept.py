"""The resources that were kept of an export, framed one after another, each with its owner and the line it was."""

import struct
from collections.abc import Iterator
from hashlib import blake2b

from msgspec import Struct

_HEADER = struct.Struct("<HQI")
_PACK, _UNPACK, _SIZE = _HEADER.pack, _HEADER.unpack_from, _HEADER.size

Kept = tuple[bytes, int, bytes]
"""Owner (a patient id), number of the line within its range, and the condensed resource.

What was kept for the next run has no line any more: its number is the resource's, as `named`.
"""


def framed(owner: bytes, line: int, resource: bytes) -> bytes:
    """One kept resource. `owner` is a patient id in UTF-8, of 65,535 bytes at most."""
    return b"".join((_PACK(len(owner), line, len(resource)), owner, resource))


def unframed(block: bytes) -> Iterator[Kept]:
    """The kept resources of a block, in their order."""
    at, length = 0, len(block)
    while at < length:
        owner_length, line, resource_length = _UNPACK(block, at)
        begin = at + _SIZE + owner_length
        at = begin + resource_length
        yield block[begin - owner_length : begin], line, block[begin:at]


def shard_of(owner: bytes, shards: int) -> int:
    """The shard in which a patient is scored: the same on every machine and in every year."""
    return int.from_bytes(blake2b(owner, digest_size=8).digest(), "big") % shards


def named(kind: str | None, own: str | None) -> int:
    """A resource's type and id as one number; 0 for one without an id, which nothing can take the place of."""
    if not own:
        return 0
    return int.from_bytes(blake2b(f"{kind}/{own}".encode(), digest_size=8).digest(), "little")


class Reject(Struct, frozen=True, array_like=True):
    """A line that could not take part: its range, its number within it (from 1), and why; never what it says."""

    range: int
    line: int
    reason: str


_MARK = b"!"  # no resource begins so


def unreadable_mark(kind: str, resource_id: str | None) -> bytes:
    """In place of a resource: one of this patient's could not be read."""
    return _MARK + f"{kind}/{resource_id or ''}".encode()


DELETED = _MARK + b"deleted"
"""In place of all that was kept of a patient who was deleted: should the record come back, it comes without them."""


def is_mark(resource: bytes) -> bool:
    """Whether this stands in place of a resource."""
    return resource[0] == _MARK[0]


def marked(resource: bytes) -> str | None:
    """The reference of the resource that could not be read, if this is such a mark."""
    return resource[len(_MARK) :].decode() if is_mark(resource) else None
