"""Says what the demo's FHIR server can do, in FHIR's own form."""

from datetime import date
from typing import Any

from cds.web.demo.records import SEARCHED, TYPES

_PARAMETER_TYPES = {"patient": "reference", "subject": "reference", "date": "date"}


def capability_statement(base: str, today: date) -> dict[str, Any]:
    """A CapabilityStatement (R4): read and create of every type kept, search of most, nothing conditional."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": today.isoformat(),
        "kind": "instance",
        "software": {"name": "Bedside demo EHR"},
        "implementation": {"description": "Synthetic charts, kept in memory", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [{"mode": "server", "resource": [_resource(name) for name in TYPES]}],
    }


def _resource(name: str) -> dict[str, Any]:
    codes = ["read", "create", *(["search-type"] if name in SEARCHED else [])]
    parameters = [{"name": code, "type": _PARAMETER_TYPES.get(code, "token")} for code in _parameters(name)]
    return {
        "type": name,
        "interaction": [{"code": code} for code in codes],
        "versioning": "no-version",
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": False,
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        **({"searchParam": parameters} if parameters else {}),
    }


def _parameters(name: str) -> list[str]:
    return ["_id", *sorted(SEARCHED[name])] if name in SEARCHED else []
