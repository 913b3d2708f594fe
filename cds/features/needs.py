"""What must be read for a model, as prefetch templates, FHIR searches and bulk types: all derived from its needs."""

from collections.abc import Iterable
from urllib.parse import quote

from cds.features.feature import Need
from cds.fhir.codes import Vocabulary

TOKEN = "{{context.patientId}}"


def union(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Each key once; required wins, and so does the larger page."""
    found: dict[str, Need] = {}
    for need in needs:
        known = found.get(need.key)
        if known is None or (need.required and not known.required):
            found[need.key] = need
    return tuple(found.values())


def template(need: Need, vocabulary: Vocabulary) -> str:
    """The CDS Hooks 2.0.1 prefetch template: a read or a search with only first-level context tokens and no dates."""
    if need.resource_type == "Patient":
        return f"Patient/{TOKEN}"
    parts = [f"patient={TOKEN}"]
    tokens = [token for codes in need.codes for token in vocabulary.tokens(codes)]
    if tokens:
        parts.append(f"code={','.join(tokens)}")
    if need.count is not None:
        parts += ["_sort=-date", f"_count={need.count}"]
    return f"{need.resource_type}?{'&'.join(parts)}"


def search(need: Need, vocabulary: Vocabulary, patient_id: str) -> str:
    """The template filled for one patient, percent-encoded for a URL."""
    filled = template(need, vocabulary).replace(TOKEN, quote(patient_id, safe=""))
    return filled.replace("|", "%7C").replace(" ", "%20")


def bulk_types(needs: Iterable[Need]) -> tuple[str, ...]:
    """The `_type` list of a bulk export: exactly the types that are read."""
    return tuple(dict.fromkeys(need.resource_type for need in needs))
