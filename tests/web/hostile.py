"""Bodies made to cost much; run as a program, tells what a server's memory and time they take."""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

MEBIBYTE = 1024 * 1024


def beside(body: bytes, value: bytes) -> bytes:
    """The body with one more member, which nobody reads."""
    return body[:-1] + b',"unknown":' + value + b"}"


def values(shape: str, count: int) -> bytes:
    """A JSON array or object of this shape with so many values in it."""
    if shape[0] == "{":
        return b"{" + b",".join(b'"%x":{}' % n for n in range(count)) + b"}"
    one = {"[1,1,…]": b"1", "[[],[],…]": b"[]", '["","",…]': b'""'}[shape]
    return b"[" + b",".join([one] * count) + b"]"


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def bodies(body: bytes) -> dict[str, bytes]:
    """The hostile set: each within 2 MiB, or just over it."""
    room = 2 * MEBIBYTE - len(body) - 64
    extended = body[:-1] + b',"extension":'
    many = b'{"resource":{"resourceType":"Condition","subject":{"reference":"Patient/p1"}}}'
    prefetch = body.replace(
        b'"prefetch":{', b'"prefetch":{"x":{"resourceType":"Bundle","entry":[%s]},' % b",".join([many] * 20_000), 1
    )
    return {
        "values": beside(body, values("[1,1,…]", room // 2)),
        "lists": beside(body, values("[[],[],…]", room // 3)),
        "lists that are kept": extended + values("[[],[],…]", room // 3) + b"}",
        "members that are kept": extended + values("{…}", room // 12) + b"}",
        "numbers that are kept": extended + values("[1,1,…]", room // 2) + b"}",
        "depth": beside(body, deep(room // 2)),
        "depth that is kept": extended + deep(room // 2) + b"}",
        "a string": beside(body, b'"' + b"a" * room + b'"'),
        "an escaped string": extended + b'"' + b"\\u0041" * (room // 6) + b'"}',
        "quotes": beside(body, b'"' + b'\\"' * (room // 2) + b'"'),
        "entries": prefetch,
        "digits": extended + b"9" * room + b"}",
        "digits after a point": extended + b"0." + b"9" * room + b"}",
        "over the limit": beside(body, b'"' + b"a" * (room + MEBIBYTE) + b'"'),
        "no end": b'{"a":"' + b"\\" * room,
        "brackets without end": b"[" * room,
    }  # fmt: skip


def resident() -> int:
    """Bytes of this process's memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


async def grown_by(app: Any, call: bytes, path: str) -> tuple[int, float]:
    """The most that memory grew by while the hostile set was answered three times, and the slowest answer's seconds."""
    headers = {"Content-Type": "application/json"}
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        hostile = [*bodies(call).values(), call]
        await client.post(path, content=b"x" * len(hostile[0]))
        before, most, slowest = resident(), 0, 0.0
        for sent in hostile * 3:
            began = time.perf_counter()
            status = (await client.post(path, content=sent)).status_code
            slowest, most = max(slowest, time.perf_counter() - began), max(most, resident() - before)
            if status not in (200, 400, 413):
                raise SystemExit(f"{status} for a body of {len(sent)} bytes")
    return most, slowest


def main() -> None:
    """Reads a call, has a server of this process answer the hostile set, and prints what it took."""
    from cds.ledger import Keyring, Ledger
    from cds.web.app import create_app
    from tests.cdshooks.desk import PATH, site

    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.open(f"sqlite:///{folder}/ledger.sqlite", Keyring.generate(), create=True, deadline=15.0)
        print(json.dumps(asyncio.run(grown_by(create_app(site(), ledger), sys.stdin.buffer.read(), PATH))))
        ledger.close()


if __name__ == "__main__":
    main()
