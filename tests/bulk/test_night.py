"""The whole night: a server's URL is exported and scored in one command, and what comes of it is written back."""

import json
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_fixtures.stories import STORIES
from tests.batch.runs import contents, run
from tests.bulk.server import BulkDouble, outcome
from tests.cli.command import COMMAND, EXPORT, ROOT, bedside, environment
from tests.ehr.sekmet import Sekmet, sekmet

Json = dict[str, Any]
AS_OF = ("--region", "north-america", "--at", "2026-11-22T12:00:00Z")


def served(double: BulkDouble) -> BulkDouble:
    """The fixtures' export, behind the server."""
    double.manifest["requiresAccessToken"] = False
    for file in sorted(EXPORT.iterdir()):
        lines = [json.loads(line) for line in file.read_bytes().splitlines()]
        double.add("output", f"{file.stem}.1.ndjson", lines)
    return double


def test_a_servers_url_is_exported_first_and_its_scores_are_those_of_the_files(
    unsigned: BulkDouble, tmp_path: Path
) -> None:
    served(unsigned)
    told = bedside("score", unsigned.base, *AS_OF, "--out", str(tmp_path / "out"), "--no-auth", "--json")
    assert told.returncode == 0, told.stderr
    asked = dict(unsigned.asked("/fhir/Patient/$export")[0].query)
    assert asked["_type"].count(",") in (0, 4)
    run(EXPORT, out=tmp_path / "files")
    assert contents(tmp_path / "out") == contents(tmp_path / "files")
    record = json.loads((tmp_path / "out" / "export" / "export.json").read_bytes())
    known = {file["kept"]["sha256"] for file in record["files"]}
    assert {one["sha256"] for one in json.loads(told.stdout)["inputs"]} <= known


def test_a_server_that_nobody_registered_is_asked_nothing(unsigned: BulkDouble, tmp_path: Path) -> None:
    told = bedside("score", unsigned.base, *AS_OF, "--out", str(tmp_path / "out"))
    assert told.returncode == 2
    assert "no client with this fhir_base" in told.stderr
    assert not unsigned.seen


def test_an_export_that_runs_already_is_taken_over_by_the_command_that_can(
    unsigned: BulkDouble, tmp_path: Path
) -> None:
    served(unsigned)
    url = unsigned.status_url
    unsigned.on["/fhir/Patient/$export"] = lambda *_: outcome(429, "throttled", Content_Location=url)
    score = ("score", unsigned.base, *AS_OF, "--out", str(tmp_path / "out"), "--no-auth")
    told = bedside(*score)
    assert told.returncode == 1
    [advice] = re.findall(r"bedside (export .*?) takes that one over", told.stderr)
    assert f"--adopt {url}" in advice
    assert bedside(*shlex.split(advice)).returncode == 0
    assert bedside(*score).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_ends_the_wait_for_an_export_is_told_by_the_command(
    unsigned: BulkDouble, tmp_path: Path, number: signal.Signals
) -> None:
    unsigned.statuses = [{"Retry-After": "60"}] * 50
    arguments = ["score", unsigned.base, *AS_OF, "--out", str(tmp_path / "out"), "--no-auth"]
    process = subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 30
    while not unsigned.asked("/fhir/status/1") and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in errors) == (128 + number, False)
    assert "--cancel" not in errors


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sekmet]:
    """A server that others wrote, open, with the stories' patients and nothing of ours."""
    with sekmet(tmp_path_factory.mktemp("sekmet"), "tests.bulk.stated:app_factory", "none") as server:
        lines = [line for file in EXPORT.iterdir() for line in file.read_bytes().splitlines()]
        server.load(json.loads(line) for line in lines)
        yield server


@pytest.mark.proves(
    "B28", "export, score and write to a server that others wrote: 5 results; the second night writes none"
)
def test_a_night_and_the_next(hospital: Sekmet, tmp_path: Path) -> None:
    base = hospital.fhir_base
    first = bedside("score", base, *AS_OF, "--out", str(tmp_path / "one"), "--no-auth", "--json")
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert (report["patients"], report["outcomes"]["kfre-4"]["scored"]) == (len(STORIES), 5)
    written = bedside("write", str(tmp_path / "one"), "--to", base, "--no-auth", "--json")
    assert written.returncode == 0, written.stderr
    assert json.loads(written.stdout)["created"] == 5
    there = httpx.get(f"{base}/RiskAssessment?_count=50", timeout=20).json()["entry"]
    ids = {json.loads(line)["id"] for line in (tmp_path / "one" / "RiskAssessment.ndjson").read_bytes().splitlines()}
    assert {entry["resource"]["id"] for entry in there} == ids

    more = ("--prior", str(tmp_path / "one"), "--no-auth", "--json")
    second = bedside("score", base, *AS_OF, "--out", str(tmp_path / "two"), *more)
    assert second.returncode == 0, second.stderr
    assert (tmp_path / "two" / "RiskAssessment.ndjson").read_bytes() == b""
    again = bedside("write", str(tmp_path / "one"), "--to", base, "--no-auth", "--json")
    assert (again.returncode, json.loads(again.stdout)["unchanged"]) == (0, 5)
