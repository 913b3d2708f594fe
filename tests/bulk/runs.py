"""Folders as a finished run leaves them, with the kidney risks of the stories in fhir_fixtures."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cds import Risk
from cds.fhir.chart import Chart
from cds.fhir.identity import Identity
from cds.fhir.resources import read_leniently
from cds.risk.assessment import risk_assessment
from cds.risk.scoring import score
from fhir_fixtures.stories import AT, STORIES
from tests.charts import model, site
from tests.conftest import ROOT

Json = dict[str, Any]
WHEN = datetime.fromisoformat(AT)


@cache
def charts() -> dict[str, tuple[Json, ...]]:
    """Each story's resources by patient id."""
    found = {}
    for story in STORIES:
        bundle = json.loads((ROOT / "fhir_fixtures" / "patients" / f"{story.name}.json").read_bytes())
        found[story.patient] = tuple(entry["resource"] for entry in bundle["entry"])
    return found


def assessments() -> list[Json]:
    """The RiskAssessment of each story that is scored, with an id as the batch gives them."""
    return json.loads(json.dumps(_assessments()))  # type: ignore[no-any-return]


@cache
def _assessments() -> list[Json]:
    made = []
    for patient, resources in charts().items():
        located = [(read_leniently(one), None) for one in resources]
        chart = Chart.of(located, Identity(patient), site().vocabulary)
        (outcome,) = score(model(), [chart], WHEN)
        if isinstance(outcome, Risk):
            made.append(named(risk_assessment(outcome, model(), patient_id=patient), patient))
    return made


def named(resource: Json, *parts: str) -> Json:
    return {"resourceType": "RiskAssessment", "id": str(uuid5(NAMESPACE_URL, " ".join((AT, *parts)))), **resource}


def many(count: int) -> list[Json]:
    """So many results of the same patients, each as of another minute and with an identifier of its own."""
    made = []
    for number in range(count):
        held = assessments()
        one = held[number % len(held)]
        parts = (one["subject"]["reference"], str(number))
        one |= {
            "id": named({}, *parts)["id"],
            "occurrenceDateTime": f"2026-11-22T{number // 60 % 24:02}:{number % 60:02}:00Z",
        }
        one["identifier"][0]["value"] = named({}, "value", *parts)["id"]
        made.append(one)
    return made


def retracted(resource: Json) -> Json:
    return {**resource, "status": "entered-in-error"}


def run_folder(folder: Path, results: Iterable[Json], retractions: Sequence[Json] = (), **members: Any) -> Path:
    """A folder with these results, and the run.json that vouches for it; `members` go over that file's own."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"RiskAssessment.ndjson": list(results), **({"retracted.ndjson": list(retractions)} if retractions else {})}
    outputs = {}
    for name, lines in files.items():
        content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        (folder / name).write_bytes(content)
        outputs[name] = {"sha256": sha256(content).hexdigest()}
    said = {"at": AT, "bedside": "0.1.0", "models": ["kfre-4"], "finished": "2026-11-22T15:00:00Z", "outputs": outputs}
    (folder / "run.json").write_text(json.dumps({**said, **members}), encoding="utf-8")
    return folder
