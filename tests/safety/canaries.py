"""Words that must never leave a patient's record: a chart made of them, and the places where they are looked for."""

from collections.abc import Iterable
from itertools import cycle, islice
from typing import Any
from urllib.parse import quote

from tests.cdshooks.charts import Json, kidney

PATIENT = "canary-patient-01"
TOKEN = "canary-access-token-02"
WORDS = (
    PATIENT,
    TOKEN,
    *(
        f"canary-{kind}-{number:02}"
        for number in range(3, 25)
        for kind in ("name", "mrn", "note", "unit", "id", "user")
    ),
    *(f"canary-{kind}-{number:02}" for number in range(25, 45) for kind in ("display", "code", "address", "phone")),
)
"""More than 200; each stands in one place of `chart` or `call` only."""


def chart(of: str = PATIENT, start: int = 0, **kidneys: Any) -> list[Json]:
    """A patient to be referred, whose every free member is a canary; `start` says with which word it begins."""
    words = islice(cycle(WORDS[2:]), start, None)
    found = kidney(of=of, **kidneys)
    found[0] |= {
        "name": [{"family": next(words), "given": [next(words)], "text": next(words)}],
        "identifier": [{"system": "urn:mrn", "value": next(words)}],
        "telecom": [{"system": "phone", "value": next(words)}],
        "address": [{"line": [next(words)], "city": next(words)}],
    }
    for resource in found[1:]:
        resource["id"] = next(words)
        resource["note"] = [{"text": next(words)}]
        resource["code"]["text"] = next(words)
        resource["code"]["coding"][0]["display"] = next(words)
        resource["performer"] = [{"display": next(words), "reference": f"Practitioner/{next(words)}"}]
        resource["identifier"] = [{"value": next(words)}]
    for _ in range(10):
        found.append({
            "resourceType": "Condition",
            "id": next(words),
            "code": {"text": next(words), "coding": [{"system": "urn:local", "code": next(words)}]},
            "subject": {"reference": f"Patient/{of}", "display": next(words)},
            "note": [{"text": next(words)}],
        })  # fmt: skip
    return found


def leaks(sinks: Iterable[bytes | str]) -> set[str]:
    """The canaries that stand in any of these, plainly or percent-encoded."""
    texts = [sink.decode("latin-1") if isinstance(sink, bytes) else sink for sink in sinks]
    return {word for word in WORDS if any(word in text or quote(word, safe="") in text for text in texts)}
