"""Exports from a FHIR server that others wrote, through a proxy that breaks things, and killed: the same bytes."""

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from cds.trust.own_keys import OwnKeys
from fhir_fixtures.stories import STORIES
from tests.bulk.fault_proxy import FaultProxy
from tests.bulk.roads import digests, events, record
from tests.cli.command import COMMAND, ROOT, bedside, environment
from tests.ehr.running import free_port, running
from tests.ehr.sekmet import sekmet

COPIES = 3
"""Of each of the twelve stories, each for a patient of its own."""


class Hospital(Struct):
    """The proxy, the server's FHIR base as seen through it, and our keys."""

    proxy: FaultProxy
    base: str
    keys: Path

    def command(self, out: Path, *more: str) -> list[str]:
        return [
            "export", self.base, "--out", str(out), "--client-id", "bedside", "--keys", str(self.keys),
            "--retry-after-cap", "0.05", "--json", *more,
        ]  # fmt: skip


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, keys: OwnKeys) -> Iterator[Hospital]:
    port, proxy = free_port(), FaultProxy(20261122)
    public = f"http://127.0.0.1:{port}"
    known = json.loads(keys.public())["keys"]
    folder = tmp_path_factory.mktemp("sekmet")
    with (
        sekmet(folder, public=public, keys=known, token_seconds=5, enforce_scopes=False) as server,
        running(proxy, port),
    ):
        proxy.behind = server.origin
        for copy in range(COPIES):
            server.load(resource for one in STORIES for resource in story(one.name, copy))
            server.sign_in()
        member = [{"entity": {"reference": f"Patient/{STORIES[0].patient}-0"}}]
        group = {"resourceType": "Group", "id": "g1", "type": "person", "actual": True, "member": member}
        server.load([group])
        yield Hospital(proxy, f"{public}/fhir", keys.path)


@pytest.fixture
def hospital(started: Hospital) -> Iterator[Hospital]:
    yield started
    started.proxy.often = started.proxy.pause = 0.0
    started.proxy.met.clear()


def story(name: str, copy: int) -> list[dict[str, Any]]:
    """The resources of a story under ids of their own."""
    text = (ROOT / "fhir_fixtures" / "patients" / f"{name}.json").read_text(encoding="utf-8")
    found = [entry["resource"] for entry in json.loads(text)["entry"]]
    ids = {f"{one['resourceType']}/{one['id']}" for one in found}
    for reference in ids:
        text = text.replace(f'"{reference}"', f'"{reference}-{copy}"')
    copied = [entry["resource"] for entry in json.loads(text)["entry"]]
    return [one | {"id": f"{one['id']}-{copy}"} for one in copied]


@pytest.fixture(scope="module")
def undisturbed(started: Hospital, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digests of the files of an export that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    done = bedside(*started.command(out))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["state"], told["files"], told["partial"]) == ("complete", 5, False)
    return digests(out)


@pytest.mark.proves("B1", "SMART Backend Services, $export and DELETE with a server that others wrote")
@pytest.mark.proves("B3", "a Group's and a whole system's export, by POST and by GET, from a server that others wrote")
@pytest.mark.parametrize(
    ("options", "patients"),
    [
        (["--group", "g1"], 1),
        (["--group", "g1", "--post"], 1),
        (["--system"], 12 * COPIES),
        (["--patient-level"], 12 * COPIES),
    ],
)
def test_each_level_of_a_foreign_server(hospital: Hospital, out: Path, options: list[str], patients: int) -> None:
    done = bedside(*hospital.command(out, *options))
    assert done.returncode == 0, done.stderr
    assert len((out / "Patient.0001.ndjson").read_bytes().splitlines()) == patients
    assert record(out)["status_url"] is None


@pytest.mark.proves(
    "R60", "429s by seconds and date, 500s, 503s, cuts, 410s and five-second tokens: the same bytes each time"
)
@pytest.mark.proof
@pytest.mark.timeout(1200)
def test_what_breaks_on_the_way_changes_no_byte(
    hospital: Hospital, undisturbed: dict[str, str], tmp_path: Path, campaign: Callable[[int], int]
) -> None:
    hospital.proxy.often = 0.5
    for number in range(campaign(60)):
        out = tmp_path / str(number)
        done = bedside(*hospital.command(out))
        assert done.returncode == 0, done.stderr
        assert digests(out) == undisturbed
    assert sum(hospital.proxy.met.values()) > 5


@pytest.mark.proves(
    "B21", "kill -9 at random moments (200 in the proof) under faults: the files' SHA-256 are an undisturbed run's"
)
@pytest.mark.proves(
    "R60", "kill -9 at random moments, 200 in the proof: resumed each time, no file lost, doubled or torn"
)
@pytest.mark.proof
@pytest.mark.timeout(3000)
def test_kills_change_no_byte(
    hospital: Hospital, undisturbed: dict[str, str], tmp_path: Path, campaign: Callable[[int], int]
) -> None:
    hospital.proxy.often, hospital.proxy.pause = 0.1, 0.005
    chance, kills, number = random.Random(20261122), 0, 0
    wanted, resumed = campaign(200), 0
    while kills < wanted:
        out, before = tmp_path / str(number), kills
        while (code := killed(hospital.command(out), out, chance.uniform(0.0, 0.8))) is None:
            kills += 1
        assert code == 0
        assert digests(out) == undisturbed
        assert not list(out.rglob("*.part"))
        assert [one["eventId"] for one in events(out)].count("export_complete") == 1
        resumed += kills > before
        number += 1
    assert resumed > 0


def killed(arguments: list[str], out: Path, seconds: float) -> int | None:
    """Run the command and kill it so long after it began to write; its exit code, when it was quicker."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    lines = len(events_or_none(out))
    process = subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, env=environment(), **quiet)  # type: ignore[call-overload]
    deadline = time.monotonic() + 60
    while len(events_or_none(out)) == lines and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    try:
        return int(process.wait(timeout=seconds))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def events_or_none(out: Path) -> list[bytes]:
    log = out / "log.ndjson"
    return log.read_bytes().splitlines() if log.exists() else []
