"""What must be read for a model, as prefetch templates, FHIR searches and bulk types: all derived from its needs."""

from collections.abc import Iterable
from urllib.parse import quote

from cds.errors import SiteError
from cds.features.feature import Need
from cds.fhir.codes import Vocabulary

TOKEN = "{{context.patientId}}"  # noqa: S105 - a prefetch token is no secret


def union(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Each key once, in the order of first mention, so wide that every feature that names it is served.

    Raises SiteError when a key stands for two resource types.
    """
    found: dict[str, Need] = {}
    for need in needs:
        known = found.get(need.key)
        found[need.key] = need if known is None else _both(known, need)
    return tuple(found.values())


def _both(one: Need, other: Need) -> Need:
    if one.resource_type != other.resource_type:
        raise SiteError(f"the need '{one.key}' is for {one.resource_type} and for {other.resource_type}")
    return Need(
        one.key,
        one.resource_type,
        tuple(dict.fromkeys((*one.codes, *other.codes))) if one.codes and other.codes else (),
        None if one.count is None or other.count is None else max(one.count, other.count),
        one.series or other.series,
        one.required or other.required,
        one.include or other.include,
    )


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
    if need.include:
        parts.append(f"_include={need.resource_type}:{need.include}")
    return f"{need.resource_type}?{'&'.join(parts)}"


def search(need: Need, vocabulary: Vocabulary, patient_id: str) -> str:
    """The template filled for one patient, percent-encoded for a URL."""
    filled = template(need, vocabulary).replace(TOKEN, quote(patient_id, safe=""))
    return filled.replace("|", "%7C").replace(" ", "%20")


def bulk_types(needs: Iterable[Need]) -> tuple[str, ...]:
    """The `_type` list of a bulk export: exactly the types that are read."""
    needs = tuple(needs)
    included = [need.include.capitalize() for need in needs if need.include]
    return tuple(dict.fromkeys([*(need.resource_type for need in needs), *included]))


def bulk_codes(needs: Iterable[Need], vocabulary: Vocabulary) -> dict[str, tuple[str, ...] | None]:
    """By type the search tokens of all codes that are read of it; None for a type of which all is read."""
    tokens: dict[str, dict[str, None] | None] = {}
    for need in needs:
        found = [token for codes in need.codes for token in vocabulary.tokens(codes)]
        known = tokens.setdefault(need.resource_type, {})
        tokens[need.resource_type] = None if known is None or not found else known | dict.fromkeys(found)
    return {kind: None if found is None else tuple(found) for kind, found in tokens.items()}
