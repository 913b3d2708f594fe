"""Our own patients are what their README says: fresh, valid FHIR R4, each about one person, with the stated numbers."""

import importlib
import json
import subprocess
import sys
import uuid
from datetime import date
from math import exp, log
from pathlib import Path
from typing import Any

import pytest

from fhir_fixtures import build, hook_calls
from fhir_fixtures.stories import AT, STORIES, Story

HERE = Path(build.__file__).parent
MICROMOLES_PER_MG_DL = 88.40
MG_G_PER_MG_MMOL = 1000 / 113.12

Resource = dict[str, Any]
each_story = pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)


def chart(story: Story) -> list[Resource]:
    bundle = json.loads((HERE / "patients" / f"{story.name}.json").read_text(encoding="utf-8"))
    return [entry["resource"] for entry in bundle["entry"]]


def results(story: Story, *codes: str) -> list[Resource]:
    """The story's results of these LOINC codes, the latest first."""
    found = [one for one in chart(story) if one["resourceType"] == "Observation"]
    found = [one for one in found if one["code"]["coding"][0]["code"] in codes]
    return sorted(found, key=lambda one: str(one["effectiveDateTime"]), reverse=True)


def creatinines(story: Story) -> list[Resource]:
    return results(story, "2160-0", "14682-9")


def age_on(story: Story, day: str) -> int:
    born, then = date.fromisoformat(story.born), date.fromisoformat(day[:10])
    return then.year - born.year - ((then.month, then.day) < (born.month, born.day))


def egfr(story: Story, creatinine: Resource) -> float:
    """CKD-EPI 2021 (Inker et al., NEJM 2021;385:1737), written a second time to check the first."""
    quantity = creatinine["valueQuantity"]
    mg_dl = quantity["value"] / (MICROMOLES_PER_MG_DL if quantity["unit"] == "umol/L" else 1)
    female = story.gender == "female"
    kappa, alpha = (0.7, -0.241) if female else (0.9, -0.302)
    ratio = mg_dl / kappa
    age = age_on(story, creatinine["effectiveDateTime"])
    return float(142 * min(ratio, 1) ** alpha * max(ratio, 1) ** -1.2 * 0.9938**age * (1.012 if female else 1))


def risk(story: Story, baseline: float, at: str = AT) -> float:
    """Tangri et al., JAMA 2016;315:164, four variables, as a percentage, from what was known on the day of `at`."""
    creatinine, acr = (
        next(one for one in found if one["effectiveDateTime"][:10] <= at[:10])
        for found in (creatinines(story), results(story, "9318-7", "32294-1"))
    )
    quantity = acr["valueQuantity"]
    mg_g = quantity["value"] * (MG_G_PER_MG_MMOL if quantity["unit"] == "mg/mmol" else 1)
    terms = -0.2201 * (age_on(story, at) / 10 - 7.036) + 0.2467 * ((story.gender == "male") - 0.5642)
    terms += -0.5567 * (egfr(story, creatinine) / 5 - 7.222) + 0.451 * (log(mg_g) - 5.137)
    return float(100 * (1 - baseline ** exp(terms)))


def test_the_files_are_fresh() -> None:
    assert build.main(["--check"]) == 0


def test_a_changed_file_is_stale() -> None:
    made = build.files()
    changed = {**made, "patients/low.json": "{}"}
    without = {name: text for name, text in made.items() if name != "patients/low.json"}
    assert build.stale(changed) == build.stale(without) == ["patients/low.json"]


@each_story
def test_every_resource_is_valid_r4(story: Story) -> None:
    bundle = json.loads((HERE / "patients" / f"{story.name}.json").read_text(encoding="utf-8"))
    for one in (bundle, *chart(story)):
        module = importlib.import_module(f"fhir.resources.R4B.{one['resourceType'].lower()}")
        kind = one["resourceType"]
        assert getattr(module, kind).model_validate(one).get_resource_type() == kind


@each_story
def test_everything_is_about_the_patient_of_the_story(story: Story) -> None:
    patient, *others = chart(story)
    assert (patient["resourceType"], patient["id"]) == ("Patient", story.patient)
    encounters = {f"Encounter/{one['id']}" for one in others if one["resourceType"] == "Encounter"}
    for one in others:
        assert one["subject"]["reference"] == f"Patient/{story.patient}"
        assert "encounter" not in one or one["encounter"]["reference"] in encounters
    assert 8 <= len(others) + 1 <= 60


def test_the_export_holds_exactly_the_resources_of_the_patients() -> None:
    files = (HERE / "export").glob("*.ndjson")
    exported = [(file.stem, line) for file in files for line in file.read_text("utf-8").splitlines()]
    assert all(json.loads(line)["resourceType"] == stem for stem, line in exported)
    charts = [build.line(one) for story in STORIES for one in chart(story)]
    assert sorted(line for _, line in exported) == sorted(charts)
    assert len(set(charts)) == len(charts)


@each_story
def test_a_request_holds_all_that_the_service_asks_for_and_nothing_of_anybody_else(story: Story) -> None:
    request = json.loads((HERE / "requests" / f"{story.name}.json").read_text(encoding="utf-8"))
    known = {build.line(one) for one in chart(story)}
    assert list(request["prefetch"]) == list(hook_calls.templates())
    assert request["context"]["patientId"] == request["prefetch"]["patient"]["id"] == story.patient
    for value in request["prefetch"].values():
        held = value.get("entry", []) if value["resourceType"] == "Bundle" else [{"resource": value}]
        assert {build.line(entry["resource"]) for entry in held} <= known


def test_every_request_has_an_instance_of_its_own() -> None:
    files = list((HERE / "requests").glob("*.json"))
    assert len({uuid.UUID(json.loads(file.read_text("utf-8"))["hookInstance"]) for file in files}) == len(STORIES)


def test_the_stories_need_nothing_else_of_bedside() -> None:
    probe = "import sys, fhir_fixtures.build; print([name for name in sys.modules if name.split('.')[0] == 'cds'])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=HERE.parent)
    assert done.stdout.strip() == "[]"


def test_nothing_happens_after_the_story_is_told() -> None:
    days = [row.day for story in STORIES for row in story.rows]
    assert max(days) < AT


@each_story
def test_the_egfr_and_the_risks_are_those_stated(story: Story) -> None:
    if story.egfr is not None:
        assert round(egfr(story, creatinines(story)[0])) == story.egfr
    if story.five_years is not None:
        assert round(risk(story, 0.924), 1) == story.five_years
        assert round(risk(story, 0.975), 1) == story.two_years


def test_the_earlier_risk_of_refer_is_the_one_the_readme_states() -> None:
    refer = next(story for story in STORIES if story.name == "refer")
    assert round(risk(refer, 0.924, at="2026-05-04"), 1) == 10.2


@each_story
def test_a_reported_egfr_agrees_with_the_creatinine_of_its_specimen(story: Story) -> None:
    computed = {one["effectiveDateTime"]: round(egfr(story, one)) for one in creatinines(story)}
    for one in results(story, "98979-8"):
        assert one["valueQuantity"]["value"] == computed[one["effectiveDateTime"]]
