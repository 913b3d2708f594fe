"""What stops a writing in the middle - a full disk, a token that is late - loses no count and says what to do."""

import asyncio
import json
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cds.bulk.failed import AccessRefused
from cds.bulk.target import Access
from cds.bulk.write_back import Wanted, write_back
from cds.bulk.write_progress import Noted, WriteProgress
from cds.errors import BedsideError, DataUnavailable, RunUnusable
from tests.bulk.runs import assessments, many, run_folder
from tests.bulk.test_write_faults import QUICK, shelf, write
from tests.cli.command import COMMAND, ROOT, environment
from tests.ehr.running import running

LIMITED = ("bash", "-c", 'ulimit -f 20; exec "$@"', "bedside")
"""No file may grow over 20 KiB, as on a disk that is full."""


class LateTokens:
    """No token for the first asks but the very first, as a token endpoint has it that is started anew."""

    def __init__(self, fault: BedsideError, times: int) -> None:
        self.fault, self.times, self.asked = fault, times, 0

    async def token(self, *, fresh: bool = False) -> str | None:
        self.asked += 1
        if 3 < self.asked <= 3 + self.times:
            raise self.fault
        return "token"


@pytest.mark.proves("B28", "a full disk in the middle: the counts are told, exit 1, and the next run ends it")
def test_a_full_disk_tells_what_was_written(tmp_path: Path) -> None:
    server, folder = shelf(), run_folder(tmp_path / "run", many(150))
    with running(server.app, server.port) as origin:
        command = [*LIMITED, *COMMAND, "write", str(folder), "--to", origin, "--no-auth", "--json"]
        done = subprocess.run(
            command, cwd=ROOT, env=environment(), capture_output=True, check=False, text=True, timeout=60
        )
    assert (done.returncode, done.stderr) == (1, "")
    said = json.loads(done.stdout)
    assert said["written"] + said["untried"] == 150
    assert 0 < said["written"] <= len(server.kept["RiskAssessment"])
    assert "File too large; the run's folder must be writable" in said["stopped"]
    rest = write(server, folder)
    assert (rest.clean, len(server.kept["RiskAssessment"]), len(server.kept["Provenance"])) == (True, 150, 150)
    assert set(server.writes.values()) == {1}


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file of this process may grow over so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_note_that_the_disk_does_not_take_leaves_no_half_line(tmp_path: Path) -> None:
    with WriteProgress(tmp_path, "https://a") as progress:
        progress.note(Noted("sent", "1", digest="d", activity="CREATE"))
        progress.keep()
        whole = progress.path.read_bytes()
        progress.note(Noted("sent", "2", digest="d", activity="CREATE"))
        with room(len(whole) + 10), pytest.raises(RunUnusable, match=r"jsonl: File too large; the run's folder"):
            progress.keep()
        assert progress.path.read_bytes() == whole
        progress.keep()
    again = WriteProgress(tmp_path, "https://a")
    assert None not in (again.of("1"), again.of("2"))


def written(folder: Path, access: Access) -> dict[str, object]:
    server = shelf(provenance=None)
    with running(server.app, server.port) as origin:
        return asyncio.run(write_back(folder, origin, access, Wanted(patience=QUICK, batch=2))).told()


@pytest.mark.proves("B28", "a token endpoint that is away for a while is asked again; one that refuses ends it at once")
def test_a_token_that_is_late_is_waited_for(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", assessments())
    late = LateTokens(DataUnavailable("the token endpoint answered 503"), QUICK.tries - 1)
    assert (written(folder, late)["written"], late.asked > 3 + late.times) == (len(assessments()), True)


@pytest.mark.parametrize(
    ("fault", "asked"), [(DataUnavailable("it answered 503"), QUICK.tries), (AccessRefused("it says no"), 1)]
)
def test_no_token_at_all_stops_the_run(tmp_path: Path, fault: BedsideError, asked: int) -> None:
    access = LateTokens(fault, 1000)
    said = written(run_folder(tmp_path / "run", assessments()), access)
    assert (said["stopped"], access.asked) == (fault.message, 3 + asked)
