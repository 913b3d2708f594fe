"""How often each caller may call: a bucket of tokens for each, in bounded memory."""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address
from math import ceil

from msgspec import Struct

MOST = 65_536
"""How many callers are remembered; each takes some 200 bytes."""


class Rate(Struct, frozen=True):
    """`per_second` calls in the long run, `burst` of them at once. Both are above 0."""

    per_second: float
    burst: float


class _Bucket(Struct):
    tokens: float
    at: float


class Buckets:
    """Token buckets by key: a tenant's name, or an unknown caller's address.

    A caller that is not remembered has a full bucket, and the one that has not been heard of for longest is forgotten
    first, once there are more than `most`: strangers with very many addresses cannot grow this. Tenants stand in
    buckets of their own, so that no stranger can have them forgotten.
    """

    def __init__(self, rate: Rate, most: int = MOST) -> None:
        if not (rate.per_second > 0 and rate.burst >= 1 and most > 0):
            raise ValueError("a rate has calls a second above 0 and a burst of 1 or more")
        self._rate = rate
        self._most = most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float, rate: Rate | None = None) -> int | None:
        """None when the call may be answered, else after how many whole seconds (1 or more) one may.

        `now` is in seconds of a clock that does not go back; should it, nobody gains a token by it. `rate` is the
        key's own, where it has one.
        """
        rate = rate or self._rate
        bucket = self._filled(key, now, rate)
        if bucket.tokens < 1:
            return max(1, ceil((1 - bucket.tokens) / rate.per_second))
        bucket.tokens -= 1
        return None

    def _filled(self, key: str, now: float, rate: Rate) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(rate.burst, now)
            self._forget()
            return bucket
        self._buckets.move_to_end(key)
        if now > bucket.at:
            bucket.tokens = min(rate.burst, bucket.tokens + (now - bucket.at) * rate.per_second)
            bucket.at = now
        return bucket

    def _forget(self) -> None:
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)


def stranger(host: str) -> str:
    """The key of an unknown caller: its IPv4 address, or the /64 of its IPv6 one, within which it may choose freely."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))
