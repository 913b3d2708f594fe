"""Says beside each written result who made it, and from which resources, as a FHIR R4 Provenance."""

from typing import Literal
from uuid import UUID, uuid5

from cds.bulk.content import Json
from cds.bulk.run_folder import Entry

Activity = Literal["CREATE", "UPDATE", "NULLIFY"]

_NAMESPACE = UUID("1c5c62f6-2e0b-5b52-9d53-0e6a3f9f6a1d")
_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_WORDS: dict[Activity, str] = {"CREATE": "create", "UPDATE": "revise", "NULLIFY": "nullify"}


def provenance_id(entry: Entry) -> str:
    """The same for the same content of the same result, so that it is told once."""
    return str(uuid5(_NAMESPACE, f"{entry.id} {entry.digest}"))


def provenance(entry: Entry, server_id: str, activity: Activity, version: str, recorded: str) -> Json:
    """A Provenance of one result that the server keeps as RiskAssessment/`server_id`.

    `recorded` is when the run ended (or the instant it scored as of): it stays the same when the writing is repeated.
    """
    told: Json = {
        "resourceType": "Provenance",
        "id": provenance_id(entry),
        "target": [{"reference": f"RiskAssessment/{server_id}"}],
        "recorded": recorded,
        "activity": {"coding": [{"system": _OPERATION, "code": activity, "display": _WORDS[activity]}]},
        "agent": [
            {
                "type": {"coding": [{"system": _PARTICIPANT, "code": "assembler", "display": "Assembler"}]},
                "who": {"display": f"Bedside {version}"},
            }
        ],
    }
    sources = [one["reference"] for one in entry.resource.get("basis", ()) if one.get("reference")]
    if sources:
        told["entity"] = [{"role": "source", "what": {"reference": source}} for source in sources]
    return told
