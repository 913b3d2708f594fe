"""Our own patients' stories as lists of resources."""

import json
from pathlib import Path

from tests.cdshooks.charts import Json

PATIENTS = Path(__file__).resolve().parents[3] / "fhir_fixtures" / "patients"
STORIES = sorted(path.stem for path in PATIENTS.glob("*.json"))


def story(name: str) -> list[Json]:
    bundle = json.loads((PATIENTS / f"{name}.json").read_text(encoding="utf-8"))
    return [entry["resource"] for entry in bundle["entry"]]
