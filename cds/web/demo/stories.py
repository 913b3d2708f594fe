"""The synthetic patients of fhir_fixtures as the demo shows them: one line each, and their charts moved to today."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.resources import files
from typing import Any, TypeAlias

import msgspec

from cds.web.demo.dates import moved
from fhir_fixtures.stories import AT, STORIES, Story

Resource: TypeAlias = dict[str, Any]

WRITTEN_ON = date.fromisoformat(AT[:10])
"""The day on which the stories' dates are true as written."""


@dataclass(frozen=True)
class DemoPatient:
    """What the list of patients and the banner show."""

    id: str
    name: str
    story: str
    birthDate: str  # noqa: N815 - FHIR's name, as it goes over the wire
    sex: str


@lru_cache(maxsize=1)
def _written() -> dict[str, list[Resource]]:
    """Every story's resources as its file holds them, by the story's name."""
    folder = files("fhir_fixtures") / "patients"
    return {story.name: _resources((folder / f"{story.name}.json").read_bytes()) for story in STORIES}


def _resources(bundle: bytes) -> list[Resource]:
    return [entry["resource"] for entry in msgspec.json.decode(bundle)["entry"]]


@lru_cache(maxsize=2)  # today, and yesterday for whoever asks while the day turns
def _charts_on(day: date) -> dict[str, list[Resource]]:
    days = (day - WRITTEN_ON).days
    return {name: [moved(resource, days) for resource in resources] for name, resources in _written().items()}


def resources_on(day: date) -> list[Resource]:
    """Every resource of every story as of `day`. They are shared: read them, do not change them."""
    return [resource for resources in _charts_on(day).values() for resource in resources]


def patients_on(day: date) -> list[DemoPatient]:
    """The patients to choose from as of `day`, in the stories' order."""
    return [_patient(story, _charts_on(day)[story.name]) for story in STORIES]


def _patient(story: Story, resources: list[Resource]) -> DemoPatient:
    born = next(resource["birthDate"] for resource in resources if resource["resourceType"] == "Patient")
    return DemoPatient(story.patient, f"{story.given} {story.family}", story.told, born, story.gender)
