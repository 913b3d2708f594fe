"""A small honest FHIR search over resources in memory: what it cannot do it refuses by name, and never ignores.

An ignored parameter gives more than was asked for, which is how a chart comes to hold somebody else's result.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

Resource = dict[str, Any]
Params = Sequence[tuple[str, str]]
Span = tuple[datetime, datetime]
Test = Callable[[Resource, str], bool]

DATED: dict[str, tuple[str, ...]] = {
    "Observation": ("effectiveDateTime", "effectivePeriod", "effectiveInstant"),
    "Procedure": ("performedDateTime", "performedPeriod"),
    "Encounter": ("period",),
    "RiskAssessment": ("occurrenceDateTime", "occurrencePeriod"),
}
"""The members that R4's `date` parameter reads, for the types that have one."""

ACCEPTED: dict[str, frozenset[str]] = {
    "Patient": frozenset(),
    "Observation": frozenset({"patient", "subject", "code", "category", "status", "date"}),
    "Condition": frozenset({"patient", "subject", "code", "category"}),
    "Procedure": frozenset({"patient", "subject", "code", "category", "status", "date"}),
    "Encounter": frozenset({"patient", "subject", "status", "class", "date"}),
    "MedicationRequest": frozenset({"patient", "subject", "code", "category", "status"}),
    "MedicationStatement": frozenset({"patient", "subject", "code", "category", "status"}),
    "ServiceRequest": frozenset({"patient", "subject", "code", "category", "status"}),
    "RiskAssessment": frozenset({"patient", "subject", "date"}),
}
"""The parameters of each type, R4's own (a Condition has no `status`), beside _id, _sort, _count and _offset."""

INCLUDED = {
    "MedicationRequest:medication": "medicationReference",
    "MedicationStatement:medication": "medicationReference",
}
"""The references that `_include` follows, by its value, with the member that holds each."""

EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_PARTIAL = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?")
_TOKEN = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_PEOPLE = ("userPractitionerId", "userPractitionerRoleId", "userPatientId", "userRelatedPersonId")


def span(text: str) -> Span:
    """The first and the last instant that a FHIR date may mean; without an offset it is UTC."""
    if partial := _PARTIAL.fullmatch(text):
        first = datetime(int(partial[1]), int(partial[2] or "1"), int(partial[3] or "1"), tzinfo=UTC)
        last_month = int(partial[2] or "12")
        last_day = int(partial[3] or monthrange(first.year, last_month)[1])
        last = datetime(first.year, last_month, last_day, tzinfo=UTC)
        return first, last + timedelta(days=1) - timedelta(microseconds=1)
    instant = datetime.fromisoformat(text)
    instant = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    return instant, instant if instant.microsecond else instant + timedelta(microseconds=999_999)


def when(resource: Resource) -> Span | None:
    """The time of a resource, an open period reaching to the end of time; None when it has none."""
    found = next((resource[name] for name in DATED.get(resource["resourceType"], ()) if resource.get(name)), None)
    if not isinstance(found, dict):
        return span(found) if found else None
    start, end = found.get("start"), found.get("end")
    return (span(start)[0] if start else EARLIEST, span(end)[1] if end else LATEST)


def _bounds(wanted: str) -> tuple[str, Span]:
    """The prefix of a date parameter (eq when it has none) and the span of its date."""
    prefix, text = (wanted[:2], wanted[2:]) if wanted[:1].isalpha() else ("eq", wanted)
    if prefix not in ("eq", "ge", "gt", "le", "lt"):
        raise ValueError(f"date: the prefix {prefix} is not supported")
    try:
        return prefix, span(text)
    except ValueError:
        raise ValueError("date: not a FHIR date") from None


def _date(resource: Resource, wanted: str) -> bool:
    """R4's comparison of ranges: eq asks that the resource's time lies within, the others where it lies."""
    prefix, (low, high) = _bounds(wanted)
    if (own := when(resource)) is None:
        return False
    return {
        "eq": low <= own[0] and own[1] <= high,
        "ge": own[1] >= low,
        "gt": own[1] > high,
        "le": own[0] <= high,
        "lt": own[0] < low,
    }[prefix]


def _codings(value: object) -> Iterable[Resource]:
    """Every Coding in a code, Coding, CodeableConcept or a list of them; a bare code has no system."""
    if isinstance(value, str):
        yield {"code": value}
    elif isinstance(value, list):
        for one in value:
            yield from _codings(one)
    elif isinstance(value, dict):
        yield from value.get("coding", ()) if "code" not in value else (value,)


def _token(member: str) -> Test:
    """The token test of one member: code, system|code, |code (no system) or system| (any code of it)."""

    def matches(resource: Resource, wanted: str) -> bool:
        system, bar, code = wanted.rpartition("|")
        return any(
            (not code or coding.get("code") == code) and (not bar or coding.get("system", "") == system)
            for coding in _codings(resource.get(member))
        )

    return matches


def _coded(resource: Resource, wanted: str) -> bool:
    """The code of a resource, which a MedicationRequest keeps under another name."""
    return _token("code")(resource, wanted) or _token("medicationCodeableConcept")(resource, wanted)


def _about(resource: Resource, wanted: str) -> bool:
    """The patient test: "x" and "Patient/x" ask for the same; a stored reference may be absolute."""
    held = str(resource.get("subject", {}).get("reference", ""))
    return "/".join(held.split("/")[-2:]) == f"Patient/{wanted.removeprefix('Patient/')}"


TESTS: dict[str, Test] = {
    "_id": lambda resource, wanted: bool(resource["id"] == wanted),
    "patient": _about,
    "subject": _about,
    "code": _coded,
    "category": _token("category"),
    "status": _token("status"),
    "class": _token("class"),
    "date": _date,
}


def _sorted(found: list[Resource], key: str, accepted: frozenset[str]) -> list[Resource]:
    """By id within one instant, so that pages never overlap; a resource without a date comes last both ways."""
    found = sorted(found, key=lambda one: str(one["id"]))
    if key == "":
        return found
    if key not in ("date", "-date") or "date" not in accepted:
        raise ValueError(f"_sort: {key} is not supported")
    timed = [(own, one) for one in found if (own := when(one))]
    timed.sort(key=lambda pair: pair[0][0], reverse=key == "-date")
    return [one for _, one in timed] + [one for one in found if when(one) is None]


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name}: not a whole number")
    return int(text)


def _split(kind: str, params: Params) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """The parameters that select, and those that shape the answer; whatever is neither is refused by name."""
    if kind not in ACCEPTED:
        raise ValueError(f"resource type not supported: {kind}")
    shaping = {name: value for name, value in params if name in ("_sort", "_count", "_offset", "_include")}
    selecting = [(name, value) for name, value in params if name not in shaping]
    for name, value in selecting:
        if name not in ACCEPTED[kind] | {"_id"}:
            raise ValueError(f"search parameter not supported for {kind}: {name}")
        if name == "date":  # refused even where no resource would be compared with it
            for wanted in value.split(","):
                _bounds(wanted)
    asked = shaping.get("_include")
    if asked is not None and not (asked in INCLUDED and asked.startswith(f"{kind}:")):
        raise ValueError(f"_include not supported for {kind}: {asked}")
    return selecting, shaping


def _included(held: Iterable[Resource], page: Sequence[Resource], asked: str | None) -> list[Resource]:
    """The resources to which the page's matches refer by the member that `_include` names, each once."""
    if asked is None:
        return []
    wanted = {one.get(INCLUDED[asked], {}).get("reference") for one in page}
    return [one for one in held if f"{one['resourceType']}/{one['id']}" in wanted]


def search(resources: Iterable[Resource], kind: str, params: Params, base: str = "") -> Resource:
    """The searchset Bundle of one page: repeated parameters all hold, a comma is "or", `total` counts every match.

    `base` is the server's address, which fullUrl and links then begin with. ValueError names what is not supported.
    """
    selecting, shaping = _split(kind, params)
    held = list(resources)
    found = [
        one
        for one in held
        if one["resourceType"] == kind
        and all(any(TESTS[name](one, wanted) for wanted in value.split(",")) for name, value in selecting)
    ]
    ordered = _sorted(found, shaping.get("_sort", ""), ACCEPTED[kind])
    start = _number("_offset", shaping.get("_offset", "0"))
    end = start + _number("_count", shaping.get("_count", str(len(ordered))))
    root = f"{base.rstrip('/')}/" if base else ""
    entries = [_entry(one, root) for one in ordered[start:end]]
    entries += [_entry(one, root, "include") for one in _included(held, ordered[start:end], shaping.get("_include"))]
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": len(ordered)}
    bundle |= {"link": _links(f"{root}{kind}", params, end if start < end < len(ordered) else None)}
    # FHIR forbids an empty array: a Bundle of nothing has no entry at all.
    return bundle | ({"entry": entries} if entries else {})


def _entry(one: Resource, root: str, mode: str = "match") -> Resource:
    """A match, or what it refers to; its fullUrl must be absolute, so without a server's address there is none."""
    address = {"fullUrl": f"{root}{one['resourceType']}/{one['id']}"} if root else {}
    return {**address, "resource": one, "search": {"mode": mode}}


def _links(address: str, params: Params, following: int | None) -> list[Resource]:
    """This page, and the next when more follows; _count=0 asks only how many, and so has no next page."""
    links: list[Resource] = [{"relation": "self", "url": f"{address}?{urlencode(params)}"}]
    if following is not None:
        again = [*(pair for pair in params if pair[0] != "_offset"), ("_offset", str(following))]
        links.append({"relation": "next", "url": f"{address}?{urlencode(again)}"})
    return links


def read(resources: Iterable[Resource], kind: str, identity: str) -> Resource | None:
    """One resource by its type and id, or None."""
    return next((one for one in resources if one["resourceType"] == kind and one["id"] == identity), None)


def _filled(template: str, context: Mapping[str, object]) -> str:
    """The template with its tokens replaced: CDS Hooks 2.0.1 knows first-level context fields and four user ids."""

    def value(token: re.Match[str]) -> str:
        name = token[1].removeprefix("context.")
        known = name != token[1] or name in _PEOPLE
        if not known or not isinstance(context.get(name), str):
            raise ValueError(f"prefetch token not supported or without a value: {token[0]}")
        return str(context[name])

    return _TOKEN.sub(value, template)


def prefetch(
    resources: Iterable[Resource], templates: Mapping[str, str], context: Mapping[str, object]
) -> dict[str, Resource | None]:
    """What a CDS client would send for these templates: a resource or null for a read, a Bundle for a search."""
    held = list(resources)
    answers: dict[str, Resource | None] = {}
    for key, template in templates.items():
        path, _, query = _filled(template, context).partition("?")
        kind, slash, identity = path.partition("/")
        if slash:
            answers[key] = read(held, kind, identity)
        else:
            answers[key] = search(held, kind, parse_qsl(query, keep_blank_values=True))
    return answers
