"""The ledger says of each writing how it ended and how much was written; a beginning that stands alone is a kill."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.bulk.runs import assessments, many, run_folder
from tests.bulk.shelf import Shelf
from tests.bulk.test_write_faults import shelf
from tests.cli.command import COMMAND, ROOT, bedside, environment
from tests.ehr.running import running

KEY = bedside("ledger", "key").stdout.strip()
Own = dict[str, str]
Story = list[tuple[str | None, ...]]


@pytest.fixture
def own(tmp_path: Path) -> Own:
    """A site's ledger."""
    given = {"BEDSIDE_LEDGER_KEY": KEY, "BEDSIDE_LEDGER": f"sqlite:///{tmp_path / 'ledger.sqlite'}"}
    assert bedside("ledger", "upgrade", **given).returncode == 0
    return given


def story(own: Own) -> Story:
    """Of each event: FHIR's outcome, whether it begins or ended, how, and how many were written by then."""
    found: Story = []
    for line in bedside("audit", "export", **own).stdout.splitlines():
        event: dict[str, Any] = json.loads(line)
        if "batch-write" in line:
            said = {one["type"]: one["valueString"] for entity in event["entity"] for one in entity["detail"]}
            found.append((event["outcome"], said["state"], said.get("how"), said.get("written")))
    return found


BEGINS = ("0", "begins", None, None)


@pytest.mark.proves("R38", "refused, server lost at first or on the way, or whole: the ledger says which, and how many")
@pytest.mark.parametrize(
    ("spoil", "code", "end"),
    [
        (lambda _server, _folder: None, 0, ("0", "ended", "whole", "5")),
        (lambda server, _folder: server.kept["Patient"].clear(), 4, ("4", "ended", "refused", "0")),
        (lambda _server, folder: (folder / "run.json").unlink(), 2, ("4", "ended", "refused", "0")),
        (lambda server, _folder: refuse_all(server, 404), 1, ("8", "ended", "failed", "0")),
        (lambda server, _folder: refuse_all(server, 400, "RiskAssessment"), 1, ("8", "ended", "stopped", "0")),
    ],
    ids=["whole", "other patients", "no run", "no server", "lost"],
)
def test_the_ledger_says_how_a_writing_ended(
    tmp_path: Path, own: Own, spoil: Callable[[Shelf, Path], None], code: int, end: tuple[str, ...]
) -> None:
    server, folder = shelf(), run_folder(tmp_path / "run", assessments())
    spoil(server, folder)
    with running(server.app, server.port) as origin:
        done = bedside("write", str(folder), "--to", origin, "--no-auth", **own)
    assert (done.returncode, story(own)) == (code, [BEGINS, end])


def refuse_all(server: Shelf, status: int, kind: str = "") -> None:
    server.fault = lambda _number, _method, path: JSONResponse({}, status) if path.startswith(kind) else None


@pytest.mark.proves("R38", "Ctrl-C and SIGTERM: the counts so far are told and noted, and the next run does the rest")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_writing_tells_and_notes_what_was_written(
    tmp_path: Path, own: Own, number: signal.Signals
) -> None:
    server, folder = shelf(), run_folder(tmp_path / "run", many(30))
    held: list[int] = []

    def hold(asked: int, _method: str, _path: str) -> Response | None:
        """From some request on, an answer that asks to be waited for."""
        if asked > 20:
            held.append(asked)
            return JSONResponse({}, 503, {"retry-after": "60"})
        return None

    server.fault = hold
    with running(server.app, server.port) as origin:
        arguments = ["write", str(folder), "--to", origin, "--no-auth", "--batch", "3", "--json"]
        process = subprocess.Popen(
            [*COMMAND, *arguments], cwd=ROOT, env=environment(**own), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        limit = time.monotonic() + 30
        while not held and time.monotonic() < limit:
            time.sleep(0.01)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (128 + number, "")
        said = json.loads(printed)
        assert (said["stopped"], said["written"] + said["untried"]) == ("it was interrupted", 30)
        assert 0 < said["written"] <= len(server.kept["RiskAssessment"])
        server.fault = Shelf().fault
        rest = json.loads(bedside(*arguments, **own).stdout)
    assert (rest["failed"], rest["unchanged"] + rest["written"]) == (0, 30)
    written = [str(one["written"]) for one in (said, rest)]
    assert story(own) == [
        BEGINS, ("8", "ended", "interrupted", written[0]), BEGINS, ("0", "ended", "whole", written[1]),
    ]  # fmt: skip
