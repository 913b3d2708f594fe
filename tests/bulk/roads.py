"""Runs exports as a program would, on a clock that moves by what was slept, so that no test waits."""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from cds.bulk import BackendAccess, BulkServer, Exported, ExportRequest, OpenAccess, Pace, export
from cds.trust.clients import BackendRegistration
from tests.bulk.server import BulkDouble

REQUEST = ExportRequest(types=("Patient", "Observation"))


class Sleeps:
    """A clock and its sleeping: `slept` are the seconds that were asked for."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.ahead = timedelta()

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.ahead += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def pace(self, cap: float = 300.0) -> Pace:
        return Pace(self.clock, self.sleep, lambda: 0.5, cap)


def server_of(
    double: BulkDouble, hosts: Sequence[str] = (), sleeps: Sleeps | None = None, **registered: Any
) -> BulkServer:
    """The server as our client sees it."""
    if double.keys is None:
        return BulkServer(double.base, OpenAccess(), file_hosts=hosts, seconds=5)
    registration = BackendRegistration(client_id="bedside", **registered)
    rights = dict.fromkeys(REQUEST.types, "rs")
    clock = (sleeps or Sleeps()).clock
    access = BackendAccess(double.base, rights, registration, double.keys, clock=clock)
    return BulkServer(double.base, access, file_hosts=hosts, seconds=5)


def fetched(
    double: BulkDouble, out: Path, *, hosts: Sequence[str] = (), request: ExportRequest = REQUEST,
    sleeps: Sleeps | None = None, **options: Any,
) -> Exported:  # fmt: skip
    """A whole export into `out`."""
    sleeps = sleeps or Sleeps()
    server = server_of(double, hosts)
    return asyncio.run(export(request, out, server=server, pace=sleeps.pace(), **options))


def contents(out: Path) -> dict[str, bytes]:
    """The data files by name."""
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.*.ndjson"))}


def digests(out: Path) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents(out).items()}


def events(out: Path) -> list[dict[str, Any]]:
    """The event log."""
    return [msgspec.json.decode(line) for line in (out / "log.ndjson").read_bytes().splitlines()]


def record(out: Path) -> dict[str, Any]:
    """export.json."""
    found: dict[str, Any] = msgspec.json.decode((out / "export.json").read_bytes())
    return found
