"""Charts read from a FHIR server that others wrote give the same answers as the files they were loaded from."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from cds import NotScored
from cds.cdshooks.prefetch import located_in
from cds.errors import DataUnavailable
from cds.features.needs import search
from cds.fhir.chart import Chart, Located
from cds.fhir.client import FhirClient
from cds.fhir.identity import Identity
from cds.risk.scoring import score
from fhir_fixtures.stories import AT, STORIES
from tests.agreement.datasets import Records, records
from tests.charts import model, site
from tests.conftest import ROOT
from tests.ehr.sekmet import Sekmet, sekmet

WHEN = datetime.fromisoformat(AT)
Said = tuple[Any, ...]
SAMPLE = 6
"""Patients of the shared data that are loaded too."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sekmet]:
    with sekmet(tmp_path_factory.mktemp("sekmet")) as running:
        yield running


def outcome(chart: Chart) -> Said:
    """Everything that an answer says: what each feature found, from which resource, and what follows from it."""
    (found,) = score(model(), [chart], WHEN)
    why = (found.reason, found.text) if isinstance(found, NotScored) else found.estimates
    return (*found.row.answers().items(), why, found.cautions)


async def fetched(server: Sekmet, patient: str, token: str | None = None) -> Chart:
    """The chart as our client reads it: the model's own searches, each followed to its end."""
    vocabulary, needs = site().vocabulary, model().predictors.needs()
    located: list[Located] = []
    async with FhirClient(server.fhir_base, token or server.token, time.monotonic() + 30) as client:
        for need in needs:
            pages = await client.follow(await client.first_page(search(need, vocabulary, patient)))
            located += [pair for page in pages for pair in located_in(page)]
    return Chart.of(located, Identity(patient, {server.fhir_base}), vocabulary)


def story(name: str) -> Records:
    path = ROOT / "fhir_fixtures" / "patients" / f"{name}.json"
    entries = json.loads(path.read_bytes())["entry"]
    raw = tuple((json.dumps(entry["resource"]).encode(), None) for entry in entries)
    return Records(next(one.patient for one in STORIES if one.name == name), raw)


def same(server: Sekmet, patients: Sequence[Records]) -> list[Said]:
    """What both roads answer about each patient, after it is certain that they answer alike."""
    found = [outcome(one.chart(site().vocabulary)) for one in patients]
    assert [outcome(asyncio.run(fetched(server, one.patient_id))) for one in patients] == found
    return found


def test_every_story_is_answered_alike(server: Sekmet) -> None:
    patients = [story(one.name) for one in STORIES]
    assert server.load(resource for one in patients for resource in one.plain()) == sum(
        len(one.raw) for one in patients
    )
    assert len(same(server, patients)) == 12


def test_a_sample_of_published_charts_is_answered_alike(server: Sekmet, shared_data: Path) -> None:
    patients = list(records(shared_data / "data" / "carebundle-ckd_stage3"))[:SAMPLE]
    server.load(resource for one in patients for resource in one.plain())
    assert len(same(server, patients)) == SAMPLE


def test_without_a_token_nothing_is_read(server: Sekmet) -> None:
    with pytest.raises(DataUnavailable, match="401"):
        asyncio.run(fetched(server, STORIES[0].patient, "made-up"))


def test_what_the_server_lacks_is_as_its_fixture_says(server: Sekmet) -> None:
    with httpx.Client(headers={"Authorization": f"Bearer {server.token}"}, timeout=10) as http:
        risk = {
            "resourceType": "RiskAssessment",
            "id": "kept",
            "status": "final",
            "subject": {"reference": "Patient/p"},
        }
        assert http.put(f"{server.fhir_base}/RiskAssessment/kept", json=risk).status_code == 201
        assert http.get(f"{server.fhir_base}/RiskAssessment/kept").json()["status"] == "final"
        search = f"{server.fhir_base}/RiskAssessment?patient=somebody-else"
        passed_over = http.get(search).json()
        assert "RiskAssessment" in [entry["resource"]["resourceType"] for entry in passed_over["entry"]]
        assert http.get(search, headers={"Prefer": "handling=strict"}).status_code == 400
        zipped = http.get(f"{server.fhir_base}/Observation", headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in zipped.headers
