"""What a CDS client learns about a site's services."""

from collections.abc import Iterable
from typing import Any

from cds.cdshooks.answer import Deployed
from cds.cdshooks.configuration import OFFERED, OPTIONS
from cds.cdshooks.context import HOOK_VERSIONS
from cds.features.needs import template

VERSIONS = {"2.0.1": "2.0.1", "3.0": "3.0.0-ballot"}


def discovery(services: Iterable[Deployed], version: str) -> dict[str, Any]:
    """The discovery document: one entry a hook, so that the endpoint dispatches on the request's hook (C16)."""
    return {"services": [_entry(deployed, hook, version) for deployed in services for hook in deployed.hooks_in_order]}


def _entry(deployed: Deployed, hook: str, version: str) -> dict[str, Any]:
    service = deployed.service
    entry: dict[str, Any] = {
        "hook": hook,
        "title": service.title,
        "description": service.description,
        "id": service.id,
        "prefetch": {need.key: template(need, deployed.vocabulary) for need in deployed.needs},
        "extension": {OFFERED: list(OPTIONS)},
    }
    if service.usage_requirements:
        entry["usageRequirements"] = service.usage_requirements
    if version == "3.0":
        entry |= {"version": VERSIONS[version], "hookVersion": HOOK_VERSIONS[hook]}
    return entry
