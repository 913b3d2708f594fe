"""Writes each story as the CDS Hooks request that an EHR would send when somebody opens the chart."""

import json
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any

from fhir_fixtures.search import Resource, prefetch
from fhir_fixtures.stories import Story

SERVICE = "kidney-failure-risk"


def request_of(story: Story, resources: list[Resource]) -> dict[str, Any]:
    """A patient-view call with everything that the service's prefetch templates ask for."""
    context = {"userId": "Practitioner/example", "patientId": story.patient}
    return {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://fixtures.example/requests/{story.name}")),
        "context": context,
        "prefetch": prefetch(resources, templates(), context),
    }


def request_text(request: Mapping[str, Any]) -> str:
    """The request as JSON with one resource a line, so that a changed row is one changed line."""
    head = {name: value for name, value in request.items() if name != "prefetch"}
    members = [f"{_line(key)}:{_value(value)}" for key, value in request["prefetch"].items()]
    return f'{_line(head)[:-1]},"prefetch":{{\n' + ",\n".join(members) + "\n}}\n"


@cache
def templates() -> Mapping[str, str]:
    """The service's own prefetch templates; only they need the rest of Bedside, and so it is imported late."""
    from cds.features.needs import template
    from cds.settings import Settings
    from cds.site import load_site

    # The region changes no template, but without one the service would not be there to be asked.
    deployed = load_site(settings=Settings(region="north-america", default_stage="live")).services[SERVICE]
    return {need.key: template(need, deployed.vocabulary) for need in deployed.needs}


def _value(value: Resource | None) -> str:
    if value is None or "entry" not in value:
        return _line(value)
    head = {name: member for name, member in value.items() if name != "entry"}
    return f'{_line(head)[:-1]},"entry":[\n' + ",\n".join(map(_line, value["entry"])) + "\n]}"


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
