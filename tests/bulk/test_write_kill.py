"""Killed at any moment and run again, the command leaves the server as an undisturbed run does (B28)."""

import asyncio
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from cds.bulk.target import NoAccess
from cds.bulk.write_back import Wanted, write_back
from tests.bulk.runs import charts, many, retracted, run_folder
from tests.bulk.shelf import Shelf
from tests.cli.command import COMMAND, ROOT, environment
from tests.ehr.running import running

RESULTS, RETRACTED, BATCH = 60, 7, "5"
Shown = tuple[dict[str, Any], ...]


class Life:
    """The command, killed when the server hears its request number `at`: before it is carried out, or after."""

    def __init__(self, server: Shelf, folder: Path, origin: str, at: int, *, after: bool) -> None:
        self._first, self._at, self._after = len(server.asked), at, after
        server.fault, server.cut = self._before, self._cut
        command = [*COMMAND, "write", str(folder), "--to", origin, "--no-auth", "--batch", BATCH]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.code = self._process.wait(timeout=60)

    def _before(self, number: int, _method: str, _path: str) -> Response | None:
        if number - self._first == self._at and not self._after:
            self._process.kill()
            return Response(status_code=503)
        return None

    def _cut(self, number: int, _method: str, _path: str) -> bool:
        if number - self._first == self._at and self._after:
            self._process.kill()
            return True
        return False


def shown(server: Shelf) -> Shown:
    """All that is kept; ids that the server gave are left out, and what points to them."""
    return tuple(
        {value["identifier"][0]["value"]: {**value, "id": ""} for value in server.shown().values()}
        if kind == "RiskAssessment"
        else {f"{number}": one for number, one in enumerate(sorted(map(told, server.shown(kind).values())))}
        for kind in ("RiskAssessment", "Provenance")
    )


def told(provenance: dict[str, Any]) -> str:
    return str({name: value for name, value in provenance.items() if name not in ("id", "target")})


def two_runs(folder: Path) -> tuple[Path, Path]:
    """A run, and the one after it, which retracts some of its results."""
    results = many(RESULTS)
    later = [retracted(one) for one in results[:RETRACTED]]
    ended = "2026-11-23T15:00:00Z"
    first = run_folder(folder / "first", results)
    return first, run_folder(folder / "later", results[RETRACTED:], later, finished=ended, prior=str(first))


@pytest.mark.proof
@pytest.mark.timeout(1800)
@pytest.mark.proves("B28", "100 kills with SIGKILL on both roads: nothing lost, nothing doubled, as an undisturbed run")
def test_kills_lose_and_double_nothing(tmp_path: Path, campaign: Callable[[int], int]) -> None:
    chance, kills, left = random.Random(20261122), 0, campaign(100)
    while kills < left:
        road = chance.choice(("put", "conditional"))
        undisturbed, _ = play(tmp_path / f"{kills}-whole", road, [])
        moments = [chance.randrange(2, 40) for _ in range(min(3, left - kills))]
        found, killed = play(tmp_path / f"{kills}-killed", road, moments)
        assert found == undisturbed
        assert killed  # a later life may end before its moment
        kills += killed


def play(folder: Path, road: str, moments: list[int]) -> tuple[Shown, int]:
    """Both runs to their ends, killed at these requests on the way; what is kept then, and how many were killed."""
    server, kills = Shelf(road=road, provenance=road).hold(charts()), 0
    with running(server.app, server.port) as origin:
        for number, run in enumerate(two_runs(folder)):
            for at in moments[number::2]:
                kills += Life(server, run, origin, at, after=at % 2 == 0).code == -signal.SIGKILL
            server.fault, server.cut = Shelf().fault, Shelf().cut
            assert asyncio.run(write_back(run, origin, NoAccess(), Wanted(batch=int(BATCH)))).clean
    if road == "conditional":  # a PUT that came through twice is no second result
        assert len(server.kept["RiskAssessment"]) == RESULTS
        assert sum(server.writes.values()) == 2 * (RESULTS + RETRACTED)
    return shown(server), kills
