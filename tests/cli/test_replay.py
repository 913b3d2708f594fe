"""Every number that was shown can be computed again, from the ledger alone."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from cds.ledger import Keyring, Ledger
from cds.settings import read_settings
from cds.site import load_site
from cds.web.app import create_app
from fhir_fixtures.search import prefetch
from tests.cli.command import bedside

ROOT = Path(__file__).resolve().parents[2]
STORIES = sorted((ROOT / "fhir_fixtures" / "patients").glob("*.json"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A ledger in which every fixture patient was answered once; the variables that open it."""
    url = f"sqlite:///{tmp_path_factory.mktemp('replay') / 'ledger.sqlite'}"
    keyring = Keyring.generate()
    settings = read_settings(trust="open-on-loopback", region="north-america", default_stage="live")
    ledger = Ledger.open(url, keyring, create=True, deadline=15.0)
    app = create_app(load_site(settings=settings), ledger, clock=lambda: datetime(2026, 11, 22, 14, 2, tzinfo=UTC))
    with TestClient(app, base_url="http://localhost") as client:
        templates = client.get("/cds-services").json()["services"][0]["prefetch"]
        for number, story in enumerate(STORIES):
            resources = [entry["resource"] for entry in json.loads(story.read_text())["entry"]]
            context = {"userId": "Practitioner/p", "patientId": resources[0]["id"]}
            call = {
                "hook": "patient-view",
                "hookInstance": f"d1577c69-dfbe-44ad-ba6d-{number:012x}",
                "context": context,
                "prefetch": prefetch(resources, templates, context),
            }
            assert client.post("/cds-services/kidney-failure-risk", json=call).status_code == 200
    return {"BEDSIDE_LEDGER": url, "BEDSIDE_LEDGER_KEY": keyring.text()}


def replay(variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return bedside("replay", *arguments, **variables)


def test_every_recorded_outcome_replays_to_the_last_bit(recorded: dict[str, str]) -> None:
    done = replay(recorded)
    assert (done.returncode, done.stdout.strip()) == (0, "12 the same to the last bit, 0 different.")


def test_since_a_day_means_from_its_first_instant_on(recorded: dict[str, str]) -> None:
    assert replay(recorded, "--since", "2026-11-22").stdout.startswith("12 the same to the last bit")
    assert replay(recorded, "--since", "2026-11-23").stdout.startswith("0 the same to the last bit")


def test_a_site_that_has_since_changed_its_region_replays_what_was_then(recorded: dict[str, str]) -> None:
    done = replay({**recorded, "BEDSIDE_REGION": "elsewhere"})
    assert done.returncode == 0
    assert "0 different" in done.stdout


def test_replay_with_another_key_is_refused(recorded: dict[str, str]) -> None:
    done = replay({**recorded, "BEDSIDE_LEDGER_KEY": Keyring.generate().text()})
    assert done.returncode == 1
    assert "sealed under key" in done.stderr


def test_a_number_that_does_not_come_out_again_is_named(recorded: dict[str, str]) -> None:
    """Replay is worth something only if it can fail: here the equation gives another number."""
    probe = (
        "import models.kfre.equation as e; e.BETAS[4]['age'] += 0.001; "
        "import sys; sys.argv = ['bedside', 'replay']; from cds.cli.main import main; main()"
    )
    own = {k: v for k, v in os.environ.items() if not k.startswith("BEDSIDE_")}
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, cwd=ROOT, env={**own, **recorded},
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "5 different" in done.stdout
